# SPDX-License-Identifier: BSD-2-Clause
"""Functions, called from the shell: modes, the warm pool, every way to fail, and memory that comes back."""

import re
import time

import pytest

from pando import SLOW, SOAK, Failure


@pytest.fixture(name="pando")
def machine(start):
    return start(tiny=[("f", "function", "memory=8M,autoboot=0", "")], harts=2)


@pytest.fixture(name="before")
def deployed(pando):
    """The function f; free frames before there was anything."""
    before = pando.frames()
    pando.run("boot f")
    pando.freeze_at_ready("f")
    pando.run("function set f template=f")
    return before


def call(pando, words, limit=20):
    """The lines of the answer: how it went, then the result."""
    pando.prompt()
    start = pando.mark()
    pando.type(f"invoke {words}\r")
    pando.line(r"private pages, \d+ frames of tables|^error: ", limit, start)
    pando.prompt()
    return [line for line in pando.screen.lines[start:] if not line.startswith("pando>")]


def answer(pando, words):
    lines = call(pando, words)
    assert "private pages" in lines[0], lines
    return lines[-1]


def failure(pando, words):
    pando.prompt()
    start = pando.mark()
    pando.type(f"invoke {words}\r")
    return pando.line(r"^error: (.*)$", 20, start)[1]


def figures(pando, name="f"):
    """ready, running, queued, calls, failed"""
    rows = [line.split() for line in pando.run("function list")]
    return [int(n) for row in rows if row and row[0] == name for n in row[4:]]


def test_fresh(pando, before):
    assert answer(pando, "f hello there") == "hello there"
    ids = [answer(pando, "f id").split() for _ in range(4)]
    assert len({number for number, _ in ids}) == 4
    assert all(calls == "1" for _, calls in ids)
    assert pando.run("vms -s")[0].startswith("1 VM")
    assert figures(pando) == [0, 0, 0, 5, 0]
    pando.kill_all(before)


def test_failures(pando, before):
    pando.prompt()
    assert failure(pando, "f fail").endswith("the function failed")
    assert failure(pando, "f die").endswith("the function died")
    assert failure(pando, "f long").endswith("its answer is longer than the window")
    assert failure(pando, "f off").endswith("shut down")
    assert failure(pando, "f timeout=200 hang").endswith("no answer after 200 ms")
    assert failure(pando, "nobody hello") == "no function nobody"
    assert answer(pando, "f twice") == "twice"
    assert figures(pando) == [0, 0, 0, 6, 5]
    for bad in (
        "function set f template=nobody",
        "function set f",
        "function set f template=f mode=what",
        "function set f template=f max=0",
        "function set f template=f warm=x",
        "function set f template=f timeout=0",
        "function set f/g template=f",
        "function rm nobody",
        "invoke f mode=what x",
        "invoke f timeout=0 x",
    ):
        with pytest.raises(Failure):
            pando.run(bad)
    pando.run("kill all")
    assert failure(pando, "f hello").endswith("its template was killed")
    pando.run("function rm f")
    assert failure(pando, "f hello") == "no function f"
    pando.kill_all(before)


def test_a_call_that_hangs_is_in_nobodys_way(pando, before):
    pando.run("function set f template=f max=1")
    pando.run("invoke f timeout=600000 hang")
    pando.run("invoke f second")
    assert figures(pando)[1:3] == [1, 1]
    clone = [line.split()[0] for line in pando.run("vms") if line.startswith("f.")]
    start = pando.mark()
    pando.command(f"kill {clone[0]}")
    pando.line(rf"^error: {clone[0]}: killed", 10, start)
    pando.line(r"^second$", 10, start)
    # Its VM is somebody's now.
    pando.run("function set f template=f")
    pando.run(f"invoke f timeout={int(10000 * SLOW)} hang")  # time enough for the next two commands
    clone = [line.split()[0] for line in pando.run("vms") if line.startswith("f.")]
    start = pando.mark()
    pando.run(f"freeze {clone[0]}")
    pando.line(r"^error: .*no answer after", 60, start)
    assert any(line.startswith(clone[0]) and "template" in line for line in pando.run("vms"))
    pando.run("function rm f")
    pando.kill_all(before)


def test_modes(pando, before):
    pando.run("function set f template=f mode=reset")
    ids = [answer(pando, "f id") for _ in range(3)]
    assert len(set(ids)) == 1 and ids[0].endswith(" 1")
    assert answer(pando, "f touch 100") == "touched"
    assert answer(pando, "f id") == ids[0]
    pando.run("function set f template=f mode=keep")
    first = answer(pando, "f id").split()
    assert [answer(pando, "f id").split() for _ in range(3)] == [[first[0], str(n)] for n in (2, 3, 4)]
    # A call may want to be alone, and a VM that has crashed serves nobody.
    assert answer(pando, "f mode=fresh id").split()[1] == "1"
    assert failure(pando, "f die").endswith("the function died")
    assert answer(pando, "f id").split()[1] == "1"
    pando.run("function rm f")
    pando.kill_all(before)


def await_ready(pando, n):
    """They are made when Pando has nothing else to do."""
    end = time.monotonic() + 20 * SLOW
    while figures(pando)[0] != n:
        assert time.monotonic() < end


def test_warm(pando, before):
    pando.run("function set f template=f warm=3")
    for _ in range(5):
        await_ready(pando, 3)
        lines = call(pando, "f id")
        assert "cloned in" not in lines[0]
        assert lines[-1].endswith(" 1")
    # Somebody ends one that waits: another one takes its place.
    clone = [line.split()[0] for line in pando.run("vms") if line.startswith("f.")]
    pando.run(f"kill {clone[0]}")
    answer(pando, "f id")
    await_ready(pando, 3)
    pando.run("kill f")
    assert figures(pando)[0] == 0
    pando.run("function rm f")
    pando.kill_all(before)


def test_new_template(pando, before):
    pando.run("function set f template=f warm=2 mode=keep")
    old = answer(pando, "f id")
    pando.run("boot f")
    pando.freeze_at_ready("f-2")
    start = pando.mark()
    pando.run("invoke f timeout=1000 hang")
    pando.run("function set f template=f-2 mode=keep")
    assert call(pando, "f id")[0].startswith("f-2.1:")
    pando.line(r"^error: f\.\d+: no answer after 1 s", 10, start)
    assert old.endswith(" 1")
    pando.run("kill f")
    assert call(pando, "f id")[0].startswith("f-2.1:")
    pando.run("function rm f")
    pando.kill_all(before)


def made_so_far(pando, vm):
    """Clones of it, with one that this makes."""
    return max(int(found) for line in pando.run(f"clone {vm}") for found in re.findall(rf"\b{vm}\.(\d+)", line))


def test_clones_that_end_before_they_take_work(start):
    """Eight that were made ahead end so; then no more are made, for nothing would come of it."""
    pando = start(tiny=[("f", "function", "memory=8M,autoboot=0", "bad=1")])
    before = pando.frames()
    pando.run("boot f")
    pando.freeze_at_ready("f")
    pando.run("function set f template=f warm=4")
    end = time.monotonic() + 20 * SLOW
    made = 0
    while (now := made_so_far(pando, "f")) != made + 1 or now < 8:  # the last one was ours, too
        assert time.monotonic() < end
        made = now
        time.sleep(1)
    assert figures(pando)[0] == 0
    assert failure(pando, "f hello").endswith("shut down")
    pando.run("function rm f")
    pando.kill_all(before)


def test_thousands(pando, before):
    """No frame is lost, whatever the mode."""
    n = 2000 if SOAK else 60
    for mode in ("fresh", "reset", "keep"):
        pando.run(f"function set f template=f mode={mode} warm=2")
        for i in range(n):
            assert answer(pando, f"f touch {i % 50}") == "touched"
    pando.run("function rm f")
    pando.kill_all(before)
