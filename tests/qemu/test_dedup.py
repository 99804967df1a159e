# SPDX-License-Identifier: BSD-2-Clause
"""The merge scanner on the machine: by itself in idle harts, and only where the policy allows it."""

import hashlib
import re
import time

import pytest

from duplicates import Ram, count
from pando import BUILD, LONG, QEMUS, SLOW, SOAK
from test_clones import clones, judge

SIBLINGS_S = 20 if SOAK else 2


def saved(pando):
    """Pages that merging saves now, by kind."""
    text = "\n".join(pando.run("dedup"))
    found = re.search(r"saved now: \d+ pages, .*; zero (\d+), back (\d+), merged (\d+)", text)
    assert found, text
    return dict(zip(("zero", "back", "merged"), map(int, found.groups())))


def test_two_guests(start):
    """Two that were booted separately: nothing as long as the policy is off; one domain; unmerge gives the frames back."""
    pando = start(tiny=[("t", "work", "memory=8M,autoboot=0,dedup=off", "")], harts=2)
    pando.run("boot t -n 2")
    for vm in ("t", "t-2"):
        pando.line(rf"\b{vm}: ready", 20)
    for _ in range(4):
        pando.run("dedup once")
    assert sum(saved(pando).values()) == 0
    for vm in ("t", "t-2"):
        pando.run(f"policy {vm} dedup=family")
    for _ in range(4):
        pando.run("dedup once")
    alone = saved(pando)["merged"]
    for vm in ("t", "t-2"):
        pando.run(f"policy {vm} dedup=domain:d")
    end = time.monotonic() + 60 * SLOW
    while saved(pando)["merged"] <= alone:
        assert time.monotonic() < end, "no idle hart merges"
        time.sleep(0.5)
    pando.audit()
    for vm in ("t", "t-2"):
        pando.run(f"dedup unmerge {vm}")
    assert sum(saved(pando).values()) == 0
    pando.audit()
    pando.run("kill all")
    pando.run("mem")  # refuses if its two counts differ
    pando.quit()


# ---- guests that plant copies of what a neighbour has


def costs(pando, vm, passes=6):
    """Has the scanner go round, and then the guest time an access to each of its pages: {(access, pages): {instructions: how often}}."""
    for _ in range(passes):
        pando.run("dedup once")
    mark = pando.mark()
    pando.run(f"give {vm} now")
    pando.line(rf"\b{vm}: done after", 60, mark)
    found = {}
    for m in pando.all(rf"^\[{vm}\] COST (\w+) (\w+) (\d+) x (\d+)", mark):
        found.setdefault((m[1], m[2]), {})[int(m[3])] = int(m[4])
    assert len(found) == 4, found
    return found


def plants(start, policy):
    """Two guests that have half of their pages in common, on a machine that counts instructions."""
    tiny = [(f"t{k}", "plant", f"memory=8M,autoboot=0,{p}", f"salt={k + 1}") for k, p in enumerate(policy)]
    pando = start(tiny=tiny, harts=1, icount=True)
    pando.run("dedup off")  # it goes round when it is told
    for k in range(len(policy)):
        pando.run(f"boot t{k}")
        pando.line(rf"\bt{k}: ready", 30)
        pando.run(f"resume t{k}")
        pando.run(f"watch t{k}")
    return pando


def mean(tally):
    return sum(cost * n for cost, n in tally.items()) / sum(tally.values())


def counter(pando, word):
    return int(re.search(rf"\b{word} (\d+)", "\n".join(pando.run("dedup")).split("since boot:")[1])[1])


def test_copies_in_one_domain_show(start):
    """So the two tests below would notice."""
    pando = plants(start, ["dedup=domain:d"] * 2)
    found = costs(pando, "t1")
    assert found["load", "planted"].keys() == found["load", "own"].keys() == {0}
    assert mean(found["store", "own"]) < 500 and mean(found["store", "planted"]) > 1000, found  # the former: D is set again
    pando.audit()
    pando.quit()


def test_copies_in_another_domain_do_not(start):
    """A hostile guest that guesses what its neighbour holds is merged with itself at best."""
    pando = plants(start, ["dedup=domain:victim", "dedup=domain:hostile"])
    found = costs(pando, "t1", 12)
    for access in ("load", "store"):
        assert len(found[access, "own"]) == 1 and found[access, "own"].keys() == found[access, "planted"].keys(), found
    assert counter(pando, "unique") > 0
    pando.audit()
    pando.quit()


def test_copies_in_secure_mode_do_not(start):
    """Merged or not, an access takes the same instructions, one by one; only what the hart's stock of frames adds now and then is not at a place
    of its own."""
    pando = plants(start, ["dedup=domain:d,secure=on"] * 2)
    found = costs(pando, "t1")
    assert counter(pando, "merged") > 100 and counter(pando, "hidden") > 100
    for access in ("load", "store"):
        own, planted = found[access, "own"], found[access, "planted"]
        usual = max(own, key=own.get)
        assert usual > 1000 and usual == max(planted, key=planted.get), found
        for tally in (own, planted):
            assert tally[usual] > 0.9 * sum(tally.values()), found
    pando.audit()
    pando.quit()


# ---- a scanner that is always at it


def scan_flat_out(pando, until):
    """Passes one after the other, beside those of idle and busy harts, until until(how many there were) says so."""
    pando.run("dedup rate=100")
    n = 0
    while not until(n):
        pando.run("dedup once", 60)
        n += 1


@pytest.mark.parametrize("secure", ["off", "on"])
@pytest.mark.parametrize("machine", QEMUS)
def test_memory_checkers(start, machine, secure):
    """SMP guests that check their memory, of one domain, and clones of one of them: all of them write, and count on, pages that are merged
    and hidden all the time."""
    keys = f"memory=8M,vcpus=4,autoboot=0,dedup=domain:d,secure={secure}"
    pando = start(tiny=[("t", "siblings", keys, f"pages=64 {LONG}"), ("u", "siblings", keys, f"pages=64 {LONG} ready=0")], harts=4, qemu=machine)
    before = pando.frames()
    pando.run("boot t")
    pando.freeze_at_ready("t")
    pando.run("boot u -n 2")
    pando.run("clone t -n 3")
    names = ["u", "u-2", *clones(3)]
    end = time.monotonic() + SIBLINGS_S
    scan_flat_out(pando, lambda n: n > 5 and time.monotonic() > end)
    pando.end_guests(*names)
    scan_flat_out(pando, lambda _: all(pando.all(rf"\b{re.escape(name)}: off:") for name in names))
    for name in names[:2]:
        pando.verdict(name, "siblings", 10)
    for name in names[2:]:
        judge(pando, name, "siblings", pando.output_of(name))
    assert sum(counter(pando, word) for word in ("zero", "back", "kept", "merged", "hidden")) > 0
    pando.kill_all(before)
    pando.quit()


CACHE = "n=0; while [ $n -lt {rounds} ]; do n=$((n+1)); for f in a b c d; do cat /bin/busybox >/$f; done; sync; echo 3 >/proc/sys/vm/drop_caches; s=$(cat /a /b /c /d | sha256sum); rm /a /b /c /d; echo sum $n $s; done"


def test_page_cache(start, linux):
    """Linux fills its page cache with copies and drops them, time and again; what it frees it zeroes."""
    busybox = (BUILD / "linux/busybox").read_bytes()
    right, rounds = hashlib.sha256(busybox * 4).hexdigest(), 40 if SOAK else 3
    pando = start(*linux(vcpus=2, autoboot=0, bootargs="pando.mode=idle init_on_free=1"), harts=2, mem="1G")
    before = pando.frames()
    pando.run("boot linux")
    pando.line(r"^\[linux\] pando guest: init", 120)
    pando.prompt()
    pando.type("console linux\r")
    pando.line("attached to linux", 30)
    pando.type("\r")
    pando.line(r"^Enter 'help'", 60)
    text = CACHE.format(rounds=rounds) + "\r"
    for i in range(0, len(text), 8):  # as fast as a person might; a UART has no room for more than a few bytes
        pando.type(text[i : i + 8])
        time.sleep(0.05)
    pando.line(r"^sum 1 [0-9a-f]{64}", 60)
    pando.type("\x1d")
    pando.run("watch linux")

    def sums():
        return [m[1] for m in pando.all(r"sum \d+ ([0-9a-f]{64})")]

    scan_flat_out(pando, lambda _: len(sums()) == rounds)
    assert sums() == [right] * rounds
    assert counter(pando, "zero") > 1000 and counter(pando, "merged") > 100
    pando.audit()
    assert not pando.all(r"rcu.*(stall|self-detected)|BUG:|Oops|Kernel panic|Call Trace")
    pando.kill_all(before)
    pando.quit()


def test_two_debians(start, linux, tmp_path):
    """Two that were booted separately and stand still, against a count of all their pages from outside."""
    ram = Ram(tmp_path, 768)
    pando = start(*linux(memory="128M", autoboot=0, bootargs="pando.mode=idle"), harts=2, mem="768M", extra=ram.options())
    pando.run("dedup off")
    pando.run("boot linux -n 2")
    for vm in ("linux", "linux-2"):
        pando.run(f"watch {vm}")
        pando.line(rf"^\[{vm}\] pando guest: init", 120)
    time.sleep(3)
    for vm in ("linux", "linux-2"):
        pando.run(f"pause {vm}")
    before = pando.frames()
    n, duplicates = count(ram.guest_pages())
    assert n == before["guest pages"] + before["guest blocks"]

    def won(*commands):
        for command in [*commands, *["dedup once"] * 6]:
            pando.run(command, 60)
        now = pando.frames()
        return n - now["guest pages"] - now["guest blocks"]

    by_default = won()
    together = won("policy linux dedup=domain:d", "policy linux-2 dedup=domain:d")
    split = won("dedup split=always")
    print(f"{n} pages, {duplicates} duplicates; default policy {by_default}, one domain {together}, all blocks split {split}")
    assert by_default < together <= split
    assert split >= 0.98 * duplicates
    n, left = count(ram.guest_pages())
    assert left <= 0.02 * duplicates
    pando.audit()
    for vm in ("linux", "linux-2"):
        pando.run(f"dedup unmerge {vm}", 60)
    assert sum(saved(pando).values()) == 0
    pando.audit()
    pando.quit()
