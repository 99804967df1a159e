# SPDX-License-Identifier: BSD-2-Clause
"""The clone call: over the size of the template, the number of VMs, the depth of the family; and what a VM occupies."""

import statistics

from drive import LIMIT, Machine, bundle

CALL, KVM_CALL = 1500, 230000
ENTRY, KVM_ENTRY = 2000, 286000
FLAT = 1.05
SAMPLES = 9

# memory: regions of 2 MiB written, pages written in each. A quarter of the regions; of the largest not every page,
# since the machine below has to have the memory.
SIZES = {"64M": (8, 512), "256M": (32, 512), "1G": (128, 512), "4G": (512, 128), "16G": (2048, 32)}
COUNTS = (1, 10, 100, 1000, 10000)
DEPTHS = (1, 10, 100, 1000)
BURST = 4000  # clones that one command makes at most


def template_args(regions, pages, sleep=1):
    return f"regions={regions} pages={pages} sleep={sleep}"


def median_cost(vm, names, call="clone call"):
    return int(statistics.median(vm.cost(name, call) for name in names))


def sample(vm, template, first):
    """Clones a few times; the median cost. `first` is the number of the first of them."""
    vm.clone(template, SAMPLES)
    return median_cost(vm, [f"{template}.{first + i}" for i in range(SAMPLES)])


def flatness(report, name, what, curve):
    costs = [cost for _, cost in curve]
    report.curves[name] = {"points": curve, "target": CALL}
    report.add(f"flat-{name}", f"clone call over {what}: largest / smallest", max(costs) / min(costs), FLAT, unit="ratio")


def over_size(folder, report):
    curve = []
    for memory, (regions, pages) in SIZES.items():
        with Machine(bundle(folder, "bench_clone", memory, template_args(regions, pages)), f"size {memory}") as vm:
            vm.template()
            written = regions * pages
            cost = sample(vm, "t", 1)
            curve.append((memory, cost))
            report.add(f"clone-{memory}", f"clone call, {memory} template, {written:,} pages in {regions} regions written", cost, CALL, KVM_CALL)
            report.add(f"freeze-{memory}", f"freeze of the {memory} template", vm.cost("t", "freeze"))
            if memory == "256M":
                entry = median_cost(vm, [f"t.{i}" for i in range(1, SAMPLES + 1)], "first entry after the call")
                report.add("first-entry", f"clone call to the first guest instruction, {memory} template", entry, ENTRY, KVM_ENTRY)
            vm.quit()
    flatness(report, "size", "64 MiB to 16 GiB", curve)


def over_count(folder, report):
    """Also what the VMs occupy: none of them has stored anything."""
    curve, alive = [], 1
    with Machine(bundle(folder, "bench_clone", "64M", template_args(8, 512)), "count") as vm:
        vm.template()
        before = vm.frames()
        for count in COUNTS:
            while alive < count:
                n = min(count - alive, BURST)
                vm.clone("t", n)
                alive += n
            cost = sample(vm, "t", alive)
            alive += SAMPLES
            curve.append((f"{count:,}", cost))
            report.add(f"clone-beside-{count}", f"clone call beside {count:,} VM{'s' * (count > 1)}", cost, CALL, KVM_CALL)
        after = vm.frames()
        tables = vm.stat("t.1")["memory"]["tables"]
        vm.quit()
    report.add("memory-fixed", "memory per VM that has not written", round((before["free"] - after["free"]) * 4096 / (alive - 1)), 8192, 118 << 10, unit="bytes")
    report.add("tables-unwritten", "tables of a clone that has not written", tables // 4096, 0, unit="frames")
    flatness(report, "count", "1 to 10,000 VMs", curve)


def over_depth(folder, report):
    """Each level writes a page, so that each has tables of its own, and is frozen for the next."""
    curve, depth = [], 1
    with Machine(bundle(folder, "bench_clone", "64M", template_args(8, 512, sleep=0)), "depth") as vm:
        vm.template()
        template = newest = vm.last_id()
        for goal in DEPTHS:
            while depth < goal:
                vm.run_to_done(f"clone #{template}")
                template = newest = newest + 1
                vm.run(f"freeze #{template}", LIMIT)
                depth += 1
            vm.clone(f"#{template}", SAMPLES)
            samples = range(newest + 1, newest + 1 + SAMPLES)
            cost = median_cost(vm, [f"#{i}" for i in samples])
            for i in samples:
                vm.run(f"kill #{i}", LIMIT)
            newest += SAMPLES
            curve.append((f"{goal:,}", cost))
            report.add(f"clone-depth-{goal}", f"clone call at depth {goal:,}", cost, CALL, KVM_CALL)
        vm.quit()
    flatness(report, "depth", "depth 1 to 1,000", curve)


def run(folder, report):
    over_size(folder, report)
    over_count(folder, report)
    over_depth(folder, report)
