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
