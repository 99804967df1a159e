# SPDX-License-Identifier: BSD-2-Clause
"""Traces of invocations in the format of the public Azure Functions traces (Shahrad et al., "Serverless in the Wild", USENIX
ATC 2020): a CSV file with one row per function, HashOwner, HashApp, HashFunction, Trigger, and then a column for each minute
of the day with the number of calls in it."""

import csv
import random

from .spec import SpecError

KEYS = ("HashOwner", "HashApp", "HashFunction", "Trigger")


def read(path):
    """[(name, [calls in minute 1, ...])], the busiest first."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            minutes = [name for name in reader.fieldnames or () if name.isdigit()]
            if not set(KEYS) <= set(reader.fieldnames or ()) or not minutes:
                raise SpecError(f"{path}: not an Azure Functions trace: the first line has to name {', '.join(KEYS)}, 1, 2, ...")
            minutes.sort(key=int)
            rows = [(row["HashFunction"], [int(row[minute] or 0) for minute in minutes]) for row in reader]
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise SpecError(f"{path}: {error}") from None
    if any(n < 0 for _, counts in rows for n in counts):
        raise SpecError(f"{path}: a number of calls is negative")
    return sorted(rows, key=lambda row: -sum(row[1]))


def arrivals(rows, minutes, minute_s, seed):
    """[(second, function's name)] in order of time: the calls of each minute at random moments within it, and a minute of the
    trace in `minute_s` seconds of ours. The trace says no more than how many there are in a minute."""
    chance = random.Random(seed)
    calls = []
    for name, counts in rows:
        for minute, n in enumerate(counts[:minutes]):
            calls += [((minute + chance.random()) * minute_s, name) for _ in range(n)]
    return sorted(calls)
