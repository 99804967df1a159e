# SPDX-License-Identifier: BSD-2-Clause
"""The table of figures: printed as it grows, kept as JSON, compared with an older one."""

import dataclasses
import json

from reasons import reason_for

WORSE = 1.02  # a figure beyond this share of the old one is worth a look


@dataclasses.dataclass
class Row:
    name: str
    what: str
    unit: str
    measured: float
    target: float | None = None
    peer: float | None = None  # the same on Linux's KVM
    at_least: bool = False  # the target is a floor, not a ceiling
    note: str = ""  # why the target is missed

    @property
    def is_missed(self):
        if self.target is None:
            return False
        return self.measured < self.target if self.at_least else self.measured > self.target

    def how_much_worse(self, old):
        """Ratio above 1: worse than the old figure."""
        new, old = (old, self.measured) if self.at_least else (self.measured, old)
        return new / old if old else float(new > 0) + 1


def shown(value):
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


class Report:
    def __init__(self):
        self.rows = []
        self.curves = {}  # name of a chart: what it draws
        self.failures = []

    def add(self, name, what, measured, target=None, peer=None, unit="instructions", **more):
        row = Row(name, what, unit, measured, target, peer, **more)
        row.note = reason_for(name) if row.is_missed else ""
        self.rows.append(row)
        ratio = f"{peer / measured:8.1f} x" if peer and measured else ""
        unit = "" if unit == "instructions" else unit
        print(f"{what:74} {shown(measured):>11}{' !' if row.is_missed else '  '} {shown(target):>8} {shown(peer):>10} {ratio:>10} {unit}".rstrip(), flush=True)

    @staticmethod
    def heading(text):
        print(f"\n{text:74} {'measured':>11}   {'target':>8} {'KVM':>10} {'KVM/Pando':>10}", flush=True)

    def summary(self):
        missed = [row for row in self.rows if row.is_missed]
        aimed = sum(row.target is not None for row in self.rows)
        print(f"\n{aimed - len(missed)} of {aimed} targets met")
        for note in dict.fromkeys(row.note for row in missed):
            print("".join(f"  ! {row.what}\n" for row in missed if row.note == note) + f"        {note}")
        for failure in self.failures:
            print(f"FAILED: {failure.splitlines()[0]}")

    def write(self, path):
        path.write_text(json.dumps([dataclasses.asdict(row) for row in self.rows], indent=2) + "\n", encoding="utf-8")

    def compare(self, path):
        """Prints what is worse than in an older bench.json."""
        old = {row["name"]: row["measured"] for row in json.loads(path.read_text(encoding="utf-8"))}
        worse = [row for row in self.rows if row.name in old and row.how_much_worse(old[row.name]) > WORSE]
        print(f"\nworse by more than {WORSE - 1:.0%} than in {path}: {len(worse) or 'nothing'}")
        for row in worse:
            print(f"  {row.what:64} {shown(old[row.name]):>11} -> {shown(row.measured):>11}  {row.how_much_worse(old[row.name]) - 1:+.1%}")
