# SPDX-License-Identifier: BSD-2-Clause
"""The experiments that come with Pando, in a small form, as their user runs them."""

import csv
import json
import os
import pathlib
import subprocess
import tempfile

import pytest

from pando import BUILD, QEMU, SLOW, TOP

# name: (settings, rows of the CSV, a column, what must hold for it)
SMALL = {
    "start": (["calls=2", "boots=1"], 1 + 4 * 2, "host_ns", lambda ns: ns > 0),
    "scale": (["counts=[1, 20]"], 1 + 20, "answer_ns", lambda ns: ns > 0),
    "memory": (["clones=[0, 4]", "passes=2"], 2 * 2, "bytes", lambda n: n >= 0),
    "size": (['sizes=["128M", "256M"]', "calls=2"], 2 * 2, "clone_call_ns", lambda ns: ns > 0),
    "trace": (["minutes=2", "minute_s=0.5"], 60, "answer_ns", lambda ns: ns > 0),
}
FUNCTIONS = {"memory": "hello-python"}
NEEDS = {"hello-c": "musl", "hello-python": "python"}  # in build/linux


def run(*words, **env):
    """Its QEMUs are in sessions of their own: of an experiment that is killed, for it takes too long, they are ended here."""
    command = [TOP / "scripts/pando", "experiment", *words, "--no-build", "--qemu", QEMU]
    with tempfile.TemporaryDirectory(prefix="pando") as folder:
        env = {"TMPDIR": folder} | env
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240 * SLOW, env=os.environ | env)
        finally:
            for state in pathlib.Path(env["TMPDIR"]).glob("pando-*/pando.json"):
                subprocess.run([TOP / "scripts/pando", "down", "--dir", state.parent], capture_output=True, check=False)


@pytest.mark.parametrize("name", SMALL)
def test_small(name, tmp_path):
    settings, n_rows, column, holds = SMALL[name]
    function = FUNCTIONS.get(name, "hello-c")
    if not (BUILD / "functions.dtb").is_file() or not (BUILD / "linux" / NEEDS[function]).is_dir():
        pytest.skip("no Linux guest, or not what the function's runtime needs (make setup fetches them)")
    done = run(name, "-o", tmp_path, "--json", "--function", function, *(f"--set={word}" for word in settings))
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)["files"]
    assert {f"{name}.csv", f"{name}.md"} < set(files) and any(file.endswith(".svg") for file in files)
    with open(tmp_path / f"{name}.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == n_rows
    assert all(holds(int(row[column])) for row in rows)
    assert "QEMU" in (tmp_path / f"{name}.md").read_text()


def test_nothing_is_left_of_one_that_fails(tmp_path):
    """A guest that is too small for its kernel: one line, and its QEMU ends with the experiment."""
    done = run("size", "-o", tmp_path, "--set", 'sizes=["16M"]', TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert "memory" in done.stderr and done.stderr.count("\n") < 12, done.stderr
    assert not list(tmp_path.glob("pando-*"))
