# SPDX-License-Identifier: BSD-2-Clause
"""tests/bench/run.py works: its quickest group, in the form that others read."""

import json
import subprocess

from pando import TOP


def bench(*args):
    command = ["/usr/bin/python3", TOP / "tests/bench/run.py", "--only", "breaks", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_bench(tmp_path):
    run = bench("--output", tmp_path / "bench.json")
    assert run.returncode == 0, run.stdout + run.stderr
    rows = {row["name"]: row for row in json.loads((tmp_path / "bench.json").read_text())}
    assert all({"name", "unit", "measured", "target", "peer"} <= row.keys() for row in rows.values())
    assert 113 < rows["sbi-call"]["measured"] < rows["break-private-table"]["measured"]
    assert all(row["note"] for row in rows.values() if row["target"] and row["measured"] > row["target"])


def test_compare(tmp_path):
    """An old figure that was better is pointed out, and only that."""
    old = tmp_path / "old.json"
    old.write_text(json.dumps([{"name": "sbi-call", "measured": 114}, {"name": "zero-fill", "measured": 10**6}]))
    run = bench("--output", tmp_path / "bench.json", "--compare", old)
    assert run.returncode == 0, run.stdout + run.stderr
    worse = run.stdout.split("worse by more than 2%")[1]
    assert "trivial SBI call" in worse and "zero fill" not in worse
