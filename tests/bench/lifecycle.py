# SPDX-License-Identifier: BSD-2-Clause
"""Fork, reset, destroy: their targets depend on what the VM has written, which is read from its `stat`."""

from drive import LIMIT, Machine, bundle, count

KVM_FORK, KVM_DESTROY = 84_000_000, 570_000  # at 1 GiB; of a VM that has hardly run
ROOT_FRAMES = 4
WRITTEN = ((1, 1), (8, 64), (8, 512))  # regions of 2 MiB, pages in each
CALL = 1500  # of destroy, without the memory


def fork_target(regions, pages):
    return 2000 + 100 * regions + 12 * pages


def end_target(pages):
    return 1500 + 60 * pages


def written(stat):
    """(regions, pages) that a VM below 1 GiB has written since it was frozen or booted."""
    pages = sum(stat["breaks"].get(kind, 0) for kind in ("zeroed page", "page copied", "page owned"))
    return stat["memory"]["tables"] // 4096 - ROOT_FRAMES - 1, pages


def add_fork(report, name, what, vm, parent, peer=None):
    regions, pages = written(vm.stat(parent))
    vm.run(f"fork {parent}", LIMIT)
    child = f"{parent}.1"
    what = f"{what}: {count(pages, 'page')} in {count(regions, 'region')}"
    report.add(name, what, vm.cost(child, "fork"), fork_target(regions, pages), peer)
    report.add(f"{name}-stall", f"{what}: the guest stands still", vm.cost(parent, "stood still for its last fork"), fork_target(regions, pages))


def reaped(vm):
    """Instructions of the reaper so far, once it has nothing left to do."""
    before, now = None, vm.machine_costs()["reaper"]
    while now != before:
        vm.run("mem", LIMIT)
        before, now = now, vm.machine_costs()["reaper"]
    return now


def add_ends(report, vm, regions, pages):
    """Reset, then kill, of a clone that has written."""
    case = f"{regions}x{pages}"
    vm.run_to_done("clone t")
    child = vm.newest_clone("t")
    pages_now = vm.stat(child)["memory"]["private"] // 4096
    private, target = count(pages_now, "private page"), end_target(pages_now)
    start = reaped(vm)
    vm.run_to_done(f"reset {child}")
    call = vm.cost(child, "reset")
    report.add(f"reset-{case}", f"reset, {private}: the call", call, target)
    report.add(f"reset-all-{case}", f"reset, {private}: with the freeing of its memory", call + reaped(vm) - start, target)
    start = reaped(vm)
    vm.run(f"kill {child}", LIMIT)
    call = vm.machine_costs()["last kill"]
    report.add(f"destroy-{case}", f"destroy, {private}: what the caller waits for", call, CALL)
    report.add(f"destroy-all-{case}", f"destroy, {private}: with the freeing of its memory", call + reaped(vm) - start, target, KVM_DESTROY if pages == 1 else None)


def of_clones(folder, report):
    for regions, pages in WRITTEN:
        args = f"regions=8 pages=512 own_regions={regions} own_pages={pages}"
        with Machine(bundle(folder, "bench_clone", "256M", args), f"lifecycle {regions}x{pages}") as vm:
            vm.template()
            vm.run_to_done("clone t")
            tables = vm.stat("t.1")["memory"]["tables"] // 4096
            # The root, a table for the one GiB, one for each region.
            report.add(f"tables-{regions}x{pages}", f"tables of a clone that has written {count(regions, 'region')}", tables, ROOT_FRAMES + 1 + regions, unit="frames")
            add_fork(report, f"fork-{regions}x{pages}", "fork of a running clone", vm, "t.1")
            vm.run("kill t.1.1", LIMIT)
            vm.run("kill t.1", LIMIT)
            add_ends(report, vm, regions, pages)
            vm.quit()


def of_booted(folder, report):
    """The fork of a VM that has never been frozen: all it has written counts."""
    with Machine(bundle(folder, "bench_clone", "1G", "regions=128 pages=512"), "fork 1G") as vm:
        vm.run("boot t", LIMIT)
        vm.line(r"\bt: ready after", LIMIT)
        vm.run_to_done("resume t")
        add_fork(report, "fork-1G", "fork of a 1 GiB VM", vm, "t", KVM_FORK)
        vm.quit()


def run(folder, report):
    of_clones(folder, report)
    of_booted(folder, report)
