# SPDX-License-Identifier: BSD-2-Clause
"""The Debian guest: what its boot costs, what a clone of it occupies as time goes by, and a thousand clones by the wall
clock."""

import hashlib
import re
import subprocess
import time

from drive import LIMIT, TOP, Machine, pando

PAGE = 4096
CLONES = 10  # of which the memory is measured
CROWD = 1000
READY_LIMIT = 300
IDLE = (1, 2, 5, 10)  # seconds after the answer
# An instruction is a nanosecond here, too, but idle time takes as long as it takes: what timers have guests do does not
# depend on how busy the machine below is.
STEADY = ("-icount", "shift=0,sleep=on")

# Who answers in the mailbox: (what it is, its word on the kernel's command line, targets at the first answer and at the end). Up to its answer
# the agent that sleeps afterwards is the same as the other; but the first of these clones sleep already while the last still compute.
ANSWERERS = {
    "agent": ("C agent, then in the mailbox", "pando.mode=agent", 128 << 10, 512 << 10),
    "agent-idle": ("C agent, then asleep", "pando.mode=agent-idle", None, 512 << 10),
    "shell": ("shell and busybox", "", None, None),
    "python": ("Python agent, then in the mailbox", "pando.mode=python", None, None),
}


def boot(report):
    command = [TOP / "scripts/measure-boot", "--pando"]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Pando: [\d.]+ M, ([\d.]+) times", output.stdout)
    if not found:
        raise pando.Failure(f"measure-boot: {output.stdout}{output.stderr}")
    report.add("boot", "Linux to /init, 512 MiB: times bare QEMU's instructions", float(found[1]), 1.10, 1.46, "ratio")


def initrd(name):
    return pando.BUILD / "linux" / ("python.cpio" if name == "python" else "initrd.cpio")


def machine(folder, name, words, ramdisk, **options):
    """A plain run with a template of the Debian guest: 256 MiB, one vCPU, the bootargs of dts/agent.dts but its mode."""
    spec = f"t,kernel={pando.BUILD / 'linux/Image'},initrd={ramdisk},memory=256M,autoboot=0,dedup=off"  # what clones take by themselves
    command = ["fdtget", "-t", "s", pando.BUILD / "agent.dtb", "/vms/agent", "bootargs"]
    shipped = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    bootargs = " ".join([word for word in shipped if not word.startswith("pando.mode=")] + words.split())
    bundle = pando.make_bundle(folder / f"{name}.dtb", "--vm", spec, "--bootargs", f"t={bootargs}")
    return Machine(bundle, f"linux {name}", icount=False, **options)


def made_frames(vm):
    """What one more clone takes, if its guest does not run before Pando is asked: both commands are typed in one go."""
    before, start = vm.frames()["free"], vm.mark()
    vm.type("clone t\rmem\r")
    return before - int(vm.line(r"^  free +(\d+) frames", LIMIT, start)[1])


def memory(folder, report, name):
    """Frames that are gone, for each of a few clones, at moments of their lives."""
    what, words, first, last = ANSWERERS[name]
    with machine(folder, f"memory-{name}", words, initrd(name), harts=1, mem="1G", extra=STEADY) as vm:
        vm.template(limit=READY_LIMIT)
        before = vm.frames()["free"]
        start = vm.mark()
        made = min(made_frames(vm) for _ in range(CLONES))  # what guests have done meanwhile only adds
        vm.wait("answers", lambda: len(vm.all("done after", start)) == CLONES or None, LIMIT)
        answered = time.monotonic()
        curve = [("made", made * PAGE)]
        for seconds in (0, *IDLE):
            time.sleep(max(0, answered + seconds - time.monotonic()))
            curve.append((f"+{seconds} s" if seconds else "answer", (before - vm.frames()["free"]) * PAGE // CLONES))
        vm.quit()
    report.add(f"memory-made-{name}", f"memory per clone, made: {what}", curve[0][1], 8192, 118 << 10, "bytes")
    report.add(f"memory-answer-{name}", f"memory per clone, all have answered: {what}", curve[1][1], first, unit="bytes")
    report.add(f"memory-idle-{name}", f"memory per clone, {IDLE[-1]} idle seconds later: {what}", curve[-1][1], last, unit="bytes")
    report.curves.setdefault("memory", {})[what] = curve


def digest(number):
    return hashlib.sha256(f"pando clone {number}".encode()).hexdigest()


def crowd(folder, report):
    """A thousand clones on a 4 GiB machine with two harts: made, and all of them have answered."""
    with machine(folder, "crowd", ANSWERERS["agent"][1], initrd("agent"), harts=2) as vm:
        vm.template(limit=READY_LIMIT)
        before, start, clock = vm.frames()["free"], vm.mark(), time.monotonic()
        vm.clone("t", CROWD)
        made = time.monotonic() - clock
        vm.wait("answers", lambda: len(vm.all("done after", start)) == CROWD or None, LIMIT)
        answered = time.monotonic() - clock
        gone = (before - vm.frames()["free"]) * PAGE
        for i in range(1, CROWD + 1, CROWD // 20):
            if f"t.{i}: 64 bytes: {digest(i)}" not in vm.run(f"result t.{i}", LIMIT):
                vm.fail(f"t.{i} has answered wrongly")
        vm.quit()
    version = ".".join(map(str, pando.qemu_version()))
    report.add("wall-made", f"{CROWD:,} clone calls, Debian 256 MiB, QEMU {version}, 2 harts", round(1000 * made, 1), unit="ms, wall clock")
    report.add("wall-answered", f"{CROWD:,} clones of it have answered", round(1000 * answered, 1), unit="ms, wall clock")
    report.add("crowd-memory", f"memory of each of {CROWD:,} clones that have answered", gone // CROWD, unit="bytes")


def run(folder, report):
    boot(report)
    for name in ANSWERERS:
        if initrd(name).exists():
            memory(folder, report, name)
        else:
            print(f"  {name}: left out, as {initrd(name)} is not there")
    crowd(folder, report)
