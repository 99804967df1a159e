# SPDX-License-Identifier: BSD-2-Clause
"""Guest time over a freeze of an hour and over pauses, on QEMU's virtual clock, which runs ahead while all is idle."""

import re
import time

import pytest

HOUR = 3600
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}


def up(pando):
    """Seconds that the machine has been up."""
    for line in pando.run("stat"):
        if found := re.search(r", up ([\d.]+) (\w+)", line):
            return float(found[1]) * UNITS[found[2]]
    return pando.fail("stat does not say how long it is up")


def let_pass(pando, seconds):
    end = up(pando) + seconds
    while up(pando) < end:
        time.sleep(0.1)


@pytest.mark.parametrize("policy,away", [("continue", (0, 100)), ("jump", (HOUR * 1000, 100 * HOUR * 1000))])
def test_an_hour_in_the_freezer_and_a_pause(start, policy, away):
    """The clone sees the hour or does not; no tick is made up for; then a pause of ten minutes in mid-count, likewise."""
    tiny = ("t", "pauses", f"memory=8M,autoboot=0,time={policy}", "ms=500")
    pando = start(tiny=[tiny], harts=1, icount=True)
    before = pando.frames()
    pando.run("boot t")
    pando.freeze_at_ready("t")
    let_pass(pando, HOUR)
    pando.run("clone t")
    pando.run("watch t.1")
    found = pando.line(r"^\[t\.1\] away (\d+) ms", 60)
    assert away[0] <= int(found[1]) <= away[1], found[0]
    pando.run("pause t.1")
    let_pass(pando, 600)
    pando.run("resume t.1")
    found = pando.line(r"^\[t\.1\] longest step (\d+) ms", 120)
    assert int(found[1]) >= 600000 if policy == "jump" else int(found[1]) <= 100, found[0]
    pando.verdict("t.1", "pauses", 30)
    pando.kill_all(before)
    pando.quit()


@pytest.mark.parametrize("policy", ["continue", "jump"])
def test_linux_after_an_hour(start, linux, policy):
    """Linux's own clock likewise; it does not make up for 900,000 ticks, nor complain."""
    bootargs = "pando.mode=agent-idle pando.log loglevel=6"
    pando = start(*linux(memory="128M", autoboot=0, bootargs=bootargs), harts=1, icount=True, mem="1G")
    pando.run("boot linux")
    pando.freeze_at_ready("linux", 300)
    pando.run(f"policy linux time={policy}")
    let_pass(pando, HOUR)
    mark = pando.mark()
    pando.run("clone linux")
    pando.line(r"\blinux\.1: done after", 60, mark)
    lines = "\n".join(pando.output_of("linux.1"))
    stamp = re.search(r"\[ *(\d+)\.\d+\] random: crng reseeded", lines)
    assert stamp, lines
    assert int(stamp[1]) >= HOUR if policy == "jump" else int(stamp[1]) < 600
    let_pass(pando, 10)
    exits = re.search(r"exits: (\d+)", "\n".join(pando.run("stat linux.1")))
    assert int(exits[1]) < 10000, exits[0]
    assert not re.search(r"stall|lockup|BUG", "\n".join(pando.output_of("linux.1")))
    pando.quit()
