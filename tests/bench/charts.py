# SPDX-License-Identifier: BSD-2-Clause
"""Curves as SVG, drawn by pygal (Debian's python3-pygal): plain shapes without script, the same bytes for the same
figures."""

import xml.etree.ElementTree

import pygal
from pygal.style import Style

STYLE = Style(
    background="white", plot_background="white", foreground="#333333", foreground_strong="#111111", foreground_subtle="#777777",
    colors=("#1f6f8b", "#d1603d", "#6a994e", "#7b5ea7"), font_family="sans-serif", title_font_size=15, label_font_size=12, major_label_font_size=12,
    value_font_size=11, value_label_font_size=11, legend_font_size=12, transition="none",
)  # fmt: skip


def thousands(value):
    return f"{value:,.0f}"


def settings(title, **more):
    common = {"style": STYLE, "title": title, "js": (), "width": 760, "height": 380, "margin_right": 50, "value_formatter": thousands}
    return common | {"legend_at_bottom": True, "legend_at_bottom_columns": 1, "truncate_legend": -1, "print_values": True} | more


def line(title, x_title, labels, series, y_title="instructions"):
    highest = max(max(values) for values in series.values())
    chart = pygal.Line(**settings(title, x_title=x_title, y_title=y_title, range=(0, 1.1 * highest)))
    chart.x_labels = labels
    for name, values in series.items():
        chart.add(name, values)
    return chart


def bars(title, items):
    chart = pygal.HorizontalBar(**settings(title, show_legend=False, height=120 + 36 * len(items), x_title="instructions"))
    labels, values = zip(*reversed(items))
    chart.x_labels = labels
    chart.add("Pando", values)
    return chart


def clone_call(title, x_title, curve):
    labels, costs = zip(*curve["points"])
    return line(title, x_title, labels, {"Pando": costs, "target": [curve["target"]] * len(costs)})


def memory(series):
    labels = [label for label, _ in next(iter(series.values()))]
    kib = {what: [round(n / 1024) for _, n in points] for what, points in series.items()}
    return line("Memory per clone of the Debian guest", "moment in its life", labels, kib, "KiB")


def dedup(series):
    labels = [label for label, _ in next(iter(series.values()))]
    mib = {what: [round(n / (1 << 20)) for _, n in points] for what, points in series.items()}
    return line("Memory of clones that diverge, converge and are merged", "moment", labels, mib, "MiB")


def draw(curves, folder):
    """Draws what has been measured of `curves` ({name: what its chart wants}) as folder/bench-NAME.svg; the paths."""
    kinds = {
        "size": lambda curve: clone_call("Clone call over the memory of the template", "memory", curve),
        "count": lambda curve: clone_call("Clone call over the number of VMs", "VMs that are there already", curve),
        "depth": lambda curve: clone_call("Clone call over the depth of the family", "clones of clones", curve),
        "breaks": lambda curve: bars("Exits and breaks, by class", curve),
        "memory": memory,
        "dedup": dedup,
    }
    paths = []
    for name in curves.keys() & kinds.keys():
        paths.append(folder / f"bench-{name}.svg")
        write(kinds[name](curves[name]), paths[-1])
    return sorted(paths)


def write(chart, path):
    chart.uuid = path.stem  # else a random one
    tree = chart.render_tree()
    for defs in tree.iter("defs"):
        for script in defs.findall("script"):
            defs.remove(script)
    for comment in [child for child in tree if not isinstance(child.tag, str)]:
        tree.remove(comment)
    path.write_bytes(xml.etree.ElementTree.tostring(tree) + b"\n")
