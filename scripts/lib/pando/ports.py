# SPDX-License-Identifier: BSD-2-Clause
"""The sockets of a running Pando: DIR/control.N, DIR/console.N and DIR/shell, one client at a time each. Who takes one holds the lock on
DIR/control.N.lock (console.N.lock, shell.lock) as long as it is connected; the kernel lets go of it when the program ends, however it ends."""

import asyncio
import fcntl
import os
import pathlib
import time

from .errors import NotRunning, PandoError, PortsTaken

SOCKET_PATH_MAX = 107  # bytes, in sockaddr_un


def absent(directory):
    return NotRunning(f"no Pando is running in {directory}: start one with `pando up`")


def check_path(directory):
    """A socket's path has a limit that no error message of the system explains."""
    longest = os.fsencode(os.path.abspath(pathlib.Path(directory) / "control.15.lock"))
    if len(longest) > SOCKET_PATH_MAX:
        raise PandoError(f"{directory}: too long a path for a socket; choose a shorter one with --dir")


def listed(directory, kind):
    """Numbers of the ports of a kind ("control", "console"), lowest first."""
    prefix = f"{kind}."
    names = (path.name.removeprefix(prefix) for path in pathlib.Path(directory).glob(f"{prefix}*") if path.is_socket())
    return sorted(int(name) for name in names if name.isdecimal())


class Port:
    """One port, taken. `number` is N; close() gives it back."""

    def __init__(self, directory, kind, number, lock):
        self.path = pathlib.Path(directory) / f"{kind}.{number}"
        self.number = number
        self._lock = lock

    def close(self):
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def try_lock(path):
    """A descriptor that holds the lock on a file until it is closed; None if somebody else has it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def try_take(directory, kind, number):
    """The port, or None if somebody has it."""
    lock = try_lock(pathlib.Path(directory) / f"{kind}.{number}.lock")
    return None if lock is None else Port(directory, kind, number, lock)


async def take(directory, kind, number=None, wait=10.0):
    """Takes a free port, or that with this number; waits up to `wait` seconds for one to come free."""
    end = time.monotonic() + wait
    while True:
        numbers = listed(directory, kind)
        if number is not None:
            numbers = [n for n in numbers if n == number]
        if not numbers:
            raise absent(directory)
        for candidate in numbers:
            if port := try_take(directory, kind, candidate):
                return port
        if time.monotonic() >= end:
            raise PortsTaken(f"all {len(numbers)} {kind} ports of {directory} are in use")
        await asyncio.sleep(0.02)
