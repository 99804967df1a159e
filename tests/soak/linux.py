#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Random control operations on Linux VMs that check their own memory (guests/linux/memcheck.c), for as long as one likes, on each QEMU
that there is: boot, freeze, clone, fork, reset, pause, resume, kill, policy, give, audit. Ends with 1 at the first wrong word in a guest, complaint
of a guest's kernel, guest that stands still, refusal or panic of Pando, or fault of an audit, and if frames are missing when all VMs are gone.

  SOAK_MINUTES=N   how long in all (20)
  SOAK_SEED=N      which operations (the time of day); a run is not repeated exactly, since guests run on meanwhile
  PANDO_QEMU, PANDO_SLOW   as for the other tests in QEMU"""

import os
import pathlib
import random
import re
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "qemu"))

# pylint: disable=wrong-import-position
from pando import BUILD, QEMUS, SLOW, Failure, Pando, make_bundle  # noqa: E402

MINUTES = float(os.environ.get("SOAK_MINUTES", "20"))
SEED = int(os.environ.get("SOAK_SEED", time.time_ns() % 1000000))
VMS_MAX = 6  # on the four harts that two CPUs of a workstation play, more would only wait
NAME_LEN = 26  # of a parent: a longer name would be cut, and no longer be one VM's alone
STANDS_STILL = 120 * SLOW  # seconds of a running VM without a word
# What `policy` changes. With time=jump a pause is time for which no CPU of the guest has run, and its watchdogs would say so.
POLICIES = ("time=jump", "time=continue", "nomem=kill", "nomem=pause", "memory=reserve", "memory=overcommit")
NO_WATCHDOGS = "nosoftlockup rcupdate.rcu_cpu_stall_suppress=1"
WRONG = r"MEMCHECK CORRUPT|memcheck: no |rcu.*(stall|self-detected)|BUG:|soft lockup|Oops|Kernel panic|hung_task|Call Trace"


class Soak:
    def __init__(self, pando, rng):
        self.pando = pando
        self.rng = rng
        self.n = {}
        self.last_word = {}
        self.before = pando.frames()

    def vms(self):
        """{name: (state, template)}, from `vms`."""
        rows = [re.match(r"^(linux\S*)\s+#\d+\s+(\w+)\s.*\s(\S+)$", line) for line in self.pando.run("vms")]
        return {row[1]: (row[2], row[3]) for row in rows if row}

    def some(self, vms, *states, template=None):
        return [name for name, (state, of) in vms.items() if state in states and (template is None or (of in vms) == template)]

    def choices(self, vms):
        """(operation, VM) for all that is possible now; fork and clone more often than death."""
        running, frozen = self.some(vms, "running"), self.some(vms, "template")
        parents = [vm for vm in vms if len(vm) < NAME_LEN]
        yield "wait", ""
        yield "scan", ""
        yield from (("policy", vm) for vm in vms)
        if len(vms) < VMS_MAX:
            yield from (("clone" if vm in frozen else "fork", vm) for vm in parents)
            if not parents:
                yield "boot", "linux"
        yield from (("pause", vm) for vm in running)
        yield from (("resume", vm) for vm in self.some(vms, "paused") * 3)
        yield from (("reset", vm) for vm in self.some(vms, "running", "paused", template=True))
        yield from (("give", vm) for vm in running)
        yield from (("dedup", vm) for vm in vms)
        if len(vms) > 2 and len(frozen) < 2:
            yield from (("freeze", vm) for vm in running)
        if len(vms) >= VMS_MAX - 1 or not parents:
            yield from (("kill", vm) for vm in vms)

    def listen(self, vms):
        """What the VMs have said since they were last asked."""
        for vm in self.some(vms, "running", "off"):
            lines = self.pando.output_of(vm)
            wrong = [line for line in lines if re.search(WRONG, line)]
            if wrong:
                for command in (f"vcpus {vm}", f"stat {vm}", f"policy {vm}", "vms"):
                    self.pando.command(command)  # for the log
                self.pando.fail(f"{vm}: {wrong}")
            if vms[vm][0] == "off":
                self.pando.fail(f"{vm} has ended: {lines}")
            if lines:
                self.last_word[vm] = time.monotonic()
            elif time.monotonic() - self.last_word.setdefault(vm, time.monotonic()) > STANDS_STILL:
                self.pando.fail(f"{vm} stands still")

    def step(self):
        vms = self.vms()
        op, vm = self.rng.choice(list(self.choices(vms)))
        self.n[op] = self.n.get(op, 0) + 1
        if op == "wait":
            time.sleep(self.rng.choice((0.1, 0.5, 2)))
        elif op == "dedup":  # whose pages are merged with whose, and how
            dedup, secure = self.rng.choice(("off", "zero", "family", "family", "domain:a")), self.rng.choice(("off", "off", "on"))
            self.pando.run(f"policy {vm} dedup={dedup} secure={secure}")
        elif op == "scan":
            self.pando.run("dedup once", 60)
        elif op == "clone":
            self.pando.run(f"clone {vm} -n {self.rng.randint(1, min(3, VMS_MAX - len(vms)))}", 60)
        elif op == "policy":
            lines = self.pando.command(f"policy {vm} {self.rng.choice(POLICIES)}", 60)
            if any("error:" in line and "reserve: wants" not in line for line in lines):
                self.pando.fail(f"policy: {lines}")
        elif op == "give":  # a payload for a guest that does not look at its window
            self.pando.run(f"give {vm} {'x' * self.rng.randint(1, 60)}", 60)
        else:
            self.pando.run(f"{op} {vm}".rstrip(), 120)
        if op in ("resume", "reset", "kill", "boot"):  # it has said nothing for a while, and may say the same again
            self.last_word.pop(vm, None)

    def run(self, until):
        steps = 0
        while time.monotonic() < until:
            self.step()
            steps += 1
            if steps % 20 == 0:
                self.listen(self.vms())
                self.pando.audit()
        self.listen(self.vms())
        self.pando.kill_all(self.before)
        return steps


def soak(which, minutes, seed):
    """One QEMU; True if all went well."""
    args = f"linux,kernel={BUILD / 'linux/Image'},initrd={BUILD / 'linux/memcheck.cpio'},memory=128M,vcpus=2,autoboot=0"
    with tempfile.TemporaryDirectory() as folder:
        bundle = make_bundle(pathlib.Path(folder) / "soak.dtb", "--vm", args, "--bootargs", f"linux=console=ttyS0 quiet cryptomgr.notests {NO_WATCHDOGS}")
        with Pando(bundle, f"soak-{which}", harts=4, mem="2G", qemu=which) as pando:
            run = Soak(pando, random.Random(seed))
            try:
                pando.run("boot linux", 60)
                pando.line(r"^\[linux\] memcheck: begins", 120)
                steps = run.run(time.monotonic() + 60 * minutes)
                pando.quit()
            except Failure as failure:
                print(f"FAIL soak on QEMU {which}: {failure}")
                return False
    counts = ", ".join(f"{n} {op}" for op, n in sorted(run.n.items()))
    print(f"ok   soak on QEMU {which}: {steps} operations in {minutes:.1f} minutes ({counts})", flush=True)
    return True


def main():
    if sys.argv[1:]:
        sys.exit(print(__doc__))
    if not (BUILD / "linux/memcheck.cpio").is_file():
        sys.exit(print("soak: skipped, no Linux guest in build/linux (make setup fetches it)"))
    print(f"SOAK_SEED={SEED} SOAK_MINUTES={MINUTES:g}", flush=True)
    good = [soak(which, MINUTES / len(QEMUS), SEED + n) for n, which in enumerate(QEMUS)]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
