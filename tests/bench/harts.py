# SPDX-License-Identifier: BSD-2-Clause
"""More harts: instructions per break, wall-clock throughput, contention; and many clones that write the same pages."""

import os
import re
import statistics
import time

from drive import LIMIT, Machine, bundle, count, pando

HARTS = (1, 2, 4, 8)
SPREAD = 1.15  # instructions per break, most to least over HARTS
SPEED_UP = 1.5  # from one hart to two
TIMEBASE = 10_000_000  # of QEMU's virt
RUNS = 5  # of each figure of which the median is taken
TRIES = 5  # for a run in which all begin at once
SLICE = 100  # ticks of 100 instructions after which another hart has its turn, at the latest
STORM_CLONES, STORM_PAGES = 1000, 64
SAMPLES = 20  # results of the storm that are read


def try_to_collect(vm, n_clones):
    """Lets clones of t break their pages at once; for each vCPU (pages, instret from, to, ticks from, to). None: they did
    not: under icount they begin at the next of certain counts of instructions, and that fell among their first turns."""
    start = vm.mark()
    last = int(vm.clone("t", n_clones).split(".")[1])
    # Nothing is typed before they are through: the shell's instructions would count.
    vm.wait("the end of all", lambda: len(vm.all("done after", start)) == n_clones or None, LIMIT)
    rows = []
    for i in range(n_clones):
        name = f"t.{last - i}"
        for line in vm.output_of(name):
            if found := re.match(r"HART \d+: (\d+) pages, instret (\d+) to (\d+), ticks (\d+) to (\d+)", line):
                rows.append(tuple(map(int, found.groups())))
        vm.run(f"kill {name}", LIMIT)
    return rows if max(row[1] for row in rows) < min(row[2] for row in rows) else None


def collect(vm, n_clones):
    """The rows, and how often a lock was waited for meanwhile."""
    for _ in range(TRIES):
        before = sum(vm.lock_waits().values())
        if rows := try_to_collect(vm, n_clones):
            return rows, sum(vm.lock_waits().values()) - before
    return vm.fail(f"not all of them at once, {TRIES} times")


def machine(folder, harts, vcpus, pages, icount, rest):
    memory = f"{(vcpus * pages >> 8) + 16 & ~1}M"
    args = f"pages={pages} rest={rest} slice={SLICE if icount else 0}"
    return Machine(bundle(folder, "bench_harts", memory, args, vcpus), f"{harts} harts, {vcpus} vCPUs", harts, icount=icount)


def per_break(folder, harts):
    """All that the machine executes from the first break to the last, for each break; waits for locks in 1,000 breaks.
    The median of some runs: in a few, a hart waits a whole turn for a lock whose holder has no turn."""
    with machine(folder, harts, 1, 4096, True, 200) as vm:
        vm.template()
        runs, waits = [], 0
        for _ in range(RUNS):
            rows, n = collect(vm, harts)
            runs.append(rows)
            waits += n
        vm.quit()
    pages = sum(row[0] for row in runs[0])
    costs = [round((max(row[2] for row in rows) - min(row[1] for row in rows)) / pages) for rows in runs]
    return int(statistics.median(costs)), round(1000 * waits / pages / RUNS, 1)


def instructions(folder, report):
    costs = []
    for harts in HARTS:
        cost, waits = per_break(folder, harts)
        costs.append(cost)
        report.add(f"break-harts-{harts}", f"break, a VM on each of {count(harts, 'hart')}: instructions of all harts", cost)
        report.add(f"waits-harts-{harts}", f"waits for a lock in 1,000 breaks, {count(harts, 'hart')}", waits, unit="")
    report.add("break-spread", f"instructions per break over {HARTS[0]} to {HARTS[-1]} harts: most / least", max(costs) / min(costs), SPREAD, unit="ratio")


def throughput(folder, report, harts, vcpus=1, pages=16384):
    """Breaks per second by the wall clock: the median of some runs."""
    with machine(folder, harts, vcpus, pages, False, 500) as vm:
        vm.template()
        runs = [collect(vm, harts // vcpus)[0] for _ in range(RUNS)]
        waits = vm.lock_waits()
        vm.quit()
    rates = [round(sum(row[0] * TIMEBASE / (row[4] - row[3]) for row in rows)) for rows in runs]
    rate = int(statistics.median(rates))
    what = f"{count(harts, 'hart')}, {'one VM' if vcpus > 1 else 'a VM on each'}"
    report.add(f"rate-{harts}x{vcpus}", f"breaks by the wall clock, {what}: {min(rates):,} to {max(rates):,}", rate, unit="breaks/s, wall clock")
    print(f"    waits for locks: {waits or 'none'}", flush=True)
    return rate


def speed_up(folder, report):
    print(f"wall clock: plain run, {os.cpu_count()} cores below, load {os.getloadavg()[0]:.1f}")
    one, two = throughput(folder, report, 1), throughput(folder, report, 2)
    report.add("speed-up", "throughput of breaks, two harts / one", two / one, SPEED_UP, unit="ratio", at_least=True)
    throughput(folder, report, 2, vcpus=2, pages=1024)


def storm(folder, icount, harts):
    """All clones write the same pages; each judges itself."""
    with Machine(bundle(folder, "bench_storm", "4M", f"pages={STORM_PAGES}"), f"storm on {harts}", harts, icount=icount) as vm:
        vm.template()
        start, clock = vm.mark(), time.monotonic()
        vm.clone("t", STORM_CLONES)
        vm.wait("results", lambda: len(vm.all("done after", start)) == STORM_CLONES or None, LIMIT)
        seconds = time.monotonic() - clock
        vm.wait("ends", lambda: len(vm.all(r": off: ", start)) == STORM_CLONES or None, LIMIT)
        good = len(vm.all(r": off: shut down", start))
        costs = [int(re.search(r"bytes: (\d+)", vm.run(f"result t.{i}")[0])[1]) for i in range(1, STORM_CLONES, STORM_CLONES // SAMPLES)]
        vm.audit()
        vm.quit()
    return good, seconds, int(statistics.median(costs))


def storms(folder, report):
    what = f"{STORM_CLONES:,} clones write the same {STORM_PAGES} pages"
    good, _, cost = storm(folder, True, 1)
    report.add("storm", f"{what}: instructions per break", cost)
    bad = STORM_CLONES - good
    good, seconds, _ = storm(folder, False, 2)
    report.add("storm-rate", f"{what}: 2 harts, clone calls included", round(STORM_CLONES * STORM_PAGES / seconds), unit="breaks/s, wall clock")
    report.add("storm-lost", f"{what}: clones that found a page lost", bad + STORM_CLONES - good, 0, unit="")


def run(folder, report):
    if pando.qemu_version() >= (8, 0):
        instructions(folder, report)
    else:
        print("several harts under icount: this QEMU takes no input then")
    speed_up(folder, report)
    storms(folder, report)
