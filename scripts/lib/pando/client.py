# SPDX-License-Identifier: BSD-2-Clause
"""A client of Pando's control protocol (docs/control.md): one connection to one control port, with asyncio.

    async with await Connection.open("build/run") as pando:
        answer = await pando.request("vms")                          # answer.data, answer.text, answer.payload
        answer = await pando.request("invoke", "hello", payload=b"world")

Any number of tasks may have requests in flight on one connection. What Pando refuses is raised as a CommandError; if the other
end goes away, all that wait get ConnectionLost. A task that is cancelled while it waits does no harm: its answer is dropped
when it comes."""

import asyncio
import contextlib
import json
import re
import secrets
from dataclasses import dataclass, field

from . import ports
from .errors import ConnectionLost, NotRunning, PandoError, command_error

HELLO_EVERY = 0.1  # seconds
LINE_MAX = 4095  # bytes of a request, without its newline
ANSWER_MAX = 64 << 20  # bytes of an answer's line: a list of all VMs is long
IN_FLIGHT = 250  # of the 256 that Pando takes on a port
EVENTS_KEPT = 10000
CHUNK = 256 << 10
PLAIN = re.compile(r"[^\s\"\\+][^\s\"\\]*")


def quote(word):
    """A word as the protocol wants it: as it is, or between double quotes."""
    word = str(word)
    if any(ord(c) < 32 or ord(c) == 127 for c in word):
        raise PandoError(f"a word of a command cannot hold control characters: {word!r}")
    if PLAIN.fullmatch(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def request_line(number, words, length=None):
    line = " ".join([str(number), *(quote(word) for word in words)])
    if length is not None:
        line += f" +{length}"
    try:
        line = line.encode()
    except UnicodeEncodeError:
        odd = next(word for word in map(str, words) if word != word.encode(errors="replace").decode())
        raise PandoError(f"a word of a command must be UTF-8: {odd!r}") from None
    if len(line) > LINE_MAX:
        raise PandoError(f"a command of {len(line)} bytes is too long: at most {LINE_MAX}")
    return line + b"\n"


def text_of(text):
    """What people said in UTF-8 comes byte by byte, for Pando does not know what it was."""
    try:
        return (text or "").encode("latin-1").decode()
    except UnicodeError:
        return text


@dataclass
class Answer:
    """`data`: the figures; `text`: what the shell would have printed; `payload`: bytes, empty if they went to a sink."""

    data: dict = field(default_factory=dict)
    text: str = ""
    payload: bytes = b""


@dataclass
class _Waiting:
    answer: asyncio.Future
    sink: object = None


class Connection:
    """Made by open(). `greeting` is what Pando answered to hello: version, protocol, port, timebase_hz."""

    def __init__(self, port, reader, writer):
        self.port = port
        self.greeting = {}
        self.is_open = True
        self._reader, self._writer = reader, writer
        self._next = 0
        self._waiting = {}
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._sending = asyncio.Lock()
        self._listeners = set()
        self._task = None
        self._why = "the connection to Pando is closed"

    @classmethod
    async def open(cls, directory, port=None, hello_timeout=10.0, wait=10.0):
        """Takes a free control port of the Pando in `directory` (or that with a number), and says hello."""
        taken = await ports.take(directory, "control", port, wait)
        try:
            reader, writer = await asyncio.open_unix_connection(str(taken.path), limit=ANSWER_MAX)
        except (ConnectionRefusedError, FileNotFoundError):
            taken.close()
            raise ports.absent(directory) from None
        except BaseException:
            taken.close()
            raise
        self = cls(taken, reader, writer)
        try:
            async with asyncio.timeout(hello_timeout):
                self.greeting = await self._hello()
        except BaseException as error:
            self._drop()
            if isinstance(error, TimeoutError):
                raise NotRunning(f"Pando in {directory} does not answer (see {directory}/console.log)") from None
            if isinstance(error, (ConnectionLost, OSError)):
                raise ports.absent(directory) from None
            raise
        if self.greeting.get("protocol") != 1:
            self._drop()
            raise PandoError(f"Pando speaks version {self.greeting.get('protocol')} of the protocol, this is a client of version 1")
        self._task = asyncio.create_task(self._read())
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def close(self):
        """Ends the connection; Pando drops what is in flight. The port is free for others when this returns."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._end("the connection to Pando has been closed")
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    @property
    def in_flight(self):
        return len(self._waiting)

    # ---- requests

    async def request(self, *words, payload=None, length=None, sink=None, progress=None):
        """One command, its words unquoted. `payload`: bytes, or a readable binary file of which `length` bytes are sent.
        `sink(piece, total)` takes the answer's payload piece by piece; `progress(n)` hears how many bytes have been sent so far."""
        if payload is not None and length is None:
            length = len(payload)
        await self._slots.acquire()
        try:
            self._alive()
            self._next += 1
            number = str(self._next)
            line = request_line(number, words, length)
            waiting = _Waiting(asyncio.get_running_loop().create_future(), sink)
            self._waiting[number] = waiting
        except BaseException:
            self._slots.release()
            raise
        # Half a payload would be the end of the connection: whoever is cancelled leaves the rest to be sent.
        sending = asyncio.ensure_future(self._send(line, payload, length, progress))
        sending.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await asyncio.shield(sending)
        except BaseException:
            waiting.answer.cancel()
            raise
        return await waiting.answer

    async def _send(self, line, payload, length, progress):
        try:
            async with self._sending:
                self._alive()
                if payload is None or isinstance(payload, (bytes, bytearray)) and length <= CHUNK:
                    self._writer.write(line + (payload or b""))
                    await self._writer.drain()
                    return
                self._writer.write(line)
                sent = 0
                while sent < length:
                    if isinstance(payload, (bytes, bytearray, memoryview)):
                        piece = payload[sent : min(length, sent + CHUNK)]
                    else:
                        piece = payload.read(min(length - sent, CHUNK))
                    if not piece:
                        raise PandoError(f"the payload ended after {sent} of {length} bytes")
                    self._writer.write(piece)
                    await self._writer.drain()
                    sent += len(piece)
                    if progress:
                        progress(sent)
        except OSError as error:
            self._end(f"the connection to Pando broke: {error}")
            raise ConnectionLost(self._why) from None
        except BaseException as error:
            self._end(str(error) or "a request was not sent whole")
            raise

    # ---- events

    @contextlib.asynccontextmanager
    async def events(self):
        """`async with c.events() as events: async for event in events: ...`. Yields dicts, as docs/control.md has them; the
        oldest are dropped if nobody takes them. Ends with ConnectionLost when Pando goes away."""
        queue = asyncio.Queue()
        self._listeners.add(queue)
        try:
            if len(self._listeners) == 1:
                await self.request("events", "on")
            yield self._events_of(queue)
        finally:
            self._listeners.discard(queue)
            if not self._listeners and self.is_open:
                with contextlib.suppress(PandoError):
                    await self.request("events", "off")

    async def _events_of(self, queue):
        while True:
            event = await queue.get()
            if event is None:
                raise ConnectionLost(self._why)
            yield event

    # ---- what comes in

    async def _hello(self):
        """Says hello until its own nonce comes back. Whatever came before it was meant for the last client."""
        nonce = secrets.token_hex(8)
        mark = re.compile(rb'\{\s*"hello"\s*:\s*"' + nonce.encode() + b'"')
        loop = asyncio.get_running_loop()
        next_hello = 0.0
        while True:
            if loop.time() >= next_hello:
                self._writer.write(f"\nhello {nonce}\n".encode())
                next_hello = loop.time() + HELLO_EVERY
            try:
                async with asyncio.timeout_at(next_hello):
                    line = await self._reader.readuntil(b"\n")
            except TimeoutError:
                continue
            except asyncio.LimitOverrunError as error:
                await self._reader.readexactly(error.consumed)
                continue
            except (asyncio.IncompleteReadError, OSError):
                raise ConnectionLost("the connection ended before Pando said hello") from None
            if found := mark.search(line):
                with contextlib.suppress(ValueError):
                    return json.loads(line[found.start() :])

    async def _read(self):
        try:
            while True:
                line = await self._reader.readuntil(b"\n")
                if line.strip():  # an empty one is nothing: there is one before each hello
                    await self._take(json.loads(line))
        except asyncio.CancelledError:
            self._end("the connection to Pando has been closed")
            raise
        except asyncio.IncompleteReadError:
            self._end("Pando has ended, or was stopped")
        except OSError as error:
            self._end(f"the connection to Pando broke: {error}")
        except (ValueError, KeyError, TypeError, AttributeError, asyncio.LimitOverrunError) as error:
            self._end(f"Pando sent something that is no answer: {error}")

    async def _take(self, message):
        if "event" in message:
            for queue in self._listeners:
                if queue.qsize() >= EVENTS_KEPT:
                    queue.get_nowait()
                queue.put_nowait(message)
            return
        if "hello" in message:
            return  # we said it more than once
        waiting = self._waiting.get(message["id"])
        length, payload = message.get("payload", 0), b""
        if waiting and waiting.sink and message["ok"]:
            await self._pour(length, waiting)
        elif length:
            payload = await self._reader.readexactly(length)
        if not waiting:
            return
        del self._waiting[message["id"]]
        self._slots.release()
        if waiting.answer.done():
            return
        if message["ok"]:
            waiting.answer.set_result(Answer(message.get("data") or {}, text_of(message.get("text")), payload))
        else:
            error = message["error"]
            waiting.answer.set_exception(command_error(error["code"], text_of(error["message"]), payload, message.get("data")))

    async def _pour(self, length, waiting):
        """A payload into its sink. If that fails, the rest is still read: others have answers behind it."""
        left = length
        while left:
            piece = await self._reader.read(min(left, CHUNK))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            if not waiting.answer.done():
                try:
                    waiting.sink(piece, length)
                except Exception as error:  # pylint: disable=broad-except  # it belongs to whoever waits
                    waiting.answer.set_exception(error)

    # ---- the end

    def _alive(self):
        if not self.is_open:
            raise ConnectionLost(self._why)

    def _end(self, why):
        if not self.is_open:
            return
        self.is_open, self._why = False, why
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(ConnectionLost(why))
                waiting.answer.exception()  # seen, even if its task has been cancelled
            self._slots.release()
        self._waiting.clear()
        for queue in self._listeners:
            queue.put_nowait(None)
        self._drop()

    def _drop(self):
        self.is_open = False
        self._writer.close()
        self.port.close()
