# SPDX-License-Identifier: BSD-2-Clause
"""The merge scanner: what a pass costs for each page, and what it wins back. The guest is guests/tiny/bench_dedup.c, the
passes are made by `dedup once`. KSM's figures: Linux 6.12 on the same emulated machine, CPU time of ksmd under icount."""

import re
import time

from drive import LIMIT, Machine, bundle, in_bytes, pando
from duplicates import Ram, count

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


BUSY = {
    # Rewritten over and over; rewritten a little at a time, so that there is always something that seems to rest, and equal
    # pages meet: bootargs, words
    "all": (f"pages={PAGES} busy=120", "rewrites 32 MiB over and over"),
    "some": (f"pages={PAGES} copies={COPIES} busy=160 parts=64 work=30000000", "rewrites 32 MiB of equal pages, 512 KiB at a time, once in two seconds"),
}
EIGHT, EIGHT_PAGES = 8, 15104  # guests of 64 MiB, all but what their images and page tables take


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


def of_eight(folder, report):
    """Eight that were booted separately and hold the same, each page another."""
    with Machine(bundle(folder, "bench_dedup", "64M", f"pages={EIGHT_PAGES}", dedup="domain:eight"), "dedup eight") as vm:
        vm.run("dedup off", LIMIT)
        vm.run(f"boot t -n {EIGHT}", LIMIT)
        names = ["t"] + [f"t-{n}" for n in range(2, EIGHT + 1)]
        for name in names:
            vm.run(f"watch {name}", LIMIT)
        for name in names:
            vm.stage(name, "filled")
        start = status(vm)
        found = passes(vm, 8)
        end = status(vm)
        vm.audit()
        vm.quit()
    spent, merged, visited = (end[word] - start[word] for word in ("instructions", "merged", "visited"))
    report.add("dedup-eight-found", f"{EIGHT} equal guests of 64 MiB: share of the pages of seven that are merged", merged / (EIGHT_PAGES * (EIGHT - 1)) * 100, 100, unit="%", at_least=True)
    report.add("dedup-eight", "all of it: eight passes, with the growth of the index", spent, peer=13_200_000_000)
    report.add("dedup-eight-merged", "of that, for each page that was merged", spent / merged, peer=115_000)
    report.add("dedup-eight-visited", "the same for each page visited", spent / visited)
    report.add("dedup-eight-again", "page of it, when nothing has changed", per_page(found[-1]), 12, 1170)
    report.add("dedup-eight-net", "bytes saved, less the index", end["net"], unit="B")


def of_busy(folder, report):
    """Time is instructions here, so a slowdown is what the scanner and its traps take."""
    for name, (bootargs, words) in BUSY.items():
        took = {}
        for switch in ("off", "on"):
            with Machine(bundle(folder, "bench_dedup", "64M", bootargs, dedup="family"), f"dedup busy {name} {switch}") as vm:
                vm.run("dedup off", LIMIT)
                vm.run("boot t", LIMIT)
                vm.run("watch t", LIMIT)
                vm.stage("t", "filled")
                vm.run(f"dedup {switch}", LIMIT)  # and begins at once
                vm.press("t")
                took[switch] = int(vm.line(r"BENCH busy (\d+)", LIMIT)[1])
                vm.quit()
        slower = (took["on"] / took["off"] - 1) * 100
        report.add(f"dedup-busy-{name}", f"slowdown of a guest that {words}", slower, 2, unit="%")


def debians(folder, report):
    """Two Debian guests that were booted separately and stand still, against a count of all their pages from outside."""
    vm = f"t,kernel={pando.BUILD / 'linux/Image'},initrd={pando.BUILD / 'linux/initrd.cpio'},memory=128M,autoboot=0"
    path = pando.make_bundle(folder / "debians.dtb", "--vm", vm, "--bootargs", "t=console=ttyS0 quiet cryptomgr.notests pando.mode=idle")
    ram = Ram(folder, 768)
    with Machine(path, "two Debian guests", harts=2, mem="768M", icount=False, extra=ram.options()) as vm:
        vm.run("dedup off", LIMIT)
        vm.run("boot t -n 2", LIMIT)
        for name in ("t", "t-2"):
            vm.run(f"watch {name}", LIMIT)
            vm.line(rf"^\[{name}\] pando guest: init", LIMIT)
        time.sleep(5)
        for name in ("t", "t-2"):
            vm.run(f"pause {name}", LIMIT)
        n, duplicates = count(ram.guest_pages())
        report.add("debians-duplicates", "two Debian guests of 128 MiB booted separately: pages that others hold, or zeroes, by a count from outside", duplicates, unit=f"of {n} pages")
        for name, what, target, commands in (
            ("default", "of these merged, %: default policy (families)", None, ()),
            ("domain", "the same: one domain", None, ("policy t dedup=domain:d", "policy t-2 dedup=domain:d")),
            ("split", "the same: one domain, blocks always split", 98, ("dedup split=always",)),
        ):
            for command in commands:
                vm.run(command, LIMIT)
            passes_of(vm, 6)
            now = vm.frames()
            won = n - now["guest pages"] - now["guest blocks"]
            report.add(f"debians-{name}", what, won / duplicates * 100, target, unit="%", at_least=True)
        vm.quit()


def passes_of(vm, n):
    for _ in range(n):
        vm.run("dedup once", LIMIT)


def run(folder, report):
    of_distinct(folder, report)
    of_equal(folder, report)
    of_eight(folder, report)
    of_busy(folder, report)
    of_clones(folder, report)
