# SPDX-License-Identifier: BSD-2-Clause
"""Functions and images over the control protocol: payloads of any size, many calls at once, clients that go away, and
memory that comes back."""

import asyncio
import contextlib
import importlib
import json
import os
import tempfile

import pytest

from host import pando as host
from pando import SLOW, SOAK, Pando, guest, make_bundle

client = importlib.import_module(f"{host.__name__}.client")
errors = importlib.import_module(f"{host.__name__}.errors")


@pytest.fixture(name="machine", params=[1, 2], ids=["1-hart", "2-harts"])
def with_control(request, tmp_path):
    bundle = make_bundle(tmp_path / "f.dtb", "--vm", f"f,kernel={guest('function')},memory=8M,autoboot=0")
    with tempfile.TemporaryDirectory(prefix="pando") as control:
        with Pando(bundle, request.node.name, harts=request.param, mem="1G", control=control) as pando:
            pando.prompt()
            pando.control = control
            yield pando


def scenario(machine, body):
    """Runs body(connection) with a function f; all memory must be back afterwards."""

    async def run():
        async with await client.Connection.open(machine.control) as c:
            await c.request("boot", "f", f"wait={int(60000 * SLOW)}")
            await c.request("freeze", "f")
            await c.request("function", "set", "f", "template=f")
            await body(c)
            with contextlib.suppress(errors.PandoError):
                await c.request("function", "rm", "f")

    before = machine.frames()
    asyncio.run(run())
    machine.kill_all(before)


async def code_of(request):
    """The code of a request that must fail, and what came with it."""
    with pytest.raises(errors.CommandError) as failure:
        await request
    return failure.value.code


async def function(c, name="f"):
    rows = (await c.request("function", "list")).data["functions"]
    return next(row for row in rows if row["name"] == name)


async def until(c, holds):
    """Waits until the function's row in the list is so."""
    async with asyncio.timeout(120 * SLOW):
        while not holds(await function(c)):
            await asyncio.sleep(0.05)


def test_payloads(machine):
    async def body(c):
        for size in (0, 1, 511, 512, 513, 4095, 4096, 4097, 100_000, 1 << 20):
            payload = os.urandom(size)
            answer = await c.request("invoke", "f", payload=payload)
            assert answer.payload == payload, size
        assert await code_of(c.request("invoke", "f", payload=bytes((1 << 20) + 1))) == "limit"
        assert (await c.request("invoke", "f", payload=b"still there")).payload == b"still there"

    scenario(machine, body)


def test_time_line(machine):
    async def body(c):
        data = (await c.request("invoke", "f", payload=b"touch 20")).data
        t = data["t"]
        stages = [t["request"], *t["clone"], t["given"], t["entry"], t["start"], t["end"], t["answer"], t["gone"]]
        assert stages == sorted(stages) and stages[-1] < 10**10
        assert data["mode"] == "fresh" and not data["warm"]
        assert 20 <= data["private_pages"] <= 25 and 6 <= data["table_frames"] <= 7
        await c.request("function", "set", "f", "template=f", "warm=1")
        await c.request("invoke", "f", payload=b"id")
        await until(c, lambda row: row["ready"] == 1)
        data = (await c.request("invoke", "f", payload=b"id")).data
        assert data["warm"] and data["t"]["clone"] is None and data["t"]["given"] <= data["t"]["start"]
        await c.request("function", "set", "f", "template=f", "mode=keep")
        await c.request("invoke", "f", payload=b"id")
        data = (await c.request("invoke", "f", payload=b"id")).data
        assert data["warm"] and data["t"]["clone"] is None and data["t"]["entry"] is None
        json.dumps(data)

    scenario(machine, body)


def test_failures(machine):
    async def body(c):
        for word, code in (("fail", "function"), ("die", "crash"), ("long", "toolong"), ("off", "crash")):
            assert await code_of(c.request("invoke", "f", payload=word.encode())) == code
        assert await code_of(c.request("invoke", "f", "timeout=100", payload=b"hang")) == "timeout"
        assert await code_of(c.request("invoke", "nobody", payload=b"x")) == "absent"
        assert await code_of(c.request("invoke", "f", "mode=what", payload=b"x")) == "usage"
        assert await code_of(c.request("function", "list", payload=b"x")) == "usage"
        row = await function(c)
        assert (row["calls"], row["failed"], row["running"], row["queued"]) == (5, 5, 0, 0)
        await c.request("kill", "f")
        assert await code_of(c.request("invoke", "f", payload=b"x")) == "state"
        await c.request("function", "rm", "f")
        assert await code_of(c.request("invoke", "f", payload=b"x")) == "absent"

    scenario(machine, body)


def test_many_at_once(machine):
    """More than may have a VM, more than may wait; each gets its own answer."""

    async def body(c):
        n = 1000
        await c.request("function", "set", "f", "template=f", "max=8")
        payloads = [b"%d " % i * (1 + i % 300) for i in range(n)]
        answers = await asyncio.gather(*(c.request("invoke", "f", payload=p) for p in payloads))
        assert [a.payload for a in answers] == payloads
        await c.request("function", "set", "f", "template=f", "max=1")
        async with contextlib.AsyncExitStack() as stack:
            others = [await stack.enter_async_context(await client.Connection.open(machine.control)) for _ in range(3)]
            hang = asyncio.create_task(c.request("invoke", "f", "timeout=600000", payload=b"hang"))
            await until(others[0], lambda row: row["running"] == 1)
            calls = [asyncio.create_task(o.request("invoke", "f", payload=b"x")) for o in others for _ in range(245)]
            calls += [asyncio.create_task(c.request("invoke", "f", payload=b"x")) for _ in range(245)]
            await until(others[0], lambda row: row["queued"] == 980)
            await others[0].request("kill", next(vm["name"] for vm in (await others[0].request("vms")).data["vms"] if vm["name"] != "f"))
            assert await code_of(hang) == "crash"
            assert all(a.payload == b"x" for a in await asyncio.gather(*calls))

    scenario(machine, body)


def test_modes(machine):
    async def body(c):
        await c.request("function", "set", "f", "template=f", "mode=keep")
        answers = [(await c.request("invoke", "f", payload=b"id")).payload.split() for _ in range(3)]
        assert [a[1] for a in answers] == [b"1", b"2", b"3"] and len({a[0] for a in answers}) == 1
        await c.request("function", "set", "f", "template=f", "mode=reset")
        answers = [(await c.request("invoke", "f", payload=b"id")).payload for _ in range(3)]
        assert len(set(answers)) == 1 and answers[0].endswith(b" 1")
        big = os.urandom(1 << 20)
        for mode in ("keep", "reset", "fresh"):
            assert (await c.request("invoke", "f", f"mode={mode}", payload=big)).payload == big

    scenario(machine, body)


def test_clients_that_go(machine):
    """In the middle of a payload, with calls at work and calls that wait: nothing stays behind."""

    async def body(c):
        await c.request("function", "set", "f", "template=f", "max=2")
        for how in ("payload", "at work", "many"):
            other = await client.Connection.open(machine.control)
            if how == "payload":
                other._writer.write(b"9 invoke f +100000\n" + bytes(5000))  # pylint: disable=protected-access
                await other._writer.drain()  # pylint: disable=protected-access
            else:
                n = 2 if how == "at work" else 100
                tasks = [asyncio.create_task(other.request("invoke", "f", "timeout=60000", payload=b"hang")) for _ in range(n)]
            await until(c, lambda row: row["running"] > 0)
            await other.close()
            if how != "payload":
                await asyncio.gather(*tasks, return_exceptions=True)
            await until(c, lambda row: row["running"] + row["queued"] == 0)
            assert (await c.request("vms", "-s")).data["summary"]["n"] == 1
            assert (await c.request("invoke", "f", payload=b"x")).payload == b"x"

    scenario(machine, body)


def test_images(machine):
    async def body(c):
        image = guest("function").read_bytes()
        await c.request("image", "put", "fn", payload=image)
        await c.request("image", "put", "junk", payload=os.urandom(5_000_000))
        assert {i["name"]: i["len"] for i in (await c.request("image", "list")).data["images"]} == {
            "f/kernel": len(image),
            "fn": len(image),
            "junk": 5_000_000,
        }
        data = (await c.request("boot", "g", "kernel=fn", "initrd=junk", "memory=32M", "bootargs=a b", f"wait={int(60000 * SLOW)}")).data
        assert data["vm"] == "g" and data["ready_ns"] > 0
        await c.request("freeze", "g")
        await c.request("function", "set", "g", "template=g")
        assert (await c.request("invoke", "g", payload=b"hello")).payload == b"hello"
        await c.request("function", "rm", "g")
        for name in ("fn", "junk"):
            await c.request("image", "rm", name)
        assert await code_of(c.request("boot", "h", "kernel=fn", "memory=32M")) == "absent"
        assert await code_of(c.request("boot", "g", "kernel=f/kernel", "memory=32M")) == "exists"
        assert await code_of(c.request("boot", "h", "kernel=f/kernel", "memory=3")) == "usage"
        assert await code_of(c.request("boot", "h", "kernel=f/kernel", "memory=8M", "wait=x")) == "usage"

    scenario(machine, body)


def test_no_memory(tmp_path):
    """Calls that want three times what there is: each gets an answer or says that there was no memory, and most get one."""
    bundle = make_bundle(tmp_path / "f.dtb", "--vm", f"f,kernel={guest('function')},memory=8M,autoboot=0")

    async def body(c):
        async def call():
            try:
                return (await c.request("invoke", "f", "timeout=60000", payload=b"touch 1200")).payload
            except errors.CommandError as failure:
                assert failure.code == "nomem", failure
                return None

        await c.request("function", "set", "f", "template=f", "warm=8")
        assert (await c.request("invoke", "f", payload=b"touch 1200")).payload == b"touched"
        for _ in range(3):
            answers = await asyncio.gather(*(call() for _ in range(50)))
            assert answers.count(b"touched") > 5
        assert (await c.request("invoke", "f", payload=b"x")).payload == b"x"

    with tempfile.TemporaryDirectory(prefix="pando") as control:
        with Pando(bundle, "test_no_memory", mem="128M", control=control) as pando:
            pando.prompt()
            pando.control = control
            scenario(pando, body)


def test_recounts_under_calls(tmp_path):
    """All VMs are stopped, counted and merged over and over while calls go on, on four harts."""
    bundle = make_bundle(tmp_path / "f.dtb", "--vm", f"f,kernel={guest('function')},memory=8M,autoboot=0")

    async def body(c):
        async def caller():
            for i in range(40):
                assert (await c.request("invoke", "f", payload=b"touch %d" % i)).payload == b"touched"

        async def counter(calls):
            while not calls.done():
                assert "clean" in (await c.request("audit")).text
                await c.request("dedup", "once")

        for mode in ("fresh", "reset", "keep"):
            await c.request("function", "set", "f", "template=f", f"mode={mode}", "warm=4")
            calls = asyncio.gather(*(caller() for _ in range(12)))
            await counter(calls)
            await calls

    with tempfile.TemporaryDirectory(prefix="pando") as control:
        with Pando(bundle, "test_recounts_under_calls", harts=4, mem="1G", control=control) as pando:
            pando.prompt()
            pando.control = control
            scenario(pando, body)


def test_no_frame_is_lost(machine):
    async def body(c):
        n = 100_000 if SOAK else 3000
        for mode in ("fresh", "reset", "keep"):
            await c.request("function", "set", "f", "template=f", f"mode={mode}", "warm=4")
            left = n // 3

            async def caller():
                nonlocal left
                while left > 0:
                    left, i = left - 1, left
                    payload = b"touch %d" % (i % 64) if i % 3 else bytes(i % 3000)
                    answer = await c.request("invoke", "f", payload=payload)
                    assert answer.payload == (b"touched" if i % 3 else payload)

            await asyncio.gather(*(caller() for _ in range(20)))

    scenario(machine, body)
