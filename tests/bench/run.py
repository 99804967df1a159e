#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measure what Pando costs, in instructions: exact and the same in every run under QEMU's icount, on one hart.

A tiny guest (guests/tiny/bench.c) counts what single operations cost it; Pando's own `stat` says what clone and freeze
cost. The peer is the best path of Linux's KVM on the same emulated machine (Linux 6.12, snapshot memory mapped
privately, no VMM counted). Prints a table, writes build/bench.json: a list of objects with name, unit, measured, target
and peer."""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/qemu"))
import pando  # noqa: E402

LIMIT = 120  # seconds of patience with one step

# name: (what it is, target, KVM), instructions; None: no target, or nothing to compare with
OPERATIONS = {
    "sbi-call": ("exit and re-entry for a trivial SBI call", 300, 929),
    "mmio-load": ("load from an emulated device register", None, 3200),
    "zero-fill": ("zero fill on first touch", 950, 8700),
    "zero-map": ("first load of an absent page", None, None),
    "store-to-zero-page": ("store to a page that was only read before", None, None),
    "first-break": ("first break of a clone: root, level 1, level 0, page", 6500, None),
    "break-split-block": ("break, level-0 table split from a shared block", 3700, None),
    "break-private-table": ("break, table already private", 1650, 10270),
    "read-shared": ("load from a shared page", 0, 6000),
    "break-after-read": ("break of a page that was read before", 1650, 15460),
    "break-derive-sealed": ("break, level-0 table derived, 512 pieces", None, None),
    "break-derive-counted": ("break, level-0 table derived, 512 counted frames", 7500, None),
    "last-owner": ("last owner: W restored without a copy", 350, 4080),
}


class Report:
    def __init__(self):
        self.rows = []

    def add(self, name, what, measured, target=None, peer=None, unit="instructions"):
        self.rows.append({"name": name, "what": what, "unit": unit, "measured": measured, "target": target, "peer": peer})
        shown = f"{measured:,}" if isinstance(measured, int) else f"{measured:.3f}"
        aim = "" if target is None else f"{target:,}"
        mark = "  " if target is None or measured <= target else " !"
        ratio = f"{peer / measured:7.1f} x" if peer and measured else ""
        print(f"{what:58} {shown:>12}{mark} {aim:>9} {peer or '':>9} {ratio}", flush=True)

    def note_missed(self):
        missed = [r["what"] for r in self.rows if r["target"] is not None and r["measured"] > r["target"]]
        print(f"! above its target: {'; '.join(missed)}" if missed else "every target is met")


def machine(bundle, name, mem="4G"):
    return pando.Pando(bundle, f"bench {name}", harts=1, mem=mem, icount=True)


def bundle_of(folder, name, memory, touch):
    return pando.make_bundle(
        folder / f"{name}.dtb", "--vm", f"bench,kernel={pando.guest('bench')},memory={memory},autoboot=1",
        "--bootargs", f"bench=touch={touch}",
    )


def cost(vm, name, what):
    """Instructions of VM `name`'s freeze or clone call, from stat."""
    for line in vm.run(f"stat {name}", LIMIT):
        if found := re.search(rf"{what}: .*, (\d+) instructions", line):
            return int(found[1])
    return vm.fail(f"stat {name} shows no {what} in instructions")


def stage(vm, name, word):
    """Waits for the guest's stage; the keys that let it go on are typed into its console."""
    vm.line(rf"\[{re.escape(name)}\] STAGE {word}", LIMIT)


def press(vm, name):
    vm.prompt(LIMIT)
    vm.type(f"console {name}\r")
    vm.type("x\x1d")
    vm.prompt(LIMIT)
    vm.run(f"watch {name}", LIMIT)


def measure_operations(folder, report):
    with machine(bundle_of(folder, "operations", "256M", 8), "operations") as vm:
        vm.run("watch bench", LIMIT)
        vm.freeze_at_ready("bench", LIMIT)
        freeze = cost(vm, "bench", "freeze")
        vm.run("clone bench", LIMIT)
        vm.run("watch bench.1", LIMIT)
        clone = cost(vm, "bench.1", "clone call")
        stage(vm, "bench.1", "derive")
        vm.run("freeze bench.1", LIMIT)
        vm.run("clone bench.1", LIMIT)
        vm.run("watch bench.1.1", LIMIT)
        press(vm, "bench.1.1")
        stage(vm, "bench.1.1", "own")
        vm.run("fork bench.1.1", LIMIT)
        vm.run("kill bench.1.1.1", LIMIT)
        vm.command("mem", LIMIT)  # the reaper has run before the prompt is back
        press(vm, "bench.1.1")
        stage(vm, "bench.1.1", "end")
        for found in vm.all(r"BENCH (\S+) (\d+) (\d+) (\d+)"):
            what, target, peer = OPERATIONS[found[1]]
            report.add(found[1], what, int(found[3]), target, peer)
        report.add("clone-call", "clone call, 256 MiB template, 1 vCPU", clone, 1500, 230000)
        report.add("freeze", "freeze of that template: 4,650 pages written", freeze)
        vm.quit()


def measure_clones(folder, report):
    """The clone call over memory size, number of VMs and depth."""
    for memory, touch in (("64M", 16), ("256M", 64), ("1G", 256)):
        with machine(bundle_of(folder, f"size-{memory}", memory, touch), f"size {memory}") as vm:
            vm.freeze_at_ready("bench", LIMIT)
            vm.run("clone bench -n 9", LIMIT)
            costs = [cost(vm, f"bench.{i}", "clone call") for i in range(2, 10)]
            report.add(f"clone-{memory}", f"clone call, {memory} template, a quarter or more written", int(statistics.median(costs)), 1500, 230000)
            vm.quit()
    with machine(bundle_of(folder, "many", "64M", 1), "many") as vm:
        vm.freeze_at_ready("bench", LIMIT)
        vm.run("clone bench -n 1000", LIMIT)
        costs = [cost(vm, f"bench.{i}", "clone call") for i in range(991, 1001)]
        report.add("clone-1000th", "clone call, 1,000 VMs alive", int(statistics.median(costs)), 1500, 230000)
        vm.quit()


def measure_boot(report):
    run = subprocess.run([TOP / "scripts/measure-boot", "--pando"], capture_output=True, text=True, check=False)
    found = re.search(r"Pando: [\d.]+ M, ([\d.]+) times", run.stdout)
    if not found:
        sys.exit(f"bench: measure-boot failed:\n{run.stdout}{run.stderr}")
    report.add("boot", "Linux to /init, 512 MiB: times bare QEMU's instructions", float(found[1]), 1.10, 1.46, "ratio")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pando.BUILD / "bench.json")
    parser.add_argument("--no-linux", action="store_true", help="leave out what needs the Linux guest")
    args = parser.parse_args()
    report = Report()
    print(f"instructions, one hart, QEMU {'.'.join(map(str, pando.qemu_version()))}")
    print(f"{'':58} {'measured':>12}   {'target':>9} {'KVM':>9}")
    with tempfile.TemporaryDirectory() as folder:
        measure_operations(pathlib.Path(folder), report)
        measure_clones(pathlib.Path(folder), report)
    if not args.no_linux and (pando.BUILD / "linux/Image").exists():
        measure_boot(report)
    report.note_missed()
    args.output.write_text(json.dumps(report.rows, indent=2) + "\n", encoding="utf-8")
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()
