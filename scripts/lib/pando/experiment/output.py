# SPDX-License-Identifier: BSD-2-Clause
"""What an experiment leaves behind: rows as CSV, charts as SVG, and a summary in words that says on what it was measured."""

import csv
import os
import platform
import subprocess

from .. import charts
from ..load import quantile
from ..machine import TOP


def percentile(values, percent):
    return quantile(sorted(values), percent / 100)


def ms(ns):
    """Nanoseconds for people: three digits that count."""
    value = ns / 1e6
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"


def mib(n_bytes):
    return f"{n_bytes / (1 << 20):.1f} MiB"


class Output:
    """Rows, charts and tables of one run, written into `folder` as they are finished."""

    def __init__(self, folder, spec, say):
        self.folder, self.spec, self.say = folder, spec, say
        self.tables = []
        self.charts = []
        folder.mkdir(parents=True, exist_ok=True)

    def rows(self, rows, name=None):
        """`rows`: dicts with the same keys."""
        path = self.folder / f"{name or self.spec.name}.csv"
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        self.say(f"written: {path}")

    def chart(self, chart, name):
        path = self.folder / f"{self.spec.name}-{name}.svg"
        charts.write(chart, path)
        self.charts.append(path)
        self.say(f"drawn: {path}")

    def table(self, title, heads, rows):
        """Cells are shown as they are."""
        self.tables.append((title, heads, [[str(cell) for cell in row] for row in rows]))

    def finish(self, qemu):
        """Writes summary.md and returns its text."""
        lines = [f"# {self.spec.title}", "", *setting(self.spec, qemu), ""]
        for title, heads, rows in self.tables:
            lines += [f"## {title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
            lines += ["| " + " | ".join(row) + " |" for row in rows]
            lines.append("")
        lines += [f"![{path.stem}]({path.name})" for path in self.charts]
        text = "\n".join(lines).rstrip() + "\n"
        path = self.folder / f"{self.spec.name}.md"
        path.write_text(text, encoding="utf-8")
        self.say(f"written: {path}")
        return text


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def version():
    run = subprocess.run(["git", "-C", TOP, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return run.stdout.strip() or "unknown"


def setting(spec, qemu):
    measure = ", ".join(f"{key} = {value}" for key, value in spec.measure.items())
    return [
        f"Pando {version()} on QEMU {qemu}, {spec.harts} harts, {spec.mem}; host: {processor()}, {os.cpu_count()} CPUs.",
        f"Experiment `{spec.name}`, kind `{spec.kind}`: {measure}.",
    ]
