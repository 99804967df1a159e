# SPDX-License-Identifier: BSD-2-Clause
"""The merge scanner on the machine: by itself in idle harts, and only where the policy allows it."""

import re
import time


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
    end = time.monotonic() + 30
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
