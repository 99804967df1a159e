# SPDX-License-Identifier: BSD-2-Clause
"""Debian's kernel as a guest, and the demo: the main job end to end."""

import itertools
import re

import pytest

from pando import BUILD, QEMUS, SOAK

VERDICT = r"PANDO-TEST smp (\w+) n=(\d+)"
STALL = r"rcu.*(stall|self-detected)|BUG:|soft lockup|Oops|Kernel panic|hung_task|Call Trace"
EXPECT = BUILD / "demo-expect.bin"


@pytest.mark.parametrize("harts, vcpus", list(itertools.product([1, 2, 4], repeat=2)) if SOAK else [(1, 1), (1, 4), (2, 2), (4, 4)])
def test_smp(start, linux, vcpus, harts):
    """Boots, counts its CPUs, keeps all busy at once, powers off."""
    pando = start(*linux(vcpus=vcpus, autoboot=0, bootargs="pando.test=smp pando.poweroff"), harts=harts, mem="1G")
    before = pando.frames()
    pando.run("boot linux", 60)
    found = pando.line(VERDICT, 150)
    assert found.groups() == ("ok", str(vcpus)), found[0]
    pando.line(r"\blinux: off:", 60)
    assert not pando.all(STALL)
    pando.kill_all(before)
    pando.quit()


@pytest.mark.parametrize("cpu", ["sstc=off", "svpbmt=on,svnapot=on,svinval=on"])
def test_cpu(start, linux, cpu):
    pando = start(*linux(vcpus=2, bootargs="pando.test=smp pando.poweroff"), cpu=cpu, mem="1G")
    assert pando.line(VERDICT, 150).groups() == ("ok", "2")
    assert not pando.all(STALL)
    pando.audit()
    pando.quit()


def test_vector(start, linux):
    """Linux boots where there is V, and finds it."""
    pando = start(*linux(vcpus=2, autoboot=0, bootargs="pando.test=smp"), cpu="v=on", mem="1G")
    pando.run("boot linux")
    assert pando.line(VERDICT, 150).groups() == ("ok", "2")
    pando.prompt()
    pando.type("console linux\r")
    pando.line("attached to linux", 30)
    pando.type("\r")
    pando.line(r"^Enter 'help'", 60)
    pando.type("grep isa /proc/cpuinfo\r")
    pando.line(r"^isa\s*: rv64imafdcv_", 30)
    assert not pando.all(STALL)


@pytest.mark.skipif(len(QEMUS) < 2, reason="only one QEMU here")
def test_system_qemu(start, linux):
    pando = start(*linux(vcpus=2, bootargs="pando.test=smp pando.poweroff"), qemu="system", mem="1G")
    assert pando.line(VERDICT, 150).groups() == ("ok", "2")
    pando.audit()
    pando.quit()


def demo(linux, clones, *flags, expect=EXPECT, vcpus=2):
    options = ",".join([f"template=linux,clones={clones},expect={expect}", *flags])
    return [*linux(vcpus=vcpus, autoboot=0), "--demo", options]


@pytest.mark.parametrize("harts", [1, 2])
def test_demo(start, linux, harts):
    pando = start(*demo(linux, 6, "auto"), harts=harts, mem="2G")
    assert pando.end(240) == 0
    assert pando.all(r"^PASS: demo: 6 clones")
    assert not pando.all(STALL)


def test_demo_with_a_wrong_result(start, linux, tmp_path):
    """One expected hash is wrong: the demo must notice."""
    wrong = bytearray(EXPECT.read_bytes())
    wrong[32 * 1 + 5] ^= 1
    (tmp_path / "expect.bin").write_bytes(wrong)
    pando = start(*demo(linux, 3, "auto", expect=tmp_path / "expect.bin"), mem="2G")
    assert pando.end(240) not in (0, None)
    assert pando.all(r"^FAIL: demo")
    assert pando.all(r"linux\.2: WRONG")


def test_demo_from_the_shell(start, linux):
    """Twice in a row, refused while there are other VMs, and at once after these were killed."""
    pando = start(*demo(linux, 20), mem="2G")
    for _ in range(2):
        pando.prompt()
        mark = pando.mark()
        pando.type("demo -n 3\r")
        pando.line(r"^PASS: demo: 3 clones", 240, mark)
    pando.run("boot linux")
    assert any("demo:" in line for line in pando.command("demo -n 3"))
    pando.prompt()
    mark = pando.mark()
    pando.type("kill all\rdemo -n 3\r")
    pando.line(r"^PASS: demo: 3 clones", 240, mark)
    pando.audit()
    pando.quit()


def test_clones_live_on(start, linux):
    """After its result each clone is a Linux that idles; a few of them, all alive a while later, each with its name."""
    pando = start(*linux(vcpus=2), mem="2G")
    pando.freeze_at_ready("linux", 150)
    pando.run("clone linux -n 4")
    for i in range(1, 5):
        pando.line(rf"\blinux\.{i}: done after .*64 bytes", 150)
    states = [m for line in pando.run("vms") if (m := re.match(r"linux\.\d+ .*running", line))]
    assert len(states) == 4
    pando.audit()
    assert not pando.all(STALL)
    pando.quit()
