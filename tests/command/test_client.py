# SPDX-License-Identifier: BSD-2-Clause
"""The protocol's client against the fake."""

import asyncio
import io
import os
import pathlib
import socket
import subprocess
import sys

import pytest
from conftest import until
from pando import errors
from pando.client import LINE_MAX, Connection, quote, request_line


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


async def with_function(fake, directory):
    fake.vms["hello"] = {"name": "hello", "state": "template"}
    pando = await Connection.open(directory)
    await pando.request("function", "set", "hello", "template=hello")
    return pando


@pytest.mark.parametrize(
    "word, quoted",
    [("vms", "vms"), ("a b", '"a b"'), ('say "hi"', r'"say \"hi\""'), ("a\\b", r'"a\\b"'), ("", '""'), ("+5", '"+5"'), ("a+5", "a+5"), (7, "7")],
)
def test_words_are_quoted(word, quoted):
    assert quote(word) == quoted


def test_lines_that_cannot_be_sent_are_refused_here():
    with pytest.raises(errors.PandoError, match="control characters"):
        quote("two\nlines")
    assert len(request_line(1, ["x" * (LINE_MAX - 2)])) == LINE_MAX + 1
    with pytest.raises(errors.PandoError, match="too long"):
        request_line(1, ["x" * (LINE_MAX - 1)])
    with pytest.raises(errors.PandoError, match=r"UTF-8: 'a\\udcff'"):
        request_line(1, ["a\udcff"])


def test_hello_is_repeated_until_it_is_heard(fake, directory):
    fake.deaf = 3

    async def body():
        async with await Connection.open(directory) as pando:
            assert pando.greeting["protocol"] == 1
            assert (await pando.request("vms")).data["vms"] == []

    run(body())


def test_what_the_last_client_left_is_skipped(directory):
    """Half an answer and a payload lie in the socket before hello is answered."""

    async def stale(reader, writer):
        writer.write(b'{"id":"3","ok":true,"payload":5}\nab\ncd{"hello":"other","protocol":1}\n\xff\x00')
        nonce = b""
        while not nonce:
            line = await reader.readline()
            nonce = line.split()[1] if line.startswith(b"hello") else b""
        answer = b'{"hello":"' + nonce + b'","pando":"0.1","protocol":1,"port":0,"timebase_hz":1}\n'
        writer.write(answer + answer)
        while line := await reader.readline():
            if number := line.split()[:1]:
                if number != [b"hello"]:
                    writer.write(b'{"id":null,"ok":false,"error":{"code":"syntax","message":"?"}}\n')
                    writer.write(b'{"id":"' + number[0] + b'","ok":true,"data":{"n":1}}\n')

    async def body():
        async with await asyncio.start_unix_server(stale, directory / "control.0"):
            async with await Connection.open(directory) as pando:
                assert (await pando.request("vms")).data == {"n": 1}

    run(body())


def test_many_requests_are_in_flight_at_once(fake, directory):
    """More than a port takes: the client holds the rest back. Answers come in another order."""

    async def body():
        async with await with_function(fake, directory) as pando:
            sleeps = [0.3 - i / 2000 for i in range(600)]
            calls = [pando.request("invoke", "hello", payload=f"sleep {t}".encode()) for t in sleeps]
            answers = await asyncio.gather(*calls)
            assert [a.payload.decode() for a in answers] == [f"SLEEP {t}" for t in sleeps]
            assert pando.in_flight == 0

    run(body())


def test_each_code_has_its_exception(fake, directory):
    async def body():
        async with await with_function(fake, directory) as pando:
            for payload, kind, code in [
                (b"crash", errors.Crashed, "crash"),
                (b"fail no luck", errors.FunctionFailed, "function"),
                (b"timeout", errors.CallTimeout, "timeout"),
                (b"toolong", errors.AnswerTooLong, "toolong"),
                (b"busy", errors.Busy, "busy"),
            ]:
                with pytest.raises(kind) as caught:
                    await pando.request("invoke", "hello", payload=payload)
                assert caught.value.code == code
                if code == "function":
                    assert caught.value.payload == b"no luck"
            with pytest.raises(errors.Absent, match="no function nobody"):
                await pando.request("invoke", "nobody", payload=b"")
            with pytest.raises(errors.CommandError, match="unknown command") as caught:
                await pando.request("frob")
            assert caught.value.code == "unknown"

    run(body())


def test_payloads_from_files_and_into_sinks(fake, directory):
    async def body():
        async with await with_function(fake, directory) as pando:
            big = bytes(range(256)) * 8192
            told = []
            await pando.request("image", "put", "big", payload=io.BytesIO(big), length=len(big), progress=told.append)
            assert fake.images["big"] == big and told[-1] == len(big) and len(told) > 1
            out = bytearray()
            answer = await pando.request("invoke", "hello", payload=b"big 1000000", sink=lambda piece, total: out.extend(piece))
            assert out == bytes(1000000) and answer.payload == b""

            def full(_piece, _total):
                raise OSError("disk full")

            with pytest.raises(OSError, match="disk full"):
                await pando.request("invoke", "hello", payload=b"big 1000000", sink=full)
            assert (await pando.request("invoke", "hello", payload=b"x")).payload == b"X"

    run(body())


def test_a_file_that_ends_early_ends_the_connection(fake, directory):
    async def body():
        pando = await with_function(fake, directory)
        with pytest.raises(errors.PandoError, match="ended after 3 of 10"):
            await pando.request("image", "put", "x", payload=io.BytesIO(b"abc"), length=10)
        with pytest.raises(errors.ConnectionLost):
            await pando.request("vms")
        assert "x" not in fake.images
        async with await Connection.open(directory) as again:
            await again.request("vms")

    run(body())


def test_a_cancelled_request_harms_nobody(fake, directory):
    async def body():
        async with await with_function(fake, directory) as pando:
            task = asyncio.create_task(pando.request("invoke", "hello", payload=b"hold"))
            await asyncio.to_thread(until, fake.calls)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await pando.request("invoke", "hello", payload=b"x")).payload == b"X"
            assert pando.in_flight == 1
            fake.release()
            while pando.in_flight:
                await asyncio.sleep(0.01)
            big = asyncio.create_task(pando.request("image", "put", "cut", payload=bytes(4 << 20)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            big.cancel()
            assert (await pando.request("invoke", "hello", payload=b"x")).payload == b"X"
            assert len(fake.images["cut"]) == 4 << 20

    run(body())


def test_ports_are_shared_by_lock(fake, directory):
    async def body():
        held = [await Connection.open(directory) for _ in range(4)]
        assert [c.port.number for c in held] == [0, 1, 2, 3]
        with pytest.raises(errors.PortsTaken, match="all 4 control ports"):
            await Connection.open(directory, wait=0)
        late = asyncio.create_task(Connection.open(directory))
        await asyncio.sleep(0.05)
        await held[2].close()
        assert (await late).port.number == 2
        for connection in [held[0], held[1], held[3], await late]:
            await connection.close()

    run(body())


def test_events_come_and_end(fake, directory):
    async def body():
        pando = await Connection.open(directory)
        async with pando.events() as events:
            await asyncio.to_thread(fake.tell, event="ready", vm="linux", vm_id=102, at_ns=5)
            assert await anext(events) == {"event": "ready", "vm": "linux", "vm_id": 102, "at_ns": 5}
            await asyncio.to_thread(fake.stop)
            with pytest.raises(errors.ConnectionLost):
                await anext(events)

    run(body())


def test_a_pando_that_ends(fake, directory):
    async def body():
        pando = await with_function(fake, directory)
        calls = [asyncio.create_task(pando.request("invoke", "hello", payload=b"sleep 20")) for _ in range(300)]
        await asyncio.sleep(0.1)
        await asyncio.to_thread(fake.stop)
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, errors.ConnectionLost)
        with pytest.raises(errors.NotRunning, match="start one with `pando up`"):
            await Connection.open(directory)

    run(body())


def test_a_loop_that_ends_while_somebody_cleans_up(fake, directory):
    """asyncio.run() cancels all tasks, the connection's reader too: who then asks for something is not left to wait."""
    seen = []

    async def tidy(pando):
        try:
            await pando.request("invoke", "hello", payload=b"hold")
        finally:
            try:
                async with asyncio.timeout(20):
                    await pando.request("vms")
            except (errors.ConnectionLost, TimeoutError) as error:
                seen.append(type(error))

    async def body():
        task = asyncio.create_task(tidy(await with_function(fake, directory)))
        await asyncio.to_thread(until, fake.calls)
        return task

    asyncio.run(body())
    assert seen == [errors.ConnectionLost]


def test_nobody_there(directory):
    with pytest.raises(errors.NotRunning, match="no Pando is running in"):
        run(Connection.open(directory))
    left = socket.socket(socket.AF_UNIX)  # a socket file that its owner has left
    left.bind(str(directory / "control.0"))
    left.close()
    with pytest.raises(errors.NotRunning, match="no Pando is running in"):
        run(Connection.open(directory))


def test_a_pando_that_says_nothing(fake, directory):
    fake.deaf = 10**9
    with pytest.raises(errors.NotRunning, match="does not answer"):
        run(Connection.open(directory, hello_timeout=0.5))


def test_nonsense_ends_the_connection_not_the_program(directory):
    async def mad(reader, writer):
        while line := await reader.readline():
            words = line.split()
            if words[:1] == [b"hello"]:
                writer.write(b'{"hello":"' + words[1] + b'","protocol":1}\n')
            elif words:
                writer.write(b"[1, 2]\n")

    async def body():
        async with await asyncio.start_unix_server(mad, directory / "control.0"):
            pando = await Connection.open(directory)
            with pytest.raises(errors.ConnectionLost, match="no answer"):
                await pando.request("vms")

    run(body())


def test_a_program_that_forgets_to_close(fake, directory):
    text = f"import pando; p = pando.connect({str(directory)!r}); print(p.vms())"
    env = os.environ | {"PYTHONPATH": str(pathlib.Path(errors.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=60, env=env)
    assert (done.stdout, done.stderr) == ("[]\n", "")
