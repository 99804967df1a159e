# SPDX-License-Identifier: BSD-2-Clause
"""Freeze, clone, fork, reset, kill: guests that check themselves on both sides, on 1, 2 and 4 harts."""

import itertools
import re
import time

import pytest

from pando import LONG, SOAK, qemu_version

STRONG = (qemu_version() or (0, 0)) >= (8, 0)  # older machines write A and D into read-only frames


def template(start, guest, vcpus=1, memory="8M", bootargs="", **machine):
    pando = start(tiny=[("t", guest, f"memory={memory},vcpus={vcpus},autoboot=0", bootargs)], **machine)
    before = pando.frames()
    pando.run("boot t")
    pando.freeze_at_ready("t")
    return pando, before


def await_done(pando, names, limit, start=0):
    for name in names:
        pando.line(rf"\b{re.escape(name)}: done after .*64 bytes", limit, start)


def await_off(pando, names, limit):
    """All must end with their own good verdict."""
    for name in names:
        pando.line(rf"\b{re.escape(name)}: off:", limit)
    return {name: pando.output_of(name) for name in names}


def clones(n, first=1):
    return [f"t.{i}" for i in range(first, first + n)]


def judge(pando, name, guest, lines):
    verdicts = [line for line in lines if line.startswith("PANDO-GUEST")]
    if verdicts != [f"PANDO-GUEST {guest} ok"]:
        pando.fail(f"{name}: {lines}")


@pytest.mark.parametrize("harts,vcpus,n", [(1, 1, 6), (2, 1, 12), (1, 2, 4), (2, 2, 8), (4, 2, 6)])
def test_clone(start, harts, vcpus, n):
    pando, before = template(start, "clone", vcpus, bootargs="pages=200 rounds=10", harts=harts)
    pando.run(f"clone t -n {n}", 60)
    output = await_off(pando, clones(n), 180)
    words = []
    for name, lines in output.items():
        judge(pando, name, "clone", lines)
        number = name.split(".")[1]
        found = re.search(rf"clone {number} generation (\d+) entropy (\w+)", "\n".join(lines))
        assert found, lines
        words.append(found.groups())
    assert len({g for g, _ in words}) == n, "generations are not unique"
    assert len({e for _, e in words}) == n, "two clones were given the same random numbers"
    assert len(pando.all(r"\bt\.\d+: done after .*64 bytes")) == n
    pando.kill_all(before)
    pando.quit()


@pytest.mark.parametrize("harts", [1, 2, 4])
def test_storm(start, harts):
    n = 1000 if SOAK else 60
    pando, before = template(start, "storm", harts=harts, mem="2G")
    pando.run(f"clone t -n {n}", 60)
    for name, lines in await_off(pando, clones(n), 300).items():
        judge(pando, name, "storm", lines)
    pando.kill_all(before)
    pando.quit()


@pytest.mark.parametrize("harts,vcpus", [(1, 1), (2, 2)])
def test_guest_tables_on_shared_frames(start, harts, vcpus):
    pando, before = template(start, "ad", vcpus, bootargs=f"strict={int(STRONG)}", harts=harts)
    pando.run("clone t -n 8", 60)
    for name, lines in await_off(pando, clones(8), 120).items():
        judge(pando, name, "ad", lines)
    pando.kill_all(before)
    pando.quit()


@pytest.mark.parametrize("harts,vcpus,vlen", [(1, 1, 128), (2, 2, 128), (1, 2, 512), (2, 1, 512)])
def test_vector(start, harts, vcpus, vlen):
    """Vector state goes with a clone, comes back with a reset, and is split by a fork at one instant."""
    pando, before = template(start, "vector", vcpus, bootargs=f"seed=7 ready=1 {LONG}", harts=harts, cpu=f"v=on,vlen={vlen}")
    pando.run("clone t -n 4", 60)
    time.sleep(0.6)
    pando.end_guests(*clones(4))
    for name, lines in await_off(pando, clones(4), 90).items():
        judge(pando, name, "vector", lines)
    pando.run("watch t.1")
    mark = pando.mark()
    pando.run("reset t.1")
    pando.line(r"^\[t\.1\] running", 60, mark)
    pando.run("fork t.1")
    time.sleep(0.3)
    pando.end_guests("t.1", "t.1.1")
    pando.verdict("t.1", "vector", 60, mark)
    pando.line(r"\bt\.1\.1: off:", 60)
    judge(pando, "t.1.1", "vector", pando.output_of("t.1.1"))
    pando.kill_all(before)
    pando.quit()


@pytest.mark.parametrize("order", list(itertools.permutations(["t", "t.1", "t.2"])), ids="-".join)
def test_kill_in_every_order(start, order):
    pando, before = template(start, "clone", bootargs="pages=64 rounds=2 stay=1")
    pando.run("clone t -n 3")
    await_done(pando, clones(3), 60)
    for name in order:
        pando.run(f"kill {name}")
        pando.audit()
    assert any(line.startswith("t.3 ") for line in pando.run("vms"))
    pando.kill_all(before)
    pando.quit()


def test_chain(start):
    """A clone of a clone of a clone; the middle of the chain dies first."""
    pando, before = template(start, "clone", bootargs="pages=64 rounds=2 stay=1")
    names, parent = [], "t"
    for _ in range(6):
        last = pando.run(f"clone {parent}")
        child = next(m[1] for line in last if (m := re.search(r"the last is (\S+)", line)))
        if parent == "t":
            pando.line(rf"\b{re.escape(child)}: done after", 60)
        else:
            time.sleep(0.2)
        pando.run(f"freeze {child}")
        names.append(child)
        parent = child
    pando.audit()
    for name in names[2:4] + ["t"] + names[:2]:
        pando.run(f"kill {name}")
        pando.audit()
    pando.kill_all(before)
    pando.quit()


def test_reset(start):
    """A clone goes back to where it was frozen, as often as one likes, and its template does not notice."""
    pando, before = template(start, "clone", bootargs="pages=64 rounds=2 stay=1")
    pando.run("clone t -n 2")
    await_done(pando, clones(2), 60)
    pando.run("watch t.1")
    for _ in range(4):
        mark = pando.mark()
        pando.run("reset t.1")
        pando.line(r"^\[t\.1\] clone 1 is content", 60, mark)
        pando.audit()
    pando.kill_all(before)
    pando.quit()


@pytest.mark.parametrize("harts", [1, 2])
def test_fork(start, harts):
    """Parent and children go on from the same instant; each finds only what it wrote itself."""
    pando = start(tiny=[("p", "fork", "memory=8M,autoboot=0", f"pages=200 {LONG}")], harts=harts)
    before = pando.frames()
    pando.run("boot p")
    pando.line(r"^\[p\] running", 20)
    names = []
    for of in ("p", "p", "child", "p"):
        time.sleep(0.2)
        lines = pando.run(f"fork {names[0] if of == 'child' else of}")
        names.append(next(m[1] for line in lines if (m := re.search(r"forked (\S+)", line))))
        pando.run(f"watch {names[-1]}")
    for name in ["p", names[0]]:  # whoever forks, or is forked, has no template by that
        assert f"error: {name}: has no template to go back to" in pando.command(f"reset {name}")
    for name in names:  # it knows that it is a child
        pando.line(rf"^\[{re.escape(name)}\] generation \d+ comes from", 60)
    pando.end_guests("p", *names)
    for name in ["p", *names]:
        pando.verdict(name, "fork", 90)
    assert len(set(names)) == 4
    pando.kill_all(before)
    pando.quit()


def test_freeze_of_a_busy_guest(start):
    """Frozen wherever it is, not at a point of its choosing: 2 vCPUs that send IPIs, then one full of FP state."""
    pando = start(
        tiny=[("i", "ipi", "memory=4M,vcpus=2,autoboot=0", "rounds=20000"), ("f", "fp", "memory=4M,vcpus=2,autoboot=0", LONG)]
    )
    before = pando.frames()
    for name, guest in (("i", "ipi"), ("f", "fp")):
        pando.run(f"boot {name}")
        time.sleep(0.5)
        pando.run(f"freeze {name}")
        pando.run(f"clone {name} -n 3")
        children = [f"{name}.{i}" for i in range(1, 4)]
        if name == "f":
            time.sleep(0.5)
            pando.end_guests(*children)
        for child in children:
            pando.line(rf"\b{re.escape(child)}: off:", 180)
            judge(pando, child, guest, pando.output_of(child))
    pando.kill_all(before)
    pando.quit()


def test_many_times(start):
    """Clones come and go; the machine stays as it was."""
    pando, before = template(start, "storm", bootargs="pages=16 rounds=3")
    first = 1
    for _ in range(200 if SOAK else 25):
        pando.run("clone t -n 20", 60)
        for name in clones(20, first):
            pando.line(rf"\b{re.escape(name)}: off:", 60)
        for name in clones(20, first):
            pando.run(f"kill {name}")
        first += 20
    pando.kill_all(before)
    pando.quit()


def test_pause(start):
    pando = start(tiny=[("c", "timer", "memory=4M,autoboot=0", "")])
    before = pando.frames()
    pando.run("boot c")
    pando.run("pause c")
    assert any(re.match(r"c .*paused", line) for line in pando.run("vms"))
    time.sleep(1)
    assert not pando.all(r"^\[c\] PANDO-GUEST")
    pando.run("resume c")
    pando.line(r"^\[c\] PANDO-GUEST timer", 60)
    pando.kill_all(before)
    pando.quit()
