# SPDX-License-Identifier: BSD-2-Clause
"""QEMU with Pando in the background: up, down, status. All that belongs to one lies in one directory:

    control.N, console.N, shell    its sockets; control.N.lock the locks of their users
    console.log                    what Pando's own console has shown
    qemu.log                       what QEMU itself had to say
    pando.json                     what was started, and its process

A process is believed to be ours only if its command line names a socket of this directory: process numbers come again."""

import contextlib
import fcntl
import json
import os
import pathlib
import select
import signal
import subprocess
import time
from dataclasses import asdict, dataclass

from . import ports
from .errors import PandoError

TOP = pathlib.Path(__file__).resolve().parents[3]
STATE = "pando.json"


def build_directory():
    return pathlib.Path(os.environ.get("BUILD", TOP / "build")).absolute()


def default_directory():
    """$PANDO_DIR, or run/ in the build directory of this tree."""
    return os.environ.get("PANDO_DIR") or str(build_directory() / "run")


@dataclass
class Settings:
    """What `up` starts. `qemu`, `harts`, `mem`, `append` are as scripts/qemu has them; without a bundle, that of
    dts/functions.dts is built and used. `build`: call make first. `extra`: more arguments for QEMU."""

    directory: str = ""
    harts: int = 2
    mem: str = "4G"
    bundle: str = ""
    qemu: str = "newest"
    append: str = ""
    icount: bool = False
    build: bool = True
    extra: tuple = ()


@dataclass
class Machine:
    """A QEMU that was started."""

    pid: int
    directory: str
    harts: int
    mem: str
    bundle: str
    qemu: str
    started: float  # seconds since 1970


# ---- its process


def read_state(directory):
    """The Machine of this directory, or None. It may have ended since."""
    try:
        return Machine(**json.loads((pathlib.Path(directory) / STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def open_process(machine):
    """A pidfd of the machine's QEMU, or None if it has ended."""
    try:
        fd = os.pidfd_open(machine.pid)
    except OSError:
        return None
    try:
        command = pathlib.Path(f"/proc/{machine.pid}/cmdline").read_bytes()
    except OSError:
        command = b""
    if os.fsencode(os.path.join(machine.directory, "shell")) in command and not has_ended(fd, 0):
        return fd
    os.close(fd)
    return None


def has_ended(fd, seconds):
    """Whether the process of a pidfd has ended; waits for that as long."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def running(directory):
    """The Machine that runs in this directory, or None."""
    machine = read_state(directory)
    fd = open_process(machine) if machine else None
    if fd is None:
        return None
    os.close(fd)
    return machine


def sweep(directory):
    """Takes away what a QEMU that has ended has left, but for its logs."""
    for kind in ("control", "console"):
        for number in ports.listed(directory, kind):
            (pathlib.Path(directory) / f"{kind}.{number}").unlink(missing_ok=True)
    for name in ("shell", STATE):
        (pathlib.Path(directory) / name).unlink(missing_ok=True)


# ---- up and down


def build(say):
    """Has make set the machine up and build what up starts. Its output goes where errors go."""
    command = ["make", "-s", "-C", str(TOP), *([f"BUILD={os.environ['BUILD']}"] if "BUILD" in os.environ else [])]
    say("building what is not there yet")
    run = subprocess.run([*command, "host"], stdin=subprocess.DEVNULL, stdout=2, check=False)
    if run.returncode:
        raise PandoError("make host failed; what it said is above")


@contextlib.contextmanager
def locked(directory):
    """One `up` or `down` at a time."""
    with open(pathlib.Path(directory) / "lock", "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PandoError(f"somebody else is starting or stopping Pando in {directory}") from None
        yield


def qemu_command(settings, directory):
    command = [str(TOP / "scripts" / "qemu"), "--qemu", settings.qemu, "--harts", str(settings.harts), "--mem", settings.mem]
    command += ["--bundle", settings.bundle, "--control", directory, "--shell", directory]
    command += ["--append", settings.append] if settings.append else []
    command += ["--icount"] if settings.icount else []
    return command + (["--", *settings.extra] if settings.extra else [])


def tail(path, lines=8):
    try:
        return "\n".join(pathlib.Path(path).read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def start(settings, say=lambda text: None):
    """Starts QEMU; the Machine. It need not answer yet: `await client.Connection.open()` is how to know. Refuses if one runs."""
    directory = os.path.abspath(settings.directory or default_directory())
    ports.check_path(directory)
    os.makedirs(directory, exist_ok=True)
    with locked(directory):
        if machine := running(directory):
            raise PandoError(f"Pando is running in {directory} already (process {machine.pid}); `pando down` ends it")
        if settings.build:
            build(say)
        if not settings.bundle:
            settings.bundle = str(build_directory() / "functions.dtb")
        sweep(directory)
        with open(os.path.join(directory, "qemu.log"), "wb") as log:
            process = subprocess.Popen(  # pylint: disable=consider-using-with  # it outlives us
                qemu_command(settings, directory), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            machine = Machine(process.pid, directory, settings.harts, settings.mem, settings.bundle, settings.qemu, time.time())
            (pathlib.Path(directory) / STATE).write_text(json.dumps(asdict(machine)) + "\n")
            await_sockets(process, directory)
        except BaseException:  # what is not written down, `down` could not end
            process.kill()
            process.wait()
            sweep(directory)
            raise
        return machine


def await_sockets(process, directory, limit=30):
    """QEMU makes all of its sockets before the guest's first instruction, one after the other; each is there before it can be connected
    to. With the last one, console.3, all control ports can."""
    end = time.monotonic() + limit
    while 3 not in ports.listed(directory, "console"):
        if process.poll() is not None:
            said = tail(os.path.join(directory, "qemu.log"))
            raise PandoError(f"QEMU ended at once, with status {process.returncode}: {said}")
        if time.monotonic() > end:
            raise PandoError(f"QEMU has made no control port in {directory} in {limit} s")
        time.sleep(0.02)


def why_not(directory, timeout):
    """For a Pando that did not come up: whether its QEMU runs, and the end of what was said. Its sockets close before it has ended: it has
    a second for that."""
    machine = read_state(directory)
    fd = open_process(machine) if machine else None
    runs = fd is not None and not has_ended(fd, 1)
    if fd is not None:
        os.close(fd)
    state = f"runs, but Pando has not answered in {timeout:g} s" if runs else "has ended"
    said = tail(os.path.join(directory, "console.log")) or tail(os.path.join(directory, "qemu.log"))
    return f"QEMU {state}; the end of its log:\n{said}"


def stop(directory=None, limit=10):
    """Ends the QEMU of this directory and takes its sockets away; the Machine that it was. None if there was none."""
    directory = os.path.abspath(directory or default_directory())
    if not os.path.isdir(directory):
        return None
    with locked(directory):
        machine = read_state(directory)
        fd = open_process(machine) if machine else None
        if fd is not None:
            try:
                signal.pidfd_send_signal(fd, signal.SIGTERM)
                if not has_ended(fd, limit):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                    has_ended(fd, limit)
            finally:
                os.close(fd)
        sweep(directory)
    return machine if fd is not None else None
