# SPDX-License-Identifier: BSD-2-Clause
"""Tiny self-judging guests: one row for each run. A row names the VMs (guest, vCPUs, memory, bootargs), the machine's
harts and CPU properties, the oldest QEMU that knows these, and a time limit in seconds for the verdicts.

Each run ends with an audit, and with as many free frames as it began with."""

import dataclasses
import re
import time

import pytest

from pando import QEMUS, SOAK, qemu_version

VERSION = qemu_version()


@dataclasses.dataclass
class VM:
    guest: str
    vcpus: int = 1
    memory: str = "4M"
    bootargs: str = ""
    judged: bool = True  # False: its verdict, if any, says nothing


@dataclasses.dataclass
class Run:
    vms: list
    harts: int = 1
    limit: float = 40
    cpu: str = ""
    qemu: tuple = (7, 2)
    machine: str = ""
    mem: str = "512M"


def one(guest, vcpus=1, harts=1, **keys):
    run = {k: keys.pop(k) for k in list(keys) if k in ("limit", "cpu", "qemu", "machine", "mem")}
    return Run([VM(guest, vcpus, **keys)], harts, **run)


ROUNDS = "rounds=1000000" if SOAK else "rounds=20000"
IPI_LIMIT = 3600 if SOAK else 90

BASIC = {
    "hello": one("hello", 2, 2),
    "traps": one("traps"),
    "traps-2-vms-aia": Run([VM("traps"), VM("traps")], 1, machine="aia=aplic-imsic", qemu=(10, 0)),
    "timer": one("timer"),
    "timer-2-vms": Run([VM("timer"), VM("timer")], 1),
    "wfi": one("wfi"),
    "ipi-1-hart": one("ipi", 2, 1, bootargs=ROUNDS, limit=IPI_LIMIT),
    "ipi-2-harts": one("ipi", 2, 2, bootargs=ROUNDS, limit=IPI_LIMIT),
    "ipi-crowded": Run([VM("ipi", 2, bootargs="rounds=4000"), VM("ipi", 2, bootargs="rounds=4000"), VM("fp", 1)], 2, 120),
    "hsm-2-on-1": one("hsm", 2, 1),
    "hsm-4-on-2": one("hsm", 4, 2, limit=60),
    "hsm-8-on-4": one("hsm", 8, 4, bootargs="rounds=100", limit=90),
    "rfence-2-on-1": one("rfence", 2, 1, bootargs="rounds=1000", limit=90),
    "rfence-2-on-2": one("rfence", 2, 2, limit=90),
    "rfence-4-on-4": one("rfence", 4, 4, bootargs="rounds=1000", limit=90),
    "rfence-2-vms": Run([VM("rfence", 2, bootargs="rounds=500"), VM("rfence", 2, bootargs="rounds=500")], 2, 120),
    "mmio": one("mmio"),
    "sbi": one("sbi", 2, 1),
    "mailbox": one("mailbox", bootargs=f"after={int(time.time())}"),
    "fp-2-vcpus-1-hart": one("fp", 2, 1),
    "fp-2-vms-1-hart": Run([VM("fp", bootargs="seed=1"), VM("fp", bootargs="seed=2")], 1),
    "fp-2-vms-2-harts": Run([VM("fp", 2, bootargs="seed=1"), VM("fp", 2, bootargs="seed=2")], 2),
    "lrsc-1-hart": one("lrsc", 2, 1, limit=90),
    "lrsc-2-harts": one("lrsc", 2, 2, limit=60),
    "smc": one("smc", 2, 2),
    "smc-1-hart": one("smc", 2, 1, bootargs="rounds=500", limit=90),
    "memory-small": one("memory", memory="2M"),
    "memory-64M": one("memory", memory="64M", limit=60),
    "memory-odd": one("memory", memory="18M"),
    "hostile": Run([VM("hostile", memory="8M", bootargs="seed=7 rounds=1500"), VM("timer"), VM("memory", memory="8M")], 2, 90),
    "hostile-wild": Run(
        [VM("hostile", 2, "8M", f"seed={seed} wild=1", judged=False) for seed in (11, 12, 13)] + [VM("timer"), VM("mmio")], 2, 90
    ),
}

# What the machine's CPU offers varies; Pando must use what is there, offer it or hide it, and touch nothing else. Four
# guests that look at CSRs, timers, traps and registers run on each.
CPUS = {
    "sstc-off": ("sstc=off", (7, 2), ""),
    "zicbom-zicboz-off": ("zicbom=off,zicboz=off", (8, 0), ""),
    "svpbmt-on": ("svpbmt=on", (7, 2), ""),
    "svpbmt-svnapot-svinval": ("svpbmt=on,svnapot=on,svinval=on", (7, 2), ""),
    "svadu-off": ("svadu=off", (8, 0), ""),
    "a-and-d-fault": ("svade=on,svadu=off", (9, 1), ""),
    "smstateen-on": ("smstateen=on", (8, 0), ""),
    "aia": ("", (10, 0), "aia=aplic-imsic"),
    "aia-smstateen": ("smstateen=on", (10, 0), "aia=aplic-imsic"),
    "v-on": ("v=on", (7, 2), ""),
    "fd-only-no-zba": ("zba=off,zbb=off,zbs=off", (7, 2), ""),
    "sv48": ("sv57=off", (8, 0), ""),
    "all-off": ("sstc=off,zicbom=off,zicboz=off,svadu=off,zba=off,zbb=off,zbc=off,zbs=off", (8, 0), ""),
}
QUARTET = ("traps", "timer", "mmio", "sbi")

# The vector unit, at the lengths that differ in how its state is laid out: (guest's VMs, harts, VLEN).
V = {
    "none": (Run([VM("vector", 2)], 2), 0),
    "2-vcpus-1-hart": (one("vector", 2, 1), 128),
    "2-vms-1-hart": (Run([VM("vector", bootargs="seed=1"), VM("vector", bootargs="seed=2")], 1), 128),
    "2-vms-1-hart-512": (Run([VM("vector", bootargs="seed=1"), VM("vector", bootargs="seed=2")], 1), 512),
    "3-vms-2-harts-512": (Run([VM("vector", 2, bootargs=f"seed={seed}") for seed in (1, 2, 3)], 2), 512),
    "2-vms-2-harts-1024": (Run([VM("vector", 2, bootargs="seed=1"), VM("vector", 2, bootargs="seed=2")], 2), 1024),
}


def check(start, run):
    if VERSION is None or VERSION < run.qemu:
        pytest.skip(f"needs QEMU {run.qemu[0]}.{run.qemu[1]}")
    names = [f"{vm.guest}{i}" for i, vm in enumerate(run.vms)]
    tiny = [(n, vm.guest, f"memory={vm.memory},vcpus={vm.vcpus},autoboot=0", vm.bootargs) for n, vm in zip(names, run.vms)]
    pando = start(tiny=tiny, harts=run.harts, cpu=run.cpu, machine=run.machine, mem=run.mem)
    before = pando.frames()
    for name in names:
        pando.run(f"boot {name}")
    for name, vm in zip(names, run.vms):
        if vm.judged:
            pando.verdict(name, vm.guest, run.limit)
            pando.line(rf"\b{name}: off:", 10)
    pando.kill_all(before)
    pando.quit()


@pytest.mark.parametrize("name", BASIC)
def test_guest(start, name):
    check(start, BASIC[name])


@pytest.mark.parametrize("name", V)
def test_vector(start, name):
    run, vlen = V[name]
    check(start, dataclasses.replace(run, cpu=f"v=on,vlen={vlen}" if vlen else "", limit=90))


@pytest.mark.parametrize("name", CPUS)
def test_cpu(start, name):
    cpu, qemu, machine = CPUS[name]
    check(start, Run([VM(g, 2 if g == "sbi" else 1) for g in QUARTET], 2, 90, cpu, qemu, machine))


@pytest.mark.skipif(len(QEMUS) < 2, reason="only one QEMU here")
@pytest.mark.parametrize("guests", [("traps", "timer", "mmio", "sbi"), ("ipi", "rfence", "wfi"), ("hsm", "lrsc", "fp")], ids="-".join)
def test_system_qemu(start, guests):
    """The distribution's own QEMU, where a newer one serves the other tests."""
    tiny = [(g, g, "memory=4M,vcpus=2,autoboot=0", f"rounds={100 if g == 'hsm' else 3000}") for g in guests]
    pando = start(tiny=tiny, harts=2, qemu="system")
    before = pando.frames()
    for g in guests:
        pando.run(f"boot {g}")
    for g in guests:
        pando.verdict(g, g, 120)
    pando.kill_all(before)
    pando.quit()


CLOCK = ("clock", "timer", "memory=4M,autoboot=0", "")


def test_out_of_memory(start):
    """A guest that wants more than there is stops; its neighbour goes on; what the kill returns lets the next one go on."""
    hog = "memory=448M,vcpus=1,autoboot=0"  # one fits, two are far from it, whoever is faster
    pando = start(tiny=[("a", "nomem", hog, ""), ("b", "nomem", hog, ""), CLOCK], mem="512M")
    before = pando.frames()
    for name in ("clock", "a", "b"):
        pando.run(f"boot {name}")
    waiting = pando.line(r"\b([ab]): waits for memory", 120)[1]
    other = "b" if waiting == "a" else "a"
    pando.run(f"kill {waiting}")
    pando.verdict("clock", "timer", 60)
    pando.verdict(other, "nomem", 120)
    pando.audit()
    pando.kill_all(before)
    pando.quit()


def test_nobody_can_move(start):
    """Two of which neither can finish beside the other: one is killed when nothing else is alive, and the other finishes."""
    hog = "memory=448M,vcpus=1,autoboot=0"
    pando = start(tiny=[("a", "nomem", hog, ""), ("b", "nomem", hog, ""), CLOCK], mem="512M")
    before = pando.frames()
    for name in ("clock", "a", "b"):
        pando.run(f"boot {name}")
    pando.verdict("clock", "timer", 120)
    killed = pando.line(r"\b([ab]): off: killed: every VM that could run waits for memory", 120)[1]
    pando.verdict("b" if killed == "a" else "a", "nomem", 120)
    pando.kill_all(before)
    pando.quit()


def test_out_of_memory_kill(start):
    """One VM larger than the machine, killed by its policy, and a neighbour that was there before."""
    pando = start(tiny=[CLOCK, ("hog", "nomem", "memory=1G,autoboot=0,no-memory=kill", "")], mem="256M")
    before = pando.frames()
    pando.run("boot clock")
    pando.run("boot hog")
    pando.line(r"\bhog: off: killed: out of memory", 60)
    pando.verdict("clock", "timer", 60)
    assert not pando.all(r"^\[hog\] PANDO-GUEST")
    pando.kill_all(before)
    pando.quit()


def test_reserved(start):
    """A VM with a promise writes all it has while another has eaten the machine; one that does not fit is refused."""
    pando = start(
        tiny=[
            ("safe", "nomem", "memory=96M,autoboot=0,memory-policy=reserve", ""),
            ("hog", "nomem", "memory=1G,autoboot=0", ""),
            CLOCK,
        ],
        mem="256M",
    )
    before = pando.frames()
    pando.run("boot clock")
    pando.run("boot safe")
    pando.run("boot hog")
    refused = pando.command("policy hog memory=reserve")
    assert any(re.search(r"error: hog: reserve: wants \d+\.\d MiB, \d+\.\d MiB left", line) for line in refused), refused
    pando.verdict("safe", "nomem", 120)
    pando.verdict("clock", "timer", 60)
    pando.audit()
    pando.kill_all(before)
    pando.quit()
