# SPDX-License-Identifier: BSD-2-Clause
"""The time line of a call: its stages as Pando reports them (docs/control.md, `invoke`), as text and as a drawing.

| stage | from | to |
|---|---|---|
| wait | the request's line had arrived | the clone call begins (or, without one, the VM runs) |
| clone | the clone call begins | it returns |
| give | the clone call has returned | the write set has been copied, and the payload is in its window |
| enter | | the guest's first instruction |
| wake | the first instruction | the handler begins: the guest takes its work and repairs its identity |
| handler | the handler begins | the handler ends |
| answer | the handler has ended | DONE |
| gone | DONE | the VM has been killed or reset |

A stage that a call did not have is left out; the one after it then begins where the one before it ended."""

from xml.sax.saxutils import escape

STAGES = ("wait", "clone", "give", "enter", "wake", "handler", "answer", "gone")
COLOURS = dict(zip(STAGES, ("#b0b0b0", "#1b7f79", "#d0a0c0", "#5aa9a4", "#e0a030", "#3465a4", "#7a9cc6", "#c0504d")))


def stages(data):
    """[(stage, begin, end)] in ns since the request, in order, from the data of an invoke."""
    t = data.get("t") or {}
    clone = t.get("clone") or (None, None)
    points = [clone[0], clone[1], t.get("given"), t.get("entry"), t.get("start"), t.get("end"), t.get("answer"), t.get("gone")]
    found, last = [], t.get("request") or 0
    for name, point in zip(STAGES, points):
        if point is not None:
            found.append((name, last, point))
            last = point
    return found


def lengths(data):
    """{stage: ns}"""
    return {name: end - begin for name, begin, end in stages(data)}


def duration(ns):
    """A time for people, with three digits."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(ns) >= size:
            value = ns / size
            return f"{value:.{max(0, 3 - len(str(int(abs(value)))))}f} {unit}"
    return f"{ns:.0f} ns"


def notes(data):
    """What else Pando says of a call, line by line."""
    lines = []
    if instret := {k: v for k, v in (data.get("instret") or {}).items() if v is not None}:
        lines.append("instructions: " + ", ".join(f"{k} {v}" for k, v in instret.items()))
    if breaks := {k: v for k, v in (data.get("breaks") or {}).items() if v}:
        lines.append("breaks: " + ", ".join(f"{k} {v}" for k, v in breaks.items()))
    if data.get("private_pages") is not None:
        lines.append(f"memory: {data['private_pages']} private pages, {data.get('table_frames', 0)} frames of tables")
    if data.get("ahead"):
        lines.append(f"copied ahead: {data['ahead']} pages that every call writes")
    return lines


def title(data):
    return f"{data.get('vm', 'a call')}: {data.get('mode', 'fresh')}" + (", warm" if data.get("warm") else "")


def text(data, width=60):
    """The call as bars, one line for each stage."""
    found = stages(data)
    total = max([end for _, _, end in found], default=0) or 1
    lines = [f"{title(data)}, {duration(total)} in all"]
    for name, begin, end in found:
        left = begin * width // total
        bar = max(1, -(-end * width // total) - left)
        lines.append(f"  {name:<8}{' ' * left}{'#' * bar}{' ' * (width - left - bar)}  {duration(end - begin):>8}")
    return "\n".join(lines + [f"  {line}" for line in notes(data)]) + "\n"


def _bar(name, begin, end, total, row):
    x, w = 90 + 560 * begin / total, max(1.5, 560 * (end - begin) / total)
    y = 44 + 26 * row
    label = f"{name}: {duration(end - begin)}"
    return (
        f'<text x="80" y="{y + 13}" text-anchor="end">{name}</text>'
        f'<rect x="{x:.1f}" y="{y}" width="{w:.1f}" height="18" fill="{COLOURS[name]}"><title>{label}</title></rect>'
        f'<text x="740" y="{y + 13}" text-anchor="end">{duration(end - begin)}</text>'
    )


def svg(data):
    """The same as a drawing."""
    found = stages(data)
    total = max([end for _, _, end in found], default=0) or 1
    bottom = 44 + 26 * len(found)
    extra = notes(data)
    height = bottom + 24 + 18 * len(extra)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{height}" viewBox="0 0 760 {height}"',
        ' font-family="sans-serif" font-size="12" fill="#222">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="20" y="24" font-size="14">{escape(title(data))}, {duration(total)} in all</text>',
    ]
    for tick in range(5):
        x = 90 + 560 * tick / 4
        out.append(f'<line x1="{x}" x2="{x}" y1="36" y2="{bottom}" stroke="#ddd"/>')
    out += [_bar(name, begin, end, total, row) for row, (name, begin, end) in enumerate(found)]
    out += [f'<text x="20" y="{bottom + 20 + 18 * i}">{escape(line)}</text>' for i, line in enumerate(extra)]
    return "\n".join(out) + "\n</svg>\n"
