# SPDX-License-Identifier: BSD-2-Clause
"""Charts as SVG, drawn by pygal (Debian's python3-pygal): plain shapes without script, the
same bytes for the same figures."""

import math
import xml.etree.ElementTree

import pygal
from pygal.style import Style

STYLE = Style(
    background="white", plot_background="white", foreground="#333333", foreground_strong="#111111", foreground_subtle="#777777",
    colors=("#1f6f8b", "#d1603d", "#6a994e", "#7b5ea7", "#b5892e", "#555555"), font_family="sans-serif", title_font_size=15, label_font_size=12,
    major_label_font_size=12, value_font_size=11, value_label_font_size=11, legend_font_size=12, transition="none",
)  # fmt: skip


def thousands(value):
    return f"{value:,.0f}"


def settings(title, **more):
    common = {"style": STYLE, "title": title, "js": (), "width": 760, "height": 380, "margin_right": 50, "value_formatter": thousands}
    return common | {"legend_at_bottom": True, "legend_at_bottom_columns": 1, "truncate_legend": -1, "print_values": True} | more


def short(value):
    return f"{value:,.3g}" if value < 1000 else thousands(value)


def decades(values):
    """Settings of a logarithmic axis for values above 0: a line at each power of ten."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    labels = [10.0**power for power in range(low, max(high, low + 1) + 1)]
    return {"logarithmic": True, "y_labels": labels, "range": (labels[0], labels[-1]), "zero": labels[0], "value_formatter": short}


def line(title, x_title, labels, series, y_title="instructions", **more):
    """`series`: {name: one value for each label}."""
    highest = max(max(values) for values in series.values())
    chart = pygal.Line(**settings(title, **{"x_title": x_title, "y_title": y_title, "range": (0, 1.1 * highest)} | more))
    chart.x_labels = labels
    for name, values in series.items():
        chart.add(name, values)
    return chart


def bars(title, items, name="Pando", x_title="instructions"):
    """`items`: (label, value), from top to bottom."""
    chart = pygal.HorizontalBar(**settings(title, show_legend=False, height=120 + 36 * len(items), x_title=x_title))
    labels, values = zip(*reversed(items))
    chart.x_labels = labels
    chart.add(name, values)
    return chart


def groups(title, labels, series, y_title, **more):
    """Bars side by side. `series`: {name: one value for each label}."""
    chart = pygal.Bar(**settings(title, y_title=y_title, **more))
    chart.x_labels = labels
    for name, values in series.items():
        chart.add(name, values)
    return chart


def write(chart, path):
    """As SVG, whatever a file of that name was."""
    chart.uuid = path.stem  # else a random one
    tree = chart.render_tree()
    for defs in tree.iter("defs"):
        for script in defs.findall("script"):
            defs.remove(script)
    for comment in [child for child in tree if not isinstance(child.tag, str)]:
        tree.remove(comment)
    path.write_bytes(xml.etree.ElementTree.tostring(tree) + b"\n")
