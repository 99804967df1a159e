# SPDX-License-Identifier: BSD-2-Clause
"""The curves of the benchmark, as SVG."""

import importlib

import drive

charts = importlib.import_module(f"{drive.HOST}.charts")


def clone_call(title, x_title, curve):
    labels, costs = zip(*curve["points"])
    return charts.line(title, x_title, labels, {"Pando": costs, "target": [curve["target"]] * len(costs)})


def memory(series):
    labels = [label for label, _ in next(iter(series.values()))]
    kib = {what: [round(n / 1024) for _, n in points] for what, points in series.items()}
    return charts.line("Memory per clone of the Debian guest", "moment in its life", labels, kib, "KiB")


def dedup(series):
    labels = [label for label, _ in next(iter(series.values()))]
    mib = {what: [round(n / (1 << 20)) for _, n in points] for what, points in series.items()}
    return charts.line("Memory of clones that diverge, converge and are merged", "moment", labels, mib, "MiB")


def draw(curves, folder):
    """Draws what has been measured of `curves` ({name: what its chart wants}) as folder/bench-NAME.svg; the paths."""
    kinds = {
        "size": lambda curve: clone_call("Clone call over the memory of the template", "memory", curve),
        "count": lambda curve: clone_call("Clone call over the number of VMs", "VMs that are there already", curve),
        "depth": lambda curve: clone_call("Clone call over the depth of the family", "clones of clones", curve),
        "breaks": lambda curve: charts.bars("Exits and breaks, by class", curve),
        "memory": memory,
        "dedup": dedup,
    }
    paths = []
    for name in curves.keys() & kinds.keys():
        paths.append(folder / f"bench-{name}.svg")
        charts.write(kinds[name](curves[name]), paths[-1])
    return sorted(paths)
