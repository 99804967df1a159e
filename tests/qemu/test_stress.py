# SPDX-License-Identifier: BSD-2-Clause
"""What only many harts at once can break: siblings that break the same pages, clones that are killed while others fault, forks of a
busy VM in a row. Four harts; guests judge themselves, the audit judges Pando."""

import random
import re
import time

import pytest

from pando import LONG, QEMUS, SOAK, qemu_version
from test_clones import STRONG, await_off, clones, judge, template

SEED = int(time.time())


@pytest.fixture(params=QEMUS)
def machine(request):
    return {"harts": 4, "qemu": request.param}


def child_of(lines):
    return next(m[1] for line in lines if (m := re.search(r"forked (\S+)", line)))


@pytest.mark.parametrize("vcpus,n", [(4, 1), (2, 4), (4, 3)])
def test_siblings(start, machine, vcpus, n):
    """All vCPUs of each clone write the same shared pages; with more vCPUs than harts these move."""
    pando, before = template(start, "siblings", vcpus, bootargs=f"pages=64 ms={20000 if SOAK else 1500}", **machine)
    pando.run(f"clone t -n {n}")
    for name, lines in await_off(pando, clones(n), 240).items():
        judge(pando, name, "siblings", lines)
    pando.kill_all(before)
    pando.quit()


def test_clone_and_kill_while_others_fault(start, machine):
    rng = random.Random(SEED)
    print(f"seed {SEED}")
    pando, before = template(start, "siblings", 2, bootargs="pages=48 ms=700", **machine)
    first, left = 1, []
    for _ in range(200 if SOAK else 12):
        pando.run("clone t -n 3")
        new = clones(3, first)
        first += 3
        for name in rng.sample(new + left, 2):  # in the midst of their faults, or after them
            pando.run(f"kill {name}")
            left = [x for x in left if x != name]
            new = [x for x in new if x != name]
        left += new
        if len(left) > 12:
            for name, lines in await_off(pando, left, 240).items():
                judge(pando, name, "siblings", lines)
                pando.run(f"kill {name}")
            left = []
    for name, lines in await_off(pando, left, 240).items():
        judge(pando, name, "siblings", lines)
    pando.kill_all(before)
    pando.quit()


def test_forked_again_and_again(start, machine):
    """A long-lived VM; its children overlap and die. What the machine has given away stays within bounds: nothing of a child is kept."""
    n, alive, high = 300 if SOAK else 15, [], []
    pando = start(tiny=[("p", "siblings", "memory=8M,vcpus=2,autoboot=0", f"pages=64 {LONG} ready=0")], **machine)
    before = pando.frames()
    pando.run("boot p")
    pando.line(r"^\[p\] running", 20)
    for _ in range(n):
        alive.append(child_of(pando.run("fork p")))
        if len(alive) > 3:
            pando.run(f"kill {alive.pop(0)}")
            frames = pando.frames()
            high.append(frames["guest pages"] + frames["guest blocks"] + frames["tables"])
        time.sleep(0.2)
    # Blocks of a few generations live on until they are dissolved; growth with every fork would be a leak.
    assert max(high[len(high) // 2 :]) < 1.5 * max(high[: len(high) // 2]), high
    assert not pando.all("PANDO-GUEST.*FAIL")
    pando.end_guests("p", *alive)
    pando.verdict("p", "siblings", 60)
    for name in alive:
        pando.line(rf"\b{re.escape(name)}: off:", 60)
        judge(pando, name, "siblings", pando.output_of(name))
    pando.kill_all(before)
    pando.quit()


def test_parent_writes_between_three_forks(start, machine):
    """Each child goes on from its own instant, and neither side finds a word of the other's."""
    pando = start(tiny=[("p", "siblings", "memory=8M,vcpus=4,autoboot=0", f"pages=64 {LONG} ready=0")], **machine)
    before = pando.frames()
    pando.run("boot p")
    pando.line(r"^\[p\] running", 20)
    names = []
    for _ in range(3):
        time.sleep(0.3)
        names.append(child_of(pando.run("fork p")))
    names.append(child_of(pando.run(f"fork {names[0]}")))
    time.sleep(0.5)
    pando.end_guests("p", *names)
    pando.verdict("p", "siblings", 120)
    for name in names:
        pando.line(rf"\b{re.escape(name)}: off:", 120)
        judge(pando, name, "siblings", pando.output_of(name))
    pando.kill_all(before)
    pando.quit()


def test_guest_tables_under_load(start, machine):
    """Page tables of the guests lie on shared frames while twice as many vCPUs as harts walk and edit them."""
    strict = int(STRONG and machine["qemu"] == "newest")
    pando, before = template(start, "ad", 1, bootargs=f"strict={strict}", **machine)
    pando.run(f"clone t -n {64 if SOAK else 16}", 60)
    for name, lines in await_off(pando, clones(64 if SOAK else 16), 240).items():
        judge(pando, name, "ad", lines)
    pando.kill_all(before)
    pando.quit()


def test_isolation_is_what_the_banner_says(start, machine):
    """Guests that aim the marks A and D of their own page tables at frames that they share: where Pando says strong, none finds the mark
    of another; where it says weak, the same guests do find some."""
    pando, before = template(start, "ad", 1, bootargs="strict=1", **machine)
    said = pando.line(r"isolation:? (strong|weak)", 5)[1]
    assert said == ("strong" if qemu_version(machine["qemu"]) >= (8, 0) else "weak")
    pando.run("clone t -n 6", 60)
    output = await_off(pando, clones(6), 120)
    if said == "strong":
        for name, lines in output.items():
            judge(pando, name, "ad", lines)
    else:
        assert any("marks of page" in line for lines in output.values() for line in lines), output
    pando.kill_all(before)
    pando.quit()
