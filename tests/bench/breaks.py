# SPDX-License-Identifier: BSD-2-Clause
"""What single operations cost a guest: it reads instret before and after (guests/tiny/bench.c)."""

from drive import LIMIT, Machine, bundle, pando

# name: (what it is, target, KVM), instructions; None: no target, or nothing to compare with
OPERATIONS = {
    "sbi-call": ("exit and re-entry for a trivial SBI call", 300, 929),
    "mmio-load": ("load from an emulated device register", None, 3200),
    "zero-fill": ("zero fill on first touch", 950, 8700),
    "zero-fill-ahead": ("zero fill with a frame that an idle hart has zeroed", 400, 8700),
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
    "spurious": ("spurious fault: W is there already", 350, 4080),
}
BARS = ("sbi-call", "zero-fill", "zero-fill-ahead", "break-private-table", "break-after-read", "break-split-block", "break-derive-sealed", "break-derive-counted", "first-break", "last-owner", "spurious")

# By its nature a spurious fault is one that a second look at the tables would have spared, and QEMU always has that second look. But
# a machine that leaves D to its software faults on a store to a page with W and without D, and that is the same fault to Pando.
NO_SVADU = "svade=on,svadu=off"


def run(folder, report):
    faults_on_d = pando.qemu_version() >= (9, 1)
    with Machine(bundle(folder, "bench", "256M", "touch=8"), "operations", cpu=NO_SVADU if faults_on_d else "") as vm:
        vm.run("boot t", LIMIT)
        vm.run("watch t", LIMIT)
        vm.freeze_at_ready("t", LIMIT)
        vm.run("clone t", LIMIT)
        vm.run("watch t.1", LIMIT)
        vm.stage("t.1", "derive")
        vm.run("freeze t.1", LIMIT)
        vm.run("clone t.1", LIMIT)
        vm.run("watch t.1.1", LIMIT)
        vm.press("t.1.1")
        vm.stage("t.1.1", "own")
        vm.run("fork t.1.1", LIMIT)
        vm.run("kill t.1.1.1", LIMIT)
        vm.command("mem", LIMIT)  # the reaper has run before the prompt is back
        vm.press("t.1.1")
        vm.stage("t.1.1", "spurious")
        vm.run("policy t.1.1 dedup=family", LIMIT)
        vm.run("dedup once", LIMIT)
        vm.run("policy t.1.1 dedup=off", LIMIT)
        vm.press("t.1.1")
        vm.stage("t.1.1", "end")
        for found in vm.all(r"BENCH (\S+) (\d+) (\d+) (\d+)"):
            if found[1] == "spurious" and not faults_on_d:
                continue
            report.add(found[1], OPERATIONS[found[1]][0], int(found[3]), *OPERATIONS[found[1]][1:])
        vm.quit()
    report.curves["breaks"] = [(row.what, row.measured) for row in report.rows if row.name in BARS]
