# SPDX-License-Identifier: BSD-2-Clause
"""Many calls of one function, so many at a time, and what they took: the engine of `pando invoke --n`. No call is lost: what
failed is counted by its code."""

import asyncio
import collections
import time
from dataclasses import dataclass, field

from . import timeline
from .errors import Busy, CommandError

QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))


def quantile(values, q):
    """The value that a part q of the sorted values does not exceed (nearest rank)."""
    return values[max(0, -(-int(q * 1000) * len(values) // 1000) - 1)]


def spread(values):
    """{"p50":, "p90":, "p99":, "max":, "mean":} of numbers, or {} of none."""
    values = sorted(values)
    if not values:
        return {}
    return {name: quantile(values, q) for name, q in QUANTILES} | {"mean": sum(values) / len(values)}


@dataclass
class Load:
    """What many calls came to. `calls` are those that succeeded, `errors` the exceptions of the others, and `failed` counts those by code;
    `seconds` from the first request to the last answer. Times in ns."""

    name: str
    n: int
    concurrency: int
    seconds: float = 0.0
    calls: list = field(default_factory=list)
    failed: dict = field(default_factory=dict)
    errors: list = field(default_factory=list)
    retried: int = 0

    def messages(self):
        """{code: what the first failure with it said}"""
        return {error.code: str(error) for error in reversed(self.errors)}

    def table(self):
        """{row: spread}: `call` as this program saw it, then each stage as Pando saw it."""
        rows = {"call": spread([call.seconds * 1e9 for call in self.calls])}
        found = collections.defaultdict(list)
        for call in self.calls:
            for stage, ns in timeline.lengths(call.data).items():
                found[stage].append(ns)
        return rows | {stage: spread(found[stage]) for stage in timeline.STAGES if found[stage]}

    def summary(self):
        """All of it but the calls, for JSON."""
        rate = len(self.calls) / self.seconds if self.seconds else 0.0
        return {
            "function": self.name,
            "n": self.n,
            "concurrency": self.concurrency,
            "ok": len(self.calls),
            "failed": dict(self.failed),
            "messages": self.messages(),
            "busy_retries": self.retried,
            "seconds": self.seconds,
            "calls_per_second": rate,
            "ns": self.table(),
        }

    def text(self):
        head = f"{self.name}: {len(self.calls)} of {self.n} calls answered in {self.seconds:.2f} s, {self.concurrency} at a time"
        lines = [f"{head}: {self.summary()['calls_per_second']:.1f} calls/s"]
        if self.retried:
            lines.append(f"{self.retried} times Pando was busy, and was asked again")
        messages = self.messages()
        lines += [f"{count} failed with {code}: {messages[code]}" for code, count in sorted(self.failed.items())]
        if self.calls:
            lines.append(f"{'':10}" + "".join(f"{name:>10}" for name in ("p50", "p90", "p99", "max", "mean")))
            for row, values in self.table().items():
                lines.append(f"{row:<10}" + "".join(f"{timeline.duration(v):>10}" for v in values.values()))
        return "\n".join(lines) + "\n"


async def persist(pando, name, payload, retries=20, busy=lambda: None, **options):
    """One call. If it finds Pando busy it is asked again after a while, `retries` times; `busy()` hears of each."""
    for attempt in range(retries + 1):
        try:
            return await pando.invoke(name, payload, **options)
        except Busy:
            if attempt == retries:
                raise
            busy()
            await asyncio.sleep(min(0.01 * 2 ** min(attempt, 6), 0.5))


async def run(pando, name, data, n, concurrency=1, progress=None, retries=20, **options):
    """Calls `name` n times with `data` (bytes, or a function of the call's number), each as persist() does. `progress(done, n)`; `options` are
    those of AsyncPando.invoke()."""
    result = Load(name, n, concurrency)
    numbers = iter(range(n))
    done = 0

    def busy():
        result.retried += 1

    async def worker():
        nonlocal done
        for number in numbers:
            try:
                payload = data(number) if callable(data) else data
                result.calls.append(await persist(pando, name, payload, retries, busy, **options))
            except CommandError as error:
                result.failed[error.code] = result.failed.get(error.code, 0) + 1
                result.errors.append(error)
            done += 1
            if progress:
                progress(done, n)

    start = time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, n)):
                group.create_task(worker())
    except ExceptionGroup as failed:  # no answer of Pando's; most often the connection has ended, for all of them
        raise failed.exceptions[0] from None
    result.seconds = time.monotonic() - start
    return result
