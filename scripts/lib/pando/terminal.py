# SPDX-License-Identifier: BSD-2-Clause
"""This terminal on a socket that is a console: keys go there one by one, Ctrl-] comes back. Without a terminal, stdin is sent, and what
comes is written until two seconds have passed after the last of it."""

import asyncio
import contextlib
import os
import sys
import termios
import threading
import time
import tty

from . import ports
from .errors import PandoError

DETACH = b"\x1d"  # Ctrl-]
LINGER = 2.0  # seconds


@contextlib.contextmanager
def raw_terminal():
    """The terminal passes keys on as they are, and is put back afterwards."""
    if not sys.stdin.isatty():
        yield False
        return
    saved = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield True
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, saved)


class Heard:
    """When the last bytes have come."""

    def __init__(self):
        self.at = time.monotonic()

    async def silence(self):
        self.at = max(self.at, time.monotonic())
        while (left := self.at + LINGER - time.monotonic()) > 0:
            await asyncio.sleep(left)


def listen_to_stdin():
    """A queue of what is typed, b"" at the end. The thread that reads may stay behind in its read: nobody waits for it."""
    loop, keys = asyncio.get_running_loop(), asyncio.Queue()

    def read():
        data = b"?"
        while data:
            data = os.read(0, 4096)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(keys.put_nowait, data)

    threading.Thread(target=read, daemon=True).start()
    return keys


async def read_keys(writer, heard, is_terminal):
    """stdin to the socket, until its end or Ctrl-]."""
    keys = listen_to_stdin()
    while True:
        data = await keys.get()
        if is_terminal and DETACH in data:
            writer.write(data[: data.index(DETACH)])
            return
        if not data:
            await heard.silence()
            return
        writer.write(data)
        await writer.drain()


async def show(reader, heard):
    while data := await reader.read(65536):
        heard.at = time.monotonic()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


async def bridge(reader, writer, is_terminal):
    """Both directions until one ends."""
    heard = Heard()
    tasks = [asyncio.ensure_future(read_keys(writer, heard, is_terminal)), asyncio.ensure_future(show(reader, heard))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        writer.close()


async def attach(path, what, first=b"", ready=None):
    """Connects this terminal to the socket `path`. `first` is sent at once; `ready()` is awaited when the socket is open."""
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError as error:
        raise PandoError(f"{path}: {error.strerror}") from None
    if sys.stdin.isatty():
        print(f"attached to {what}; Ctrl-] detaches", file=sys.stderr)
    if ready:
        await ready()
    with raw_terminal() as is_terminal:
        writer.write(first if is_terminal else b"")
        await bridge(reader, writer, is_terminal)
    if sys.stdin.isatty():
        print("\ndetached", file=sys.stderr)


async def console(pando, vm):
    """This terminal on a VM's console, by a console port that is free."""
    port = await ports.take(pando.directory, "console", wait=0)
    try:

        async def bind():
            await pando.command("attach", vm, port.number)

        await attach(str(port.path), vm, ready=bind)
        with contextlib.suppress(PandoError):
            await pando.command("detach", port.number)
    finally:
        port.close()
