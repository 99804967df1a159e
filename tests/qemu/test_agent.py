# SPDX-License-Identifier: BSD-2-Clause
"""Clones of Debian's Linux that answer out of a few pages: guests/linux/agent.c."""

import hashlib
import re

import pytest

from pando import QEMU, qemu_version

PAGE = 4096
QEMUS = [QEMU] if QEMU != "newest" or qemu_version() == qemu_version("system") else ["newest", "system"]


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def private_pages(pando, vm):
    """Private pages of a VM, and ranges of 2 MiB that they lie in."""
    for line in pando.run(f"pages {vm}"):
        if found := re.match(rf"{re.escape(vm)}: (\d+) private pages in (\d+) ranges", line):
            return int(found[1]), int(found[2])
    return pando.fail(f"pages {vm} says nothing")


def template(start, linux, mode="agent", **machine):
    pando = start(*linux(autoboot=0, bootargs=f"pando.mode={mode}"), **({"mem": "1G"} | machine))
    before = pando.frames()
    pando.run("boot linux")
    pando.freeze_at_ready("linux", 150)
    return pando, before


def answers(pando, n, limit=60):
    """Each clone has answered, and rightly."""
    for i in range(1, n + 1):
        pando.line(rf"\blinux\.{i}: done after .*64 bytes", limit)
    for i in range(1, n + 1):
        assert f"linux.{i}: 64 bytes: {digest(f'pando clone {i}')}" in pando.run(f"result linux.{i}")


@pytest.mark.parametrize("qemu", QEMUS)
def test_memory_at_the_first_answer(start, linux, qemu):
    """Stack, window, and the tables above them: by the walk over the tables, and by the frames that are gone."""
    n = 1
    pando, before = template(start, linux, qemu=qemu)
    frozen = pando.frames()
    pando.run(f"clone linux -n {n}")
    answers(pando, n)
    taken = (frozen["free"] - pando.frames()["free"]) * PAGE // n
    pages, _ = private_pages(pando, "linux.1")
    assert 2 <= pages <= 8, f"{pages} private pages"
    assert taken <= 64 << 10, f"{taken} bytes for each clone"
    pando.kill_all(before)
    pando.quit()


def test_requests(start, linux):
    """One after the other, each answered from its own payload; also the longest that a line holds, and none at all."""
    pando, before = template(start, linux)
    pando.run("clone linux -n 2")
    answers(pando, 2)
    for text in ("first", "x" * 119, "y" * 120, "z" * 200, ""):
        mark = pando.mark()
        pando.run(f"give linux.2 {text}")
        pando.line(r"\blinux\.2: done after .*64 bytes", 20, mark)
        assert f"linux.2: 64 bytes: {digest(text)}" in pando.run("result linux.2")
    assert private_pages(pando, "linux.1")[0] < private_pages(pando, "linux.2")[0]
    pando.kill_all(before)
    pando.quit()
