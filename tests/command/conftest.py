# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures for the tests of scripts/pando that need no QEMU: a fake Pando, and a directory short enough for sockets."""

import pathlib
import shutil
import sys
import tempfile
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
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
