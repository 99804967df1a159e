# SPDX-License-Identifier: BSD-2-Clause
"""Clones of Debian's Linux that answer out of a few pages: guests/linux/agent.c, with the bootargs of dts/agent.dts."""

import hashlib
import re
import time

import pytest

from pando import BUILD, QEMUS, SOAK

PAGE = 4096
RECORD = PAGE  # a VM's
EXACT = 116 << 10  # of a clone at its first answer, if no timer tick falls into it
PYTHON_INITRD = BUILD / "linux/python.cpio"


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def private_pages(pando, vm):
    """Private pages of a VM, and ranges of 2 MiB that they lie in."""
    for line in pando.run(f"pages {vm}"):
        if found := re.match(rf"{re.escape(vm)}: (\d+) private pages in (\d+) ranges", line):
            return int(found[1]), int(found[2])
    return pando.fail(f"pages {vm} says nothing")


def memory(pages, ranges):
    """Bytes of these pages and of their tables: a root of 4 frames, one of level 1, one for each range."""
    return (pages + ranges + 5) * PAGE


def template(start, bundle, **machine):
    pando = start(*bundle, **({"mem": "1G"} | machine))
    before = pando.frames()
    pando.run("boot agent")
    pando.freeze_at_ready("agent", 150)
    return pando, before


def answers(pando, n, limit=60):
    """Each clone has answered, and rightly."""
    for i in range(1, n + 1):
        pando.line(rf"\bagent\.{i}: done after .*64 bytes", limit)
    for i in range(1, n + 1):
        assert f"agent.{i}: 64 bytes: {digest(f'pando clone {i}')}" in pando.run(f"result agent.{i}")


@pytest.mark.parametrize("qemu", QEMUS)
def test_memory_at_the_first_answer(start, agent, qemu):
    """By the walk over the tables, and by the frames that are gone; the latter with the VM's own record. In exact time: on a
    busy machine timer ticks fall into the answer, and each dirties pages of its own (make bench has figures of a plain run)."""
    pando, before = template(start, agent(), qemu=qemu, icount=True, harts=1)
    pando.run("policy agent dedup=off")  # the scanner's index takes frames, too, when its time comes
    pando.run("clone agent")
    answers(pando, 1)
    frozen = pando.frames()
    pando.run("clone agent")
    answers(pando, 2)
    taken = (frozen["free"] - pando.frames()["free"]) * PAGE
    pages, ranges = private_pages(pando, "agent.2")
    assert memory(pages, ranges) <= EXACT, f"{pages} private pages in {ranges} ranges"
    assert taken <= EXACT + RECORD
    pando.kill_all(before)
    pando.quit()


@pytest.mark.skipif(not SOAK, reason="takes half a minute: soak only, and a row of make bench")
def test_memory_after_idle_seconds(start, agent):
    """Of a clone that waits in NEXT, and so does not run: not a page more. Of one that sleeps in Linux, with its timers."""
    for mode in ("agent", "agent-idle"):
        pando, before = template(start, agent(mode))
        pando.run("policy agent dedup=off")  # what it takes by itself
        pando.run("clone agent")
        answers(pando, 1)
        time.sleep(0.5)  # it has answered, and is on its way to NEXT
        first = private_pages(pando, "agent.1")
        time.sleep(10)
        last = private_pages(pando, "agent.1")
        assert memory(*last) <= 512 << 10, f"{mode}: {last[0]} private pages in {last[1]} ranges"
        assert mode != "agent" or first == last
        pando.kill_all(before)
        pando.quit()


def test_python(start, agent):
    """The same agent in Python (make bench fetches it): it answers, and asked again answers again."""
    if not PYTHON_INITRD.exists():
        pytest.skip("no Python for the guest")
    before = [f"initrd={BUILD / 'linux/initrd.cpio'}", f"initrd={PYTHON_INITRD}"]
    pando, frames = template(start, [str(word).replace(*before) for word in agent("python")])
    pando.run("clone agent -n 2")
    answers(pando, 2)
    mark = pando.mark()
    pando.run("give agent.2 something else")
    pando.line(r"\bagent\.2: done after .*64 bytes", 20, mark)
    assert f"agent.2: 64 bytes: {digest('something else')}" in pando.run("result agent.2")
    pando.kill_all(frames)
    pando.quit()


def test_requests(start, agent):
    """One after the other, each answered from its own payload; of one block of SHA-256 and of several, and an empty one."""
    pando, before = template(start, agent())
    pando.run("clone agent -n 2")
    answers(pando, 2)
    for text in ("first", "x" * 55, "x" * 56, "x" * 63, "x" * 64, "y" * 119, "y" * 120, "z" * 200, ""):
        mark = pando.mark()
        pando.run(f"give agent.2 {text}")
        pando.line(r"\bagent\.2: done after .*64 bytes", 20, mark)
        assert f"agent.2: 64 bytes: {digest(text)}" in pando.run("result agent.2")
    pando.kill_all(before)
    pando.quit()


def test_reset(start, agent):
    """Back to the template's pages, and the answer again."""
    pando, before = template(start, agent())
    pando.run("clone agent")
    answers(pando, 1)
    mark = pando.mark()
    pando.run("give agent.1 something else")
    pando.line(r"\bagent\.1: done after", 20, mark)
    mark = pando.mark()
    pando.run("reset agent.1")
    pando.line(r"\bagent\.1: done after", 20, mark)
    answers(pando, 1)
    pando.kill_all(before)
    pando.quit()
