# SPDX-License-Identifier: BSD-2-Clause
"""Many clones alive at once, each of which has answered, and rightly. Of the tiny guest `make soak` makes all 10,000."""

import re
import time

from pando import SOAK
from test_agent import PAGE, digest

LINUX_CLONES = 1000
TINY_CLONES = 10000 if SOAK else 3000
BATCH = 1000  # clones that one command makes


def clone(pando, template, n):
    for first in range(1, n + 1, BATCH):
        pando.run(f"clone {template} -n {min(BATCH, n + 1 - first)}", 300)


def await_answers(pando, template, n, start, limit):
    """A "done" line from each of n clones, in whatever order."""
    names, state = set(), {"at": start}
    done = re.compile(rf"^{template}\.(\d+): done after")

    def ready():
        lines = pando.screen.lines
        names.update(found[1] for line in lines[state["at"] :] if (found := done.match(line)))
        state["at"] = len(lines)
        return True if len(names) == n else None

    pando.wait(f"{n} answers", ready, limit)


def await_all_alive(pando, template, n):
    running = [line for line in pando.run("vms", 120) if re.match(rf"{template}\.\d+ .*\brunning\b", line)]
    assert len(running) == n


def check_answers(pando, template, n, answer):
    for i in range(1, n + 1):
        lines = pando.run(f"result {template}.{i}")
        if f"{template}.{i}: {len(answer(i))} bytes: {answer(i)}" not in lines:
            pando.fail(f"{template}.{i} answered {lines}")


def crowd(pando, template, n, answer, record, limit):
    """n clones: made, heard, counted, looked at one by one."""
    frozen = pando.frames()
    start, began = pando.mark(), time.monotonic()
    clone(pando, template, n)
    await_answers(pando, template, n, start, limit)
    took = time.monotonic() - began
    each = (frozen["free"] - pando.frames()["free"]) * PAGE / n
    await_all_alive(pando, template, n)
    check_answers(pando, template, n, answer)
    record("clones", n)
    record("seconds", round(took, 2))
    record("KiB each", round(each / 1024, 1))
    print(f"{n} clones answered in {took:.1f} s, {each / 1024:.1f} KiB each")
    return each


def test_linux_clones(start, agent, record_property):
    """Of the 256 MiB Debian guest, on a machine of 4 GiB; by their RAM they would need 250."""
    pando = start(*agent(), mem="4G")
    before = pando.frames()
    pando.run("boot agent")
    pando.freeze_at_ready("agent", 150)
    each = crowd(pando, "agent", LINUX_CLONES, lambda i: digest(f"pando clone {i}"), record_property, 300)
    assert each < 512 << 10
    pando.kill_all(before)
    pando.quit()


def test_tiny_clones(start, record_property):
    pando = start(tiny=[("t", "work", "memory=2M,autoboot=0", "greet=1")], mem="4G")
    before = pando.frames()
    pando.run("boot t")
    pando.freeze_at_ready("t")
    crowd(pando, "t", TINY_CLONES, lambda i: f"clone {i}", record_property, 300)
    pando.run("give t.7 hello")
    pando.line(r"\bt\.7: done", 60, pando.mark() - 1)
    assert "t.7: 5 bytes: HELLO" in pando.run("result t.7")
    pando.run("kill all", 120)
    pando.await_no_guests(before, 120)
    pando.audit()
    pando.quit()
