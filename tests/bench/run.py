#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measure what Pando costs. Most figures are instructions: exact and the same in every run under QEMU's icount. Prints a
table, writes bench.json (a list of objects with name, unit, measured, target and peer) and draws the curves as SVG beside
it. The peer is the best path of Linux's KVM on the same emulated machine (Linux 6.12, snapshot memory mapped privately,
no VMM counted); its figures are constants here. A measurement that fails costs its own rows only, and the exit code."""

import argparse
import pathlib
import tempfile
import time

import breaks
import clones
import curves
import dedup
import functions
import harts
import lifecycle
import linux
from drive import pando
from report import Report

# name: (heading, what runs it, does it need the Linux guest)
GROUPS = {
    "breaks": ("exits and breaks: instructions, one hart", breaks.run, False),
    "clones": ("clone call: instructions, one hart", clones.run, False),
    "lifecycle": ("fork, reset, destroy: instructions, one hart", lifecycle.run, False),
    "dedup": ("the merge scanner: instructions, one hart", dedup.run, False),
    "debians": ("the merge scanner: what it finds in two Linux guests", dedup.debians, True),
    "harts": ("more harts, and a storm", harts.run, False),
    "functions": ("a call of a function in the Debian guest: instructions, one hart", functions.run, True),
    "linux": ("the Debian guest", linux.run, True),
}


def run_group(name, report):
    heading, measure, _ = GROUPS[name]
    report.heading(heading)
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure(pathlib.Path(folder), report)
    except Exception as failure:  # pylint: disable=broad-exception-caught
        report.failures.append(f"{name}: {failure}")
        print(f"FAILED: {name}: {failure}", flush=True)
    print(f"({name}: {time.monotonic() - start:.0f} s)", flush=True)


def draw(report, folder):
    for path in curves.draw(report.curves, folder):
        print(f"drawn: {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=pando.BUILD / "bench.json", metavar="FILE")
    parser.add_argument("--only", action="append", choices=GROUPS, metavar="GROUP", help=f"one group, repeatable: {', '.join(GROUPS)}")
    parser.add_argument("--no-linux", action="store_true", help="leave out what needs the Linux guest")
    parser.add_argument("--compare", type=pathlib.Path, metavar="OLD.json", help="say what is worse than in an older bench.json")
    args = parser.parse_args()
    has_linux = not args.no_linux and (pando.BUILD / "linux/Image").exists()
    report = Report()
    print(f"QEMU {'.'.join(map(str, pando.qemu_version()))}; `!`: target missed")
    for name, (_, _, needs_linux) in GROUPS.items():
        if name not in (args.only or GROUPS):
            continue
        if has_linux or not needs_linux:
            run_group(name, report)
        else:
            print(f"\n{name}: left out, as there is no Linux guest")
    report.summary()
    report.write(args.output)
    draw(report, args.output.parent)
    print(f"written to {args.output}")
    if args.compare:
        report.compare(args.compare)
    return 1 if report.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
