# SPDX-License-Identifier: BSD-2-Clause
"""Who a clone is: Linux clones draw random numbers as their first act, and no two draw the same."""

import re

import pytest

from pando import QEMUS, SOAK

BATCH = 50  # clones alive at once
RESEEDED = "crng reseeded due to virtual machine fork"


def draws(pando, vm):
    """What vm has drawn: getrandom, /dev/urandom and a UUID of each of its two CPUs."""
    for line in pando.run(f"result {vm}"):
        if found := re.match(rf"{re.escape(vm)}: \d+ bytes: (.*)", line):
            words = found[1].split()
            assert len(words) == 6 and all(re.fullmatch(r"[0-9a-f-]{32,36}", word) for word in words), line
            return words
    return pando.fail(f"result {vm} says nothing")


def template(start, linux, **machine):
    bootargs = "pando.mode=random loglevel=6"
    pando = start(*linux(memory="128M", vcpus=2, autoboot=0, bootargs=bootargs), **({"mem": "2G"} | machine))
    before = pando.frames()
    pando.run("boot linux")
    pando.freeze_at_ready("linux", 150)
    return pando, before


@pytest.mark.parametrize("qemu", QEMUS)
def test_random_numbers_differ(start, linux, qemu):
    """All of them, of all clones, on both CPUs: whoever draws before the new seed draws what a sibling draws."""
    n = 1000 if SOAK or qemu == QEMUS[0] else 50
    pando, before = template(start, linux, qemu=qemu)
    seen = {}
    for first in range(1, n + 1, BATCH):
        batch = [f"linux.{i}" for i in range(first, min(first + BATCH, n + 1))]
        mark = pando.mark()
        pando.run(f"clone linux -n {len(batch)}", 60)
        for vm in batch:
            pando.line(rf"\b{re.escape(vm)}: done after", 120, mark)
        for vm in batch:
            for word in draws(pando, vm):
                assert word not in seen, f"{vm} and {seen[word]} have drawn {word}"
                seen[word] = vm
        assert RESEEDED in "\n".join(pando.output_of(batch[-1]))
        for vm in batch:
            pando.run(f"kill {vm}")
    assert len(seen) == 6 * n
    pando.kill_all(before)
    pando.quit()


def test_reset_and_fork_draw_anew(start, linux):
    """A clone that starts over, and the child of a running one, are somebody else."""
    pando, before = template(start, linux)
    pando.run("clone linux")
    pando.line(r"\blinux\.1: done after", 60)
    seen = draws(pando, "linux.1")
    mark = pando.mark()
    pando.run("reset linux.1")
    pando.line(r"\blinux\.1: done after", 60, mark)
    seen += draws(pando, "linux.1")
    assert len(set(seen)) == 12
    pando.output_of("linux.1")
    pando.run("fork linux.1")
    pando.run("watch linux.1.1")
    pando.line(rf"^\[linux\.1\.1\] .*{RESEEDED}", 30)
    assert not pando.output_of("linux.1"), "the parent was told that it is another"
    pando.kill_all(before)
    pando.quit()


@pytest.mark.parametrize("qemu", QEMUS)
@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("harts", [1, 2])
def test_interrupt_and_gate(start, mode, harts, qemu):
    """Before the clone's first instruction, before its second vCPU; or not at all; or not heard (guests/tiny/identity.c)."""
    n = 6
    pando = start(tiny=[("t", "identity", "memory=8M,vcpus=2,autoboot=0", f"mode={mode}")], harts=harts, qemu=qemu)
    before = pando.frames()
    pando.run("boot t")
    pando.freeze_at_ready("t")
    pando.run(f"clone t -n {n}")
    ids = set()
    for i in range(1, n + 1):
        pando.line(rf"\bt\.{i}: off:", 60)
        lines = pando.output_of(f"t.{i}")
        if "PANDO-GUEST identity ok" not in lines:
            pando.fail(f"t.{i}: {lines}")
        ids |= {line for line in lines if line.startswith("id ")}
    assert len(ids) == n
    pando.kill_all(before)
    pando.quit()
