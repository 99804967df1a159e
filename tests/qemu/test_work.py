# SPDX-License-Identifier: BSD-2-Clause
"""Work through the mailbox: clones that wait in NEXT, each with a payload and a result of its own."""

import pytest

from pando import Failure, Pando, guest, make_bundle


@pytest.fixture(name="pando")
def machine(tmp_path):
    bundle = make_bundle(tmp_path / "work.dtb", "--vm", f"work,kernel={guest('work')},memory=8M,autoboot=0")
    with Pando(bundle, "work") as p:
        yield p


def test_give_and_result(pando):
    before = pando.frames()
    pando.run("boot work")
    pando.freeze_at_ready("work")
    pando.run("clone work -n 3")
    with pytest.raises(Failure):
        pando.run("result work.1")  # nothing yet
    for i in (2, 1, 3):
        pando.run(f"give work.{i} make me loud {i}")
        pando.line(rf"work\.{i}: done", 20)
    for i in (1, 2, 3):
        assert f"work.{i}: 14 bytes: MAKE ME LOUD {i}" in pando.run(f"result work.{i}")
    start = pando.mark()
    pando.run("give work.2 again")
    pando.line(r"work\.2: done", 20, start)
    assert "work.2: 5 bytes: AGAIN" in pando.run("result work.2")
    pando.run("give work.3 end")
    pando.line(r"work\.3: off: shut down", 20)
    for bad in ("give work x", "give work.3 x", "give nobody x", "result nobody"):
        with pytest.raises(Failure):
            pando.run(bad)
    pando.kill_all(before)


def test_work_given_before_it_is_asked_for_and_dropped_by_reset(pando):
    pando.run("boot work")
    pando.freeze_at_ready("work")
    pando.run("clone work")
    pando.run("pause work.1")
    pando.run("give work.1 early")
    start = pando.mark()
    pando.run("resume work.1")
    pando.line(r"work\.1: done", 20, start)
    assert "work.1: 5 bytes: EARLY" in pando.run("result work.1")
    pando.run("pause work.1")
    pando.run("give work.1 lost")
    pando.run("reset work.1")
    with pytest.raises(Failure):
        pando.run("result work.1")
    pando.run("resume work.1")
    start = pando.mark()
    pando.run("give work.1 kept")
    pando.line(r"work\.1: done", 20, start)
    assert "work.1: 4 bytes: KEPT" in pando.run("result work.1")
