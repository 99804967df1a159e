# SPDX-License-Identifier: BSD-2-Clause
"""scripts/test and scripts/check themselves, where nobody sees them otherwise."""

import importlib.machinery
import importlib.util
import os
import signal
import subprocess
import types

import pytest
from conftest import TOP, has_ended

HANGS = """
import pathlib, subprocess, time

def test_hangs():
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    pathlib.Path({pid!r}).write_text(str(child.pid))
    time.sleep(1000)
"""


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """The script as a module, with its results elsewhere."""
    loader = importlib.machinery.SourceFileLoader("runner", str(TOP / "scripts/test"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("runner", loader))
    loader.exec_module(module)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.delenv("PANDO_SLOW", raising=False)
    return module


def test_a_pytest_that_hangs_is_killed_with_all_that_it_started(runner, tmp_path, monkeypatch):
    """Also what has a session of its own, as the QEMUs of `pando up` have."""
    folder, pid = tmp_path / "hanging", tmp_path / "pid"
    folder.mkdir()
    (folder / "test_hangs.py").write_text(HANGS.format(pid=str(pid)))
    monkeypatch.setattr(runner, "PYTEST_LIMIT", 10)
    with open(tmp_path / "said", "w+", encoding="utf-8") as said:
        count = runner.run_pytest(folder, types.SimpleNamespace(soak=False, jobs=2, pytest=[]), said)
        said.seek(0)
        text = said.read()
        assert "FAIL hanging: killed after 10 s" in text and "in test_hangs" in text, text
    assert (count.passed, count.failed) == (0, 1)
    child = int(pid.read_text())
    try:
        assert has_ended(child)
    finally:
        if not has_ended(child):
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    "script, status, words",
    [
        ("exit 0", 0, "ok    format"),
        ("echo 'a.c:1:2: error: code should be clang-formatted [-Wclang-format-violations]' >&2; exit 1", 1, "a.c: not as `make format`"),
        ("echo 'Error reading .clang-format' >&2; exit 1", 1, "Error reading .clang-format\nFAIL  format"),
    ],
    ids=["good", "bad", "broken"],
)
def test_the_check_of_the_format_fails_when_clang_format_does(tmp_path, script, status, words):
    program = tmp_path / "clang-format"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    run = subprocess.run([TOP / "scripts/check", "format"], capture_output=True, text=True, check=False, env=env, timeout=300)
    assert (run.returncode, words in run.stdout, "shellcheck" in run.stdout) == (status, True, False), run.stdout
