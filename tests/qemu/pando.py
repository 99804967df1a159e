# SPDX-License-Identifier: BSD-2-Clause
"""Pando in QEMU, driven through its shell as a person would drive it.

A reader thread plays terminal: it applies carriage return and "erase line", so that the prompt that Pando takes off the
screen and draws again around other output never shows up twice. What remains are whole lines, and the current one."""

import functools
import os
import pathlib
import re
import subprocess
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", TOP / "build"))
LOGS = BUILD / "test" / "qemu"
PROMPT = "pando> "
QEMU = os.environ.get("PANDO_QEMU", "newest")
SLOW = float(os.environ.get("PANDO_SLOW", "1"))  # all time limits are multiplied by this
SOAK = bool(os.environ.get("PANDO_SOAK"))
LONG = "ms=3600000"  # argument of a guest that goes on until its test ends it, however slow the machine is


# OpenSBI 1.6 says this, in the middle of any line, when a guest executes certain CSR instructions that it may not.
FIRMWARE_NOISE = "system_opcode_insn: Invalid opcode for CSR read/write instruction"


class Failure(AssertionError):
    """What a guest, Pando or QEMU did instead; with the end of the screen."""


@functools.cache
def qemu_version(which=QEMU):
    """(major, minor) of the QEMU that scripts/qemu chooses, or None if there is none."""
    run = subprocess.run([TOP / "scripts/qemu", "--qemu", which, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.(\d+)", run.stdout)
    return (int(found[1]), int(found[2])) if found else None


# The versions to try what may differ between them: two on Debian 12, else one.
QEMUS = [QEMU] if QEMU != "newest" or qemu_version() == qemu_version("system") else ["newest", "system"]


def guest(name):
    return BUILD / "guests" / f"{name}.bin"


def log_of(name):
    """The file for a log; behind the name of the test's file, for two tests may have one name."""
    LOGS.mkdir(parents=True, exist_ok=True)
    test = pathlib.Path(os.environ.get("PYTEST_CURRENT_TEST", "").partition("::")[0]).stem
    return LOGS / re.sub(r"[^A-Za-z0-9_.=,-]", "_", f"{test}.{name}.log".lstrip("."))


def make_bundle(path, *args):
    """Runs scripts/mkbundle; args are its options."""
    command = [TOP / "scripts/mkbundle", "-o", path, *map(str, args)]
    run = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    if run.returncode:
        raise Failure(f"mkbundle {' '.join(map(str, args))}: {run.stderr}")
    return path


class Screen:
    """Bytes in, lines out."""

    def __init__(self):
        self.lines = []
        self.current = ""
        self.raw = b""
        self.held = ""  # the beginning of an escape sequence whose end is still to come

    def feed(self, data):
        self.raw += data
        text = self.held + data.decode("latin-1")
        self.held = re.search(r"(\x1b(\[\d*)?)?$", text)[0]
        text = text[: len(text) - len(self.held)]
        for part in re.findall(r"\x1b\[\d*[A-Za-z]|[\s\S]", text):
            if part == "\n":
                self.lines.append(self.current.replace(FIRMWARE_NOISE, ""))
                self.current = ""
            elif part == "\x1b[K":
                self.current = ""
            elif part == "\b":
                self.current = self.current[:-1]
            elif part != "\r" and not part.startswith("\x1b"):
                self.current += part


class Pando:
    """One QEMU with Pando in it. Use as a context manager: it ends with the block, whatever happens."""

    def __init__(self, bundle, name, harts=2, mem="512M", cpu="", qemu=QEMU, machine="", icount=False, extra=(), control=None):
        command = [TOP / "scripts/qemu", "--qemu", qemu, "--harts", str(harts), "--mem", mem, "--bundle", str(bundle)]
        command += ["--cpu", cpu] if cpu else []
        command += ["--machine", machine] if machine else []
        command += ["--icount"] if icount else []
        command += ["--control", str(control)] if control else []
        command += ["--", *extra] if extra else []
        self.name = name
        self.screen = Screen()
        self.changed = threading.Condition()
        self.is_open = True
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(5)
        self.process.stdin.close()
        log_of(self.name).write_bytes(self.screen.raw)

    def _read(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            with self.changed:
                if data:
                    self.screen.feed(data)
                else:
                    self.is_open = False
                self.changed.notify_all()
            if not data:
                return

    # ---- waiting

    def fail(self, text):
        tail = "\n".join([*self.screen.lines[-40:], self.screen.current])
        raise Failure(f"{text}\n--- the end of the screen ({self.name}):\n{tail}\n---")

    def wait(self, what, ready, limit):
        """Waits until ready() gives something other than None, and returns that. A Pando that panics ends the wait."""
        limit *= SLOW
        end = time.monotonic() + limit
        with self.changed:
            while True:
                found = ready()
                if found is not None:
                    return found
                if not self.is_open:
                    self.fail(f"QEMU ended while waiting for {what}")
                if any("panic" in line for line in self.screen.lines[-60:]):
                    self.fail(f"panic while waiting for {what}")
                left = end - time.monotonic()
                if left <= 0:
                    self.fail(f"no {what} in {limit:.0f} s")
                self.changed.wait(min(left, 1))

    def mark(self):
        with self.changed:
            return len(self.screen.lines)

    def line(self, pattern, limit=20, start=0):
        """Waits for a whole line that the regular expression finds; the match."""
        regex = re.compile(pattern)
        state = {"at": start}

        def ready():
            while state["at"] < len(self.screen.lines):
                found = regex.search(self.screen.lines[state["at"]])
                state["at"] += 1
                if found:
                    return found
            return None

        return self.wait(f"line {pattern!r}", ready, limit)

    def all(self, pattern, start=0):
        """All matches in the lines so far."""
        with self.changed:
            return [m for line in self.screen.lines[start:] if (m := re.search(pattern, line))]

    def prompt(self, limit=30):
        self.wait("prompt", lambda: True if self.screen.current == PROMPT else None, limit)

    # ---- talking

    def type(self, text):
        os.write(self.process.stdin.fileno(), text.encode())

    def command(self, text, limit=30):
        """Types a command and returns the lines up to the next prompt, those of guests and of the log included."""
        self.prompt(limit)
        start = self.mark()
        self.type(text + "\r")

        def ready():
            lines = self.screen.lines
            for i in range(start, len(lines)):
                # What the firmware says in between may be cut in two by the prompt's redrawing.
                if lines[i].startswith(PROMPT) and lines[i].endswith(text):
                    return lines[i + 1 :] if self.screen.current == PROMPT else None
            return None

        return self.wait(f"end of {text!r}", ready, limit)

    def run(self, text, limit=30):
        """A command that must not complain."""
        lines = self.command(text, limit)
        if any(line.startswith("error:") for line in lines):
            self.fail(f"{text}: {lines}")
        return lines

    def end(self, limit=20):
        """Waits until QEMU has ended by itself and all that it said has been read; its exit code."""
        try:
            status = self.process.wait(limit * SLOW)
        except subprocess.TimeoutExpired:
            return self.fail(f"QEMU still runs after {limit} s")
        self.reader.join(5)
        return status

    def quit(self, code=0):
        self.prompt()
        self.type(f"quit {code}\r")
        status = self.end()
        if status != code:
            self.fail(f"quit {code} gave exit code {status}")

    # ---- what most tests want

    def frames(self):
        """Frames by class, from `mem`."""
        rows = [re.match(r"^  (\S.*?)\s+(\d+) frames", line) for line in self.run("mem")]
        return {row[1]: int(row[2]) for row in rows if row}

    def audit(self):
        """Recounts all memory; must be clean."""
        lines = self.command("audit", 60)
        if "audit: clean" not in lines:
            self.fail(f"audit: {lines}")

    def verdict(self, vm, name, limit, start=0):
        """Waits for the verdict line of a tiny guest in this VM; fails unless it is ok."""
        found = self.line(rf"^\[{re.escape(vm)}\] PANDO-GUEST {name} (.*)$", limit, start)
        if found[1] != "ok":
            self.fail(f"{vm}: {found[0]}")

    def await_no_guests(self, before, limit=20):
        """After kill: waits until no frame serves a guest any more. Free frames must be as many as before, up to pages
        of records, which are kept for the next VM."""
        end = time.monotonic() + limit * SLOW
        while True:
            now = self.frames()
            if now["free"] + now["records"] == before["free"] + before["records"]:
                break
            if time.monotonic() > end:
                self.fail(f"memory is missing: {before} before, {now} after")
            time.sleep(0.1)
        for kind in ("guest pages", "guest blocks", "tables"):
            if now[kind] != before[kind]:
                self.fail(f"{kind}: {before[kind]} before, {now[kind]} after")

    def kill_all(self, before):
        self.audit()
        self.run("kill all")
        self.await_no_guests(before)
        self.audit()

    def freeze_at_ready(self, vm, limit=30):
        self.line(rf"\b{re.escape(vm)}: ready after", limit)
        self.run(f"freeze {vm}")

    def end_guests(self, *names):
        """Those that would go on for long (goes_on() of guests/tiny): the verdict is then to come."""
        for name in names:
            self.run(f"give {name} end")

    def output_of(self, vm):
        """What the VM has printed and nobody has seen yet, line by line."""
        lines = self.run(f"watch {vm}") + self.run(f"unwatch {vm}")
        head = f"[{vm}] "
        return [line[len(head) :] for line in lines if line.startswith(head)]
