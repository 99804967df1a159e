# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures for the tests of scripts/pando that need no QEMU: a fake Pando, a directory short enough for sockets, and the command as a person
runs it there."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
PANDO = str(TOP / "scripts" / "pando")
sys.path.insert(0, str(TOP / "scripts" / "lib"))

from fake import Fake  # noqa: E402


def has_ended(pid):
    """A process that nobody has waited for yet has ended, too."""
    try:
        return "Z" in pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return True


def until(holds, limit=60):
    """Waits for what happens beside the test."""
    end = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def directory():
    path = pathlib.Path(tempfile.mkdtemp(prefix="pando"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def fake(directory):
    with Fake(directory) as running:
        yield running


class Here:
    """Runs the command in one directory."""

    def __init__(self, directory):
        self.directory = directory

    def popen(self, *words, **options):
        command = [PANDO, *map(str, words), "--dir", str(self.directory)]
        return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def run(self, *words, status=0, data=None):
        """Its stdout; the status must be as told."""
        process = self.popen(*words, stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL)
        out, self.err = process.communicate(data, timeout=60)
        assert process.returncode == status, (words, out, self.err)
        return out

    def json(self, *words, **options):
        return json.loads(self.run(*words, "--json", **options))

    def complaint(self, *words, status=1, **options):
        """The one line of an error."""
        self.run(*words, "--quiet", status=status, **options)
        assert self.err.startswith("pando: error: "), self.err
        return self.err.removeprefix("pando: error: ").rstrip("\n")


@pytest.fixture
def here(fake, directory):
    return Here(directory)


@pytest.fixture
def hello(here, fake):
    fake.vms["hello"] = {"name": "hello", "id": 100, "state": "template", "private": 0}
    here.run("deploy", "hello", "--template", "hello")
    return here
