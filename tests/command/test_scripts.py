# SPDX-License-Identifier: BSD-2-Clause
"""Scripts in what nobody sees of them otherwise: test, check, mkcpio, qemu, fetch-python."""

import hashlib
import importlib.machinery
import importlib.util
import os
import pathlib
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
    return module


def test_a_pytest_that_hangs_is_killed_with_all_that_it_started(runner, tmp_path, monkeypatch):
    """Also what has a session of its own, as the QEMUs of `pando up` have."""
    folder, pid = tmp_path / "hanging", tmp_path / "pid"
    folder.mkdir()
    (folder / "test_hangs.py").write_text(HANGS.format(pid=str(pid)))
    monkeypatch.setattr(runner, "PYTEST_LIMIT", 30)
    with open(tmp_path / "said", "w+", encoding="utf-8") as said:
        count = runner.run_pytest(folder, types.SimpleNamespace(soak=False, jobs=2, pytest=[]), said)
        said.seek(0)
        text = said.read()
        assert "FAIL hanging: killed after 30 s" in text and "in test_hangs" in text, text
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


def test_mkcpio_takes_a_path_with_commas(tmp_path):
    """What stands behind the last comma is a mode only if it can be one."""
    source = tmp_path / "a,b" / "c,d"
    source.parent.mkdir()
    source.write_text("content")
    mode = {}
    for words, name in ((f"{source}", "plain"), (f"{source},644", "moded")):
        subprocess.run([TOP / "scripts/mkcpio", "-o", tmp_path / "out", f"file:/{name}={words}"], check=True)
        packed = (tmp_path / "out").read_bytes()
        assert b"content" in packed
        mode[name] = int(packed[14:22], 16) & 0o7777
    assert mode == {"plain": 0o755, "moded": 0o644}


def test_qemu_says_which_option_lacks_its_value():
    for words in (["--mem"], ["--harts", "2", "--control"]):
        run = subprocess.run([TOP / "scripts/qemu", *words], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (1, f"qemu: error: {words[-1]} wants a value\n")


FAKE_TOOLS = {
    "apt-get": """case "$*" in
        *indextargets*) echo trixie ;;
        *" download "*) while [ "$1" != download ]; do shift; done; shift; for name; do echo new >"${name}_2_riscv64.deb"; done ;;
        esac""",
    "apt-cache": "echo '  Depends: python3.13-minimal'",
    "dpkg-deb": """n=0; for word; do case $word in *.deb) n=$((n + 1)) ;; esac; done
        [ $n = 1 ] || { echo "not one package: $*" >&2; exit 2; }
        [ "$1" = -x ] || exit 0
        mkdir -p "$3/usr/bin" "$3/usr/lib/riscv64-linux-gnu"; echo x >"$3/usr/lib/riscv64-linux-gnu/libc.so.6" """,
    "tar": "cat >/dev/null",
}


@pytest.mark.skipif(not list(pathlib.Path("/usr/share/keyrings").glob("debian-archive-keyring.*")), reason="no keyring of Debian")
def test_python_is_fetched_anew_over_an_old_cache(tmp_path):
    """A cache that lacks a library leaves none of its packages beside the new ones."""
    tools, cache = tmp_path / "tools", tmp_path / "cache/pando/python"
    tools.mkdir()
    cache.mkdir(parents=True)
    for name, script in FAKE_TOOLS.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    old = [f"{name}_1_riscv64.deb" for name in ("python3.13-minimal", "libpython3.13-minimal", "libpython3.13-stdlib", "libc6", "libexpat1")]
    for name in old:
        (cache / name).write_text("old\n")
    (cache / "SHA256SUMS").write_text("".join(f"{hashlib.sha256(b'old' + bytes([10])).hexdigest()}  {name}\n" for name in old))
    env = os.environ | {"BUILD": str(tmp_path / "build"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "DEBIAN_MIRROR": "http://mirror.invalid"}
    env["PATH"] = f"{tools}:{env['PATH']}"
    run = subprocess.run([TOP / "scripts/fetch-python"], capture_output=True, text=True, check=False, env=env)
    assert run.returncode == 0, run.stdout + run.stderr
    packages = (tmp_path / "build/linux/python/.stamp").read_text().split()
    assert len(packages) == 10 and all("_2_" in name for name in packages)


def test_the_documentation_of_tests_names_each():
    text = (TOP / "docs/testing.md").read_text()
    programs = [path.stem for path in (TOP / "tests/host").glob("test_*.c")]
    files = [path.name for path in (TOP / "tests/qemu").glob("test_*.py")]
    assert [name for name in [*programs, *files] if f"`{name}`" not in text] == []
