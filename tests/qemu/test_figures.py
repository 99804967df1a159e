# SPDX-License-Identifier: BSD-2-Clause
"""Figures that are shown must agree with each other: where the memory is, and whose it is."""

import re
import time

import pytest

from pando import QEMUS, SLOW


def balance(pando):
    """The table at the end of `mem`: what -> (counted, recorded). Raises if Pando itself says that they differ."""
    rows = [re.match(r"^  (\S.*?) +(\d+) +(\d+)$", line) for line in pando.run("mem", 60)]
    found = {row[1]: (int(row[2]), int(row[3])) for row in rows if row}
    assert set(found) == {"guest memory", "tables", "records", "zero frame", "free", "sum"}, found
    assert sum(counted for what, (counted, _) in found.items() if what != "sum") == found["sum"][0]
    for counted, recorded in found.values():
        assert counted == recorded
    return found


def test_balance(start):
    """Over a life: empty, clones that break pages while they are counted, forks, a template that has been killed, empty."""
    pando = start(tiny=[("t", "clone", "memory=8M,vcpus=2,autoboot=0", "pages=200 rounds=2000 stay=1")], harts=2)
    before, empty = balance(pando), pando.frames()
    pando.run("boot t")
    pando.freeze_at_ready("t")
    frozen = balance(pando)
    assert frozen["guest memory"][0] > before["guest memory"][0]
    pando.run("clone t -n 5")
    for _ in range(5):
        balance(pando)
    pando.run("fork t.1")
    pando.run("pause t.2")
    balance(pando)
    assert any(re.match(r"^t\.2 .* paused ", line) for line in pando.run("vms"))
    pando.run("kill t")
    balance(pando)
    lines = pando.run("mem")
    assert any(re.match(r"^t \(killed\): .* retained for 5 clones$", line) for line in lines), lines
    assert any(re.match(r"^t +6 ", line) for line in lines), lines
    lines = pando.run("vms t")
    assert not any(line.startswith("t ") for line in lines)
    assert any(line.startswith("6 VMs: 5 running, 1 paused; ") for line in lines), lines
    pando.run("kill all")
    pando.await_no_guests(empty)
    assert balance(pando)["guest memory"] == (0, 0)
    pando.quit()


def test_one_vm(start):
    pando = start(tiny=[("t", "clone", "memory=8M,vcpus=2,autoboot=0", "pages=20 rounds=2 stay=1")])
    pando.run("boot t")
    pando.freeze_at_ready("t")
    pando.run("clone t -n 3")
    for i in range(1, 4):
        pando.line(rf"\bt\.{i}: done after", 60)
    lines = pando.run("mem t")
    assert any(re.match(r"^  3 clones: .* private, .* of tables$", line) for line in lines), lines
    fixed = next(m for line in pando.run("mem t.1") if (m := re.match(r"^  fixed: ([\d.]+) KiB; record 4 KiB, .*?(; console 4 KiB)?$", line)))
    assert 4 < float(fixed[1]) - (4 if fixed[2] else 0) <= 8
    pando.quit()


def percents(line):
    return [float(word) for word in re.findall(r"([\d.]+) %", line)]


def test_time(start):
    """A guest that never leaves by itself is seen to run; a hart's time is with vCPUs, with Pando, or idle."""
    pando = start(tiny=[("t", "storm", "memory=8M,autoboot=0", "")], harts=2)
    pando.run("boot t")
    pando.freeze_at_ready("t")
    pando.run("clone t -n 8")
    for i in range(1, 9):
        pando.line(rf"\bt\.{i}: (done after|off:)", 60)
    lines = pando.run("stat")
    assert re.match(r"^machine: 2 harts, 9 VMs, up .*, isolation (strong|weak \(.*\))$", lines[0]), lines
    head = next(i for i, line in enumerate(lines) if line.startswith("  HART "))
    for hart in range(2):
        row = lines[head + 1 + hart]
        assert row.split()[0] == str(hart) and 99 <= sum(percents(row)) <= 100, row
        assert int(row.split()[-2]) > 0, row
    assert sum(line.startswith("  time: ") for line in lines) == 9
    assert any(line.startswith("locks that had to be waited for: ") for line in lines)
    guest = next(m for line in pando.run("stat t.1") if (m := re.match(r"^  time: (\d\S*) \w+ in the guest, (\d\S*) \w+ in the hypervisor", line)))
    assert float(guest[1]) > 0 and float(guest[2]) > 0
    lines = pando.run("top -n 1")
    assert len(lines) == 10 and lines[0].startswith("NAME ") and all(len(percents(line)) == 2 for line in lines[1:]), lines
    assert sum(percents(lines[1])) > 0
    assert sum(line.startswith("NAME ") for line in pando.run("top memory -n 3 -d 1")) == 3
    pando.type("top\r")
    pando.line(r"^NAME ", 10, pando.mark())
    pando.type("q")
    assert any(line.startswith("9 VMs: ") for line in pando.run("vms -s"))
    pando.quit()


@pytest.mark.parametrize("qemu", QEMUS)
def test_all_harts_come_up(start, qemu):
    """The prompt is there before they are."""
    pando = start(tiny=[("t", "hello", "memory=8M,autoboot=0", "")], harts=8, qemu=qemu)
    end = time.monotonic() + 60 * SLOW
    while not (lines := pando.run("stat"))[0].startswith("machine: 8 harts, "):
        assert time.monotonic() < end, lines
    head = next(i for i, line in enumerate(lines) if line.startswith("  HART "))
    assert [line.split()[0] for line in lines[head + 1 : head + 9]] == [str(hart) for hart in range(8)]
    assert not pando.all("does not start")
    pando.quit()
