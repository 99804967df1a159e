# SPDX-License-Identifier: BSD-2-Clause
"""The merge scanner: what a pass costs for each page, and what it wins back. The guest is guests/tiny/bench_dedup.c, the
passes are made by `dedup once`. KSM's figures: Linux 6.12 on the same emulated machine, CPU time of ksmd under icount."""

import re

from drive import LIMIT, Machine, bundle, in_bytes

PAGES = 8192
COPIES = 8  # equal pages in a row
PASSES = 12  # the index has grown to its size after a few
CLONES, DIVERGED = 200, 256  # pages: 1 MiB
PAGE = 4096


def status(vm):
    """What `dedup` shows: the counters since boot, `instructions`, and `net` in bytes."""
    text = "\n".join(vm.run("dedup", LIMIT))
    counters = {word: int(n) for word, n in re.findall(r"(\w+) (\d+)", re.search(r"since boot:(.*)", text)[1])}
    net = re.search(r"net (-?)(.*)", text)
    return counters | {"instructions": int(re.search(r"(\d+) instructions", text)[1]), "net": in_bytes(net[2]) * (-1 if net[1] else 1)}


def passes(vm, n):
    """Makes n passes; for each, what it has added to the counters."""
    found, before = [], status(vm)
    for _ in range(n):
        vm.run("dedup once", LIMIT)
        now = status(vm)
        found.append({word: now[word] - before[word] for word in now})
        before = now
    return found


def per_page(one, of="visited"):
    return one["instructions"] / one[of]


class Scanned(Machine):
    """A guest that has filled its memory; nothing is scanned but by `dedup once`."""

    def __init__(self, folder, copies):
        super().__init__(bundle(folder, "bench_dedup", "64M", f"pages={PAGES} copies={copies}"), f"dedup {copies}")

    def fill(self):
        self.run("dedup off", LIMIT)
        self.run("boot t", LIMIT)
        self.run("policy t dedup=family", LIMIT)
        self.run("watch t", LIMIT)
        self.stage("t", "filled")
        return self

    def cost(self, access):
        found = self.all(rf"BENCH {access} (\d+)")
        return int(found[0][1])


def of_distinct(folder, report):
    with Scanned(folder, 1) as vm:
        dirty, first, *rest = passes(vm.fill(), PASSES)
        report.add("dedup-dirty", "page that was written since the last pass", per_page(dirty), 12, 1170)
        report.add("dedup-rejected", "private clean page, looked at for the first time, no twin", per_page(first, "unique"), 400, 26500)
        report.add("dedup-known", "the same once the index knows it: mean of the last pass", per_page(rest[-1], "unique"), 60, 26500)
        vm.quit()


def of_equal(folder, report):
    with Scanned(folder, COPIES) as vm:
        found = passes(vm.fill(), PASSES)
        merging = max(found, key=lambda one: one["merged"])
        merged = sum(one["merged"] for one in found)
        report.add("dedup-merge", f"merge, {COPIES} equal pages each: mean of the pass that merges most", per_page(merging, "merged"), 5000, 115_000)
        report.add("dedup-merged", "page that is merged: mean of the last pass", per_page(found[-1]), 12, 1170)
        report.add("dedup-found", "share of the copies that were merged", merged / (PAGES * (COPIES - 1) / COPIES) * 100, 98, unit="%", at_least=True)
        report.add("dedup-net", "bytes saved, less the index", status(vm)["net"], unit="B")
        vm.press("t")
        vm.stage("t", "end")
        report.add("dedup-read", "load from a merged page", vm.cost("load"), 0, 5500)
        report.add("dedup-break", "store to a merged page", vm.cost("store"), 1700, 14_200)
        vm.quit()


def of_clones(folder, report):
    """Clones diverge, converge, and are merged with their template again."""
    with Machine(bundle(folder, "bench_dedup", "64M", f"pages={DIVERGED} diverge=1"), "dedup clones") as vm:
        vm.run("dedup off", LIMIT)
        vm.run("boot t", LIMIT)
        vm.run("policy t dedup=family", LIMIT)
        vm.freeze_at_ready("t", LIMIT)
        start = vm.frames()["free"]
        used = [("frozen", 0)]

        def note(moment):
            used.append((moment, (start - vm.frames()["free"]) * PAGE))

        def await_done(mark):
            vm.wait("the end of all", lambda: len(vm.all("done after", mark)) == CLONES or None, LIMIT)

        mark = vm.mark()
        vm.run(f"clone t -n {CLONES}", LIMIT)
        await_done(mark)
        note("diverged")
        mark = vm.mark()
        for n in range(1, CLONES + 1):
            vm.run(f"give t.{n} back", LIMIT)
        await_done(mark)
        note("converged")
        for n in (1, 2):
            passes(vm, 1)
            note(f"pass {n}")
        won = (used[2][1] - used[-1][1]) / (CLONES * DIVERGED * PAGE) * 100
        report.add("dedup-back", f"{CLONES} clones write 1 MiB and put it back: frames back after two passes", won, 95, unit="%", at_least=True)
        report.curves["dedup"] = {f"{CLONES} clones": used}
        vm.quit()


def run(folder, report):
    of_distinct(folder, report)
    of_equal(folder, report)
    of_clones(folder, report)
