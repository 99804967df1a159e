# SPDX-License-Identifier: BSD-2-Clause
"""What can be measured, a coroutine for each kind: async measure(lab, spec, out). `SETTINGS` has the words of [measure] in a
kind's file, with their defaults.

Times of calls come from Pando's own clock (the time line of an answer, docs/control.md) unless they say `host`: those are
taken in Python, around the whole request."""

import asyncio
import time

from .. import charts
from . import trace
from .output import mib, ms, percentile

SETTINGS = {
    "start": {"calls": 50, "boots": 3},
    "scale": {"counts": [1, 10, 100, 1000]},
    "memory": {"clones": [0, 50, 100, 200], "dedup": ["off", "family"], "passes": 3, "timeout_s": 120.0},
    "size": {"sizes": ["128M", "256M", "512M", "1G", "2G"], "calls": 30},
    "trace": {"file": "trace-small.csv", "minutes": 10, "minute_s": 3.0, "seed": 1, "mode": "fresh", "warm": 0},
}
STAGES = ("entry", "start", "end", "answer")


def stages_of(call):
    """A row's columns: ns from the request to each stage, 0 for one that the call did not have."""
    t = call.data["t"]
    begin, end = t.get("clone") or (0, 0)
    return {"clone_call_ns": end - begin} | {f"{stage}_ns": t.get(stage) or 0 for stage in STAGES}


def column(rows, key, **where):
    return [row[key] for row in rows if all(row[name] == value for name, value in where.items())]


# ---- cold boot, clone, reset, warm


async def start(lab, spec, out):
    modes = {"clone": {"mode": "fresh"}, "clone made ahead": {"mode": "fresh", "warm": 4}, "reset": {"mode": "reset"}, "kept": {"mode": "keep"}}
    rows, boots, calls = [], spec.measure["boots"], spec.measure["calls"]
    for wanted in spec.functions:
        for i in range(boots):
            host_ns = await lab.cold_call(wanted)
            rows.append({"function": wanted.name, "how": "boot", "i": i, "host_ns": host_ns} | dict.fromkeys(("clone_call_ns", *(f"{s}_ns" for s in STAGES)), 0))
            lab.progress(f"{wanted.name}: boot", i + 1, boots)
        await lab.deploy(wanted)
        for how, settings in modes.items():
            await lab.set_function(wanted.name, **settings)
            await lab.invoke(wanted.name, wanted.data)  # the emulator translates what is new to it
            for i in range(calls):
                begin = time.monotonic_ns()
                call = await lab.invoke(wanted.name, wanted.data)
                rows.append({"function": wanted.name, "how": how, "i": i, "host_ns": time.monotonic_ns() - begin} | stages_of(call))
                lab.progress(f"{wanted.name}: {how}", i + 1, calls)
    report_start(spec, out, rows, ["boot", *modes])


def report_start(spec, out, rows, hows):
    out.rows(rows)
    names = [wanted.name for wanted in spec.functions]
    table, medians = [], {}
    for name in names:
        boot = percentile(column(rows, "host_ns", function=name, how="boot"), 50)
        for how in hows:
            host = column(rows, "host_ns", function=name, how=how)
            answer = column(rows, "answer_ns", function=name, how=how)
            medians[name, how] = percentile(host, 50)
            cells = [ms(percentile(answer, 50)), ms(percentile(answer, 99))] if how != "boot" else ["-", "-"]
            table.append([name, how, *cells, ms(medians[name, how]), ms(percentile(host, 99)), f"{boot / medians[name, how]:,.0f}"])
    heads = ["function", "how", "request to answer, p50", "p99", "seen by the host, p50", "p99", "times faster than boot"]
    out.table("From the request to the answer", heads, table)
    series = {how: [medians[name, how] / 1e6 for name in names] for how in hows}
    chart = charts.groups(spec.title, names, series, "ms, median", **charts.decades(sum(series.values(), [])))
    out.chart(chart, "time")


# ---- many clones at once


async def scale(lab, spec, out):
    rows, runs = [], []
    for wanted in spec.functions:
        await lab.deploy(wanted, max=max(spec.measure["counts"]))
        await lab.invoke(wanted.name, wanted.data)
        for n in spec.measure["counts"]:
            begin = time.monotonic_ns()
            calls = await lab.invoke_many(wanted.name, wanted.data, n)
            elapsed = time.monotonic_ns() - begin
            rows += [{"function": wanted.name, "n": n, "i": i} | stages_of(call) for i, call in enumerate(calls)]
            runs.append((wanted.name, n, elapsed))
            lab.progress(f"{wanted.name}: at once", n, max(spec.measure["counts"]))
    report_scale(spec, out, rows, runs)


def report_scale(spec, out, rows, runs):
    out.rows(rows)
    table = []
    for name, n, elapsed in runs:
        answers = column(rows, "answer_ns", function=name, n=n)
        table.append([name, n, ms(percentile(answers, 50)), ms(percentile(answers, 99)), ms(max(answers)), ms(elapsed), f"{n / elapsed * 1e9:,.0f}"])
    out.table("Calls that come at once", ["function", "calls", "p50", "p99", "max", "all answered after", "calls per second"], table)
    counts, series = spec.measure["counts"], {}
    for wanted in spec.functions:
        for percent in (50, 99):
            series[f"{wanted.name}, p{percent}"] = [percentile(column(rows, "answer_ns", function=wanted.name, n=n), percent) / 1e6 for n in counts]
    chart = charts.line(spec.title, "calls at once", counts, series, "ms to the answer", **charts.decades(sum(series.values(), [])))
    out.chart(chart, "latency")


# ---- memory against clones, with and without the merge scanner


async def memory(lab, spec, out):
    rows, measure = [], spec.measure
    for wanted in spec.functions:
        for dedup in measure["dedup"]:
            await lab.deploy(wanted, policy={"dedup": dedup})
            base, alive = await lab.memory_used(), 0
            for n in sorted(measure["clones"]):
                await lab.clones_that_have_answered(wanted, n - alive)
                alive = n
                before = await lab.memory_used()
                await lab.scanned(measure["passes"] if dedup != "off" else 0, measure["timeout_s"])
                rows.append({"function": wanted.name, "dedup": dedup, "clones": n, "bytes": before - base, "bytes_scanned": await lab.memory_used() - base})
                lab.progress(f"{wanted.name}, dedup={dedup}", n, max(measure["clones"]))
            await lab.remove(wanted)
    report_memory(spec, out, rows)


def report_memory(spec, out, rows):
    out.rows(rows)
    table = []
    for row in rows:
        each = [f"{row[key] / row['clones'] / 1024:.0f} KiB" if row["clones"] else "-" for key in ("bytes", "bytes_scanned")]
        table.append([row["function"], row["dedup"], row["clones"], mib(row["bytes"]), mib(row["bytes_scanned"]), *each])
    out.table("Memory beyond the template's", ["function", "dedup", "clones", "at once", "after the scanner", "each", "each, after"], table)
    series = {}
    for wanted in spec.functions:
        for dedup in spec.measure["dedup"]:
            series[f"{wanted.name}, dedup={dedup}"] = [n / (1 << 20) for n in column(rows, "bytes_scanned", function=wanted.name, dedup=dedup)]
    out.chart(charts.line(spec.title, "clones that have answered a call", sorted(spec.measure["clones"]), series, "MiB"), "memory")


# ---- latency against the memory of the template


async def size(lab, spec, out):
    rows = []
    for wanted in spec.functions:
        for text in spec.measure["sizes"]:
            await lab.deploy(wanted, memory=text)
            await lab.invoke(wanted.name, wanted.data)
            for i in range(spec.measure["calls"]):
                call = await lab.invoke(wanted.name, wanted.data)
                rows.append({"function": wanted.name, "memory": text, "i": i} | stages_of(call))
            lab.progress(f"{wanted.name}: memory", spec.measure["sizes"].index(text) + 1, len(spec.measure["sizes"]))
            await lab.remove(wanted)
    report_size(spec, out, rows)


def report_size(spec, out, rows):
    out.rows(rows)
    table, series, sizes = [], {}, spec.measure["sizes"]
    for wanted in spec.functions:
        for text in sizes:
            clone, answer = (column(rows, key, function=wanted.name, memory=text) for key in ("clone_call_ns", "answer_ns"))
            table.append([wanted.name, text, ms(percentile(clone, 50)), ms(percentile(answer, 50)), ms(percentile(answer, 99))])
        for key, label in (("clone_call_ns", "clone call"), ("answer_ns", "answer")):
            series[f"{wanted.name}, {label}"] = [percentile(column(rows, key, function=wanted.name, memory=text), 50) / 1e3 for text in sizes]
    out.table("Medians by the memory of the guest", ["function", "memory", "clone call", "answer, p50", "p99"], table)
    chart = charts.line(spec.title, "memory of the template", sizes, series, "us, median", **charts.decades(sum(series.values(), [])))
    out.chart(chart, "latency")


# ---- a trace


async def replay(lab, spec, out):
    measure = spec.measure
    rows_of_trace = trace.read(spec.folder / measure["file"])
    for wanted in spec.functions:
        await lab.deploy(wanted, mode=measure["mode"], warm=measure["warm"], max=1000)
        await lab.invoke(wanted.name, wanted.data)
    serves = {name: spec.functions[i % len(spec.functions)] for i, (name, _) in enumerate(rows_of_trace)}
    arrivals = trace.arrivals(rows_of_trace, measure["minutes"], measure["minute_s"], measure["seed"])
    begin, tasks, rows = time.monotonic(), [], []

    async def one(at, name):
        late_ns = round((time.monotonic() - begin - at) * 1e9)
        call = await lab.invoke(serves[name].name, serves[name].data)
        rows.append({"second": f"{at:.3f}", "trace_function": name, "function": serves[name].name, "late_ns": late_ns} | stages_of(call))

    for i, (at, name) in enumerate(arrivals):
        await asyncio.sleep(max(0, begin + at - time.monotonic()))
        tasks.append(asyncio.create_task(one(at, name)))
        lab.progress("calls of the trace", i + 1, len(arrivals))
    await asyncio.gather(*tasks)
    report_replay(spec, out, sorted(rows, key=lambda row: float(row["second"])))


def report_replay(spec, out, rows):
    out.rows(rows)
    table = []
    for wanted in spec.functions:
        answers = column(rows, "answer_ns", function=wanted.name)
        if answers:
            table.append([wanted.name, len(answers), ms(percentile(answers, 50)), ms(percentile(answers, 99)), ms(max(answers))])
    late = percentile([row["late_ns"] for row in rows], 99)
    out.table(f"Calls of the trace (sent at most {ms(late)} late, p99)", ["function", "calls", "p50", "p99", "max"], table)
    slots = [[] for _ in range(6 * spec.measure["minutes"])]  # ten seconds of the trace
    for row in rows:
        slot = int(float(row["second"]) / spec.measure["minute_s"] * 6)
        slots[min(slot, len(slots) - 1)].append(row["answer_ns"] / 1e6)  # a second may have been rounded to the end
    minutes = [str(i // 6) if i % 6 == 0 else "" for i in range(len(slots))]
    calls = {"calls": [len(found) for found in slots]}
    out.chart(charts.groups(f"{spec.title}: calls", minutes, calls, "calls in 10 s of the trace", x_title="minute", print_values=False), "calls")
    series = {name: [percentile(found, percent) if found else None for found in slots] for name, percent in (("median", 50), ("slowest", 100))}
    scale_of = charts.decades([value for values in series.values() for value in values if value])
    chart = charts.groups(f"{spec.title}: answers", minutes, series, "ms to the answer", x_title="minute", print_values=False, **scale_of)
    out.chart(chart, "latency")


MEASURES = {"start": start, "scale": scale, "memory": memory, "size": size, "trace": replay}
