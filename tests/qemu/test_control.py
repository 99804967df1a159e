# SPDX-License-Identifier: BSD-2-Clause
"""The control protocol over a real virtio console: good clients, many at once, and clients that do everything wrong. The client here is
a plain socket, so that it can misbehave; scripts/lib/pando has the one for use."""

import contextlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from pando import QEMUS, SLOW, Failure, qemu_version

LIMIT = 20 * SLOW


class Client:
    """One connection. Lines and payloads are read in the order in which they come."""

    def __init__(self, directory, number=0, kind="control"):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT)
        while True:
            try:
                self.socket.connect(f"{directory}/{kind}.{number}")
                break
            except BlockingIOError:  # QEMU has not yet let go of the one before
                time.sleep(0.01)
        self.buffer = b""
        self.next = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def flood(self, data):
        """Sends a lot, and throws away what comes back meanwhile."""
        data = memoryview(data)
        while data:
            readable, writable, _ = select.select([self.socket], [self.socket], [], LIMIT)
            if readable:
                self.socket.recv(1 << 20)
            if writable:
                data = data[self.socket.send(data[:65536]) :]
            elif not readable:
                raise Failure("what is sent is not taken")

    def more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise Failure("the connection has ended")
        self.buffer += data

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def text(self, end):
        """All up to these bytes; of a console."""
        while end not in self.buffer:
            self.more()
        return self.take(self.buffer.index(end) + len(end))

    def line(self):
        """The next line that is not empty."""
        while True:
            while b"\n" not in self.buffer:
                self.more()
            line, _, self.buffer = self.buffer.partition(b"\n")
            if line:
                return json.loads(line)

    def hello(self):
        nonce = f"n{random.getrandbits(60):x}"
        wanted = f'{{"hello":"{nonce}"'.encode()
        end = time.monotonic() + LIMIT
        while wanted not in self.buffer:
            if time.monotonic() > end:
                raise Failure(f"no answer to hello, but {self.buffer[-200:]}")
            self.send(f"\nhello {nonce}\n".encode())
            self.socket.settimeout(0.1 * SLOW)
            with contextlib.suppress(TimeoutError):
                while wanted not in self.buffer:
                    self.more()
            self.socket.settimeout(LIMIT)
        self.buffer = self.buffer[self.buffer.index(wanted) :]
        return self.line()

    def answer(self):
        """The next answer, with its payload; greetings that were asked for twice are none."""
        while True:
            message = self.line()
            if "hello" not in message:
                break
        if "payload" in message:
            message["bytes"] = self.take(message["payload"])
        return message

    def request(self, text, payload=None):
        self.next += 1
        length = "" if payload is None else f" +{len(payload)}"
        self.send(f"{self.next} {text}{length}\n".encode() + (payload or b""))
        answer = self.answer()
        if answer["id"] != str(self.next):
            raise Failure(f"{text}: the answer is that of another request: {answer}")
        return answer

    def run(self, text, payload=None):
        """A request that must succeed; its data."""
        answer = self.request(text, payload)
        if not answer["ok"]:
            raise Failure(f"{text}: {answer}")
        return answer["data"]

    def refused(self, text, code):
        answer = self.request(text)
        assert not answer["ok"] and answer["error"]["code"] == code, (text, answer)
        return answer["error"]["message"]

    def event(self, kind, vm):
        """Waits for an event; others in between are dropped."""
        while True:
            message = self.line()
            if (message.get("event"), message.get("vm")) == (kind, vm):
                return message


def greeted(directory, number=0):
    client = Client(directory, number)
    client.hello()
    return client


@pytest.fixture(name="folder")
def short_folder():
    """A socket's path has to be short."""
    with tempfile.TemporaryDirectory(prefix="pando") as folder:
        yield folder


ECHO = ("echo", "echo", "memory=4M,autoboot=0", "")


@pytest.fixture(name="pando", params=QEMUS)
def machine(request, start, folder):
    """A Pando with ports, whose memory must be as before when all clients have gone."""
    pando = start(tiny=[ECHO, ("work", "work", "memory=8M,autoboot=0", "")], qemu=request.param, control=folder)
    pando.prompt()
    with greeted(folder):
        before = pando.frames()
    yield pando
    pando.kill_all(before)


def test_commands(pando, folder):
    with Client(folder, 2) as client:
        greeting = client.hello()
        assert (greeting["protocol"], greeting["port"]) == (1, 2)
        assert greeting["pando"] in "".join(pando.run("version"))
        for text, code in (("frob", "unknown"), ("freeze", "usage"), ("freeze no", "absent"), ("console x", "state"), ('freeze "x', "syntax")):
            client.refused(text, code)
        assert client.run("boot echo") is not None
        (vm,) = client.run("vms")["vms"]
        assert (vm["name"], vm["state"], vm["ram"], vm["template"]) == ("echo", "running", 4 << 20, None)
        pando.line(r"\[echo\] type")
        assert client.run("freeze echo")["ns"] > 0
        clones = client.run("clone echo -n 70")
        assert len(clones["vms"]) == 64 and clones["vms"][1] == "echo.2" and clones["n"] == 70
        summary = client.run("vms echo -s")["summary"]
        assert (summary["n"], summary["running"], summary["template"]) == (71, 70, 1)
        stat = client.run("stat echo.3")["vms"][0]
        assert stat["clone"]["ns"] > 0 and stat["exits"]["sbi"] == 0
        memory = client.run("mem")
        rows = {row["name"]: row for row in memory["balance"]}
        assert all(row["counted"] == row["recorded"] for row in rows.values())
        assert client.run("dedup status")["on"] in (True, False)
        assert client.run("policy echo.1 dedup=off")["policy"]["dedup"] == "off"
        assert client.run("reset echo.1")["ns"] > 0
        assert client.run("fork echo.2")["vms"] == ["echo.2.1"]
        assert "dedup" in client.request("help")["text"]
        client.run("kill all")


def test_many_at_once(pando, folder):
    """Four clients, each with 200 requests in flight; a guest computes meanwhile."""
    faults = []

    def work(number):
        try:
            with greeted(folder, number) as client:
                for _ in range(5):
                    client.send("".join(f"a{i} {('version', 'vms', 'frob', 'policy echo')[i % 4]}\n" for i in range(200)).encode())
                    answers = [client.answer() for _ in range(200)]
                    assert [a["id"] for a in answers] == [f"a{i}" for i in range(200)]
                    assert all(a["ok"] == (i % 4 != 2) for i, a in enumerate(answers))
        except Exception as fault:  # noqa: BLE001
            faults.append((number, fault))

    pando.run("boot echo")
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not faults and not any(thread.is_alive() for thread in threads)


def test_clients_that_go(pando, folder):
    """At any byte: of a hello, of a request, of a payload, of an answer."""
    text = b"hello x\n1 vms\n2 image put half +1000\n" + bytes(range(256)) * 2
    dice = random.Random(1)
    for _ in range(60):
        client = Client(folder)
        client.send(text[: dice.randrange(len(text))])
        if dice.randrange(2):
            client.socket.settimeout(0.02)
            with contextlib.suppress(TimeoutError):
                client.socket.recv(dice.randrange(1, 100))
        client.socket.close()
    with greeted(folder) as client:
        assert [i["name"] for i in client.run("image list")["images"] if "half" in i["name"]] == []
        assert client.request("version")["ok"]
    assert pando.run("version")


def test_garbage(pando, folder):
    dice = random.Random(2)
    with greeted(folder, 1) as other, greeted(folder) as client:
        client.flood(dice.randbytes(1 << 20).replace(b"\n", b"\n\n"))
        for _ in range(20):
            assert other.request("version")["ok"]
        client.buffer = b""
    with greeted(folder) as client:
        for _ in range(10):
            client.send(b"x" * (1 << 20))
            assert other_is_served(folder)
        client.send(b"\n")
        answer = client.answer()
        assert answer["id"] is None and answer["error"]["code"] == "syntax"
        assert client.request("version")["ok"]


def other_is_served(folder):
    with greeted(folder, 3) as client:
        return client.request("version")["ok"]


SENDER = """
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"hello killed\\n")
time.sleep(0.5)
s.sendall(b"1 image put big +100000000\\n")
while True:
    s.sendall(b"x" * 65536)
    print("sent", flush=True)
"""


def test_killed_in_a_payload(pando, folder):
    with subprocess.Popen([sys.executable, "-c", SENDER, f"{folder}/control.0"], stdout=subprocess.PIPE) as process:
        for _ in range(30):
            assert process.stdout.readline() == b"sent\n"
        process.send_signal(signal.SIGKILL)
    with greeted(folder) as client:
        assert not any(image["name"] == "big" for image in client.run("image list")["images"])
        data = os.urandom(8 << 20)
        client.run("image put big", data)
        assert {"name": "big", "len": len(data)} in client.run("image list")["images"]
        client.run("image rm big")
    assert pando.run("version")


def test_a_client_that_does_not_read(pando, folder):
    with greeted(folder) as client, greeted(folder, 1) as other:
        client.socket.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            for sent in range(1, 20001):
                client.send(f"{sent} help\n".encode())
        assert other.request("version")["ok"]
        assert pando.run("version")
        client.socket.settimeout(LIMIT)
        for i in range(1, min(sent, 1000)):
            assert client.answer()["id"] == str(i)


def pressed(folder, number, line, stop):
    """Asks and reads without end."""
    with greeted(folder, number) as client:
        while not stop.is_set():
            client.send(f"1 {line}\n".encode() * 50)
            for _ in range(50):
                client.answer()


def test_guests_go_on(start, folder):
    """One hart, a guest that computes, and clients that leave Pando no rest."""
    pando = start(tiny=[ECHO], harts=1, control=folder)
    pando.prompt()
    stop = threading.Event()
    with greeted(folder) as client:
        client.run("image put spin", b"\x6f\0\0\0" * 1024)  # j .
        client.run("boot spin kernel=spin memory=4M")
        threads = [threading.Thread(target=pressed, args=(folder, number, "policy spin", stop)) for number in (1, 2)]
        for thread in threads:
            thread.start()

        def look():
            figures = client.run("stat")
            assert "none" not in figures["locks_contended"], "a rank of locks without a name"
            return figures["vms"][0]["guest_ns"], figures["up_ns"]

        (guest_before, before), _ = look(), time.sleep(2)
        guest_after, after = look()
        stop.set()
        for thread in threads:
            thread.join(LIMIT)
        assert (guest_after - guest_before) / (after - before) > 0.1
        assert pando.run("version")


def test_too_many_in_flight(start, folder):
    """256 calls wait for guests that never answer; the others are refused at once, and all are dropped with their client."""
    pando = start(tiny=[("f", "function", "memory=8M,autoboot=0", "")], control=folder)
    pando.prompt()
    with greeted(folder, 1) as other:
        other.run("boot f")
        pando.freeze_at_ready("f")
        before = pando.frames()
        with greeted(folder) as client:
            client.run("function set f template=f max=4 timeout=600000")
            client.send(b"".join(b"w%d invoke f +4\nhang" % i for i in range(300)))
            refused = [client.answer() for _ in range(44)]
            assert {answer["error"]["code"] for answer in refused} == {"busy"}
            assert [answer["id"] for answer in refused] == [f"w{i}" for i in range(256, 300)]
            (function,) = other.run("function list")["functions"]
            assert (function["running"], function["queued"]) == (4, 252)
        end = time.monotonic() + LIMIT
        while function["running"] + function["queued"] > 0 and time.monotonic() < end:
            (function,) = other.run("function list")["functions"]
        assert (function["running"], function["queued"]) == (0, 0)
        other.run("function rm f")
    pando.await_no_guests(before)


def test_events(pando, folder):
    with greeted(folder) as client, greeted(folder, 1) as other:
        client.run("events on")
        other.run("boot work")
        client.event("booted", "work")
        assert client.event("ready", "work")["at_ns"] > 0
        other.run("freeze work")
        client.event("frozen", "work")
        other.run("clone work")
        assert client.event("cloned", "work.1")["parent"] == "work"
        other.run("give work.1 loud")
        assert client.event("done", "work.1")["len"] == 4
        other.run("give work.1 end")
        assert client.event("off", "work.1")["reason"] == "shut down"
        other.run("kill work.1")
        client.event("killed", "work.1")
        client.run("events off")
        other.run("kill work")
        assert client.request("version")["ok"] and client.buffer == b""


def test_consoles(pando, folder):
    with greeted(folder) as client:
        client.run("boot echo -n 2")
        for vm in ("echo", "echo-2"):  # before that they do not hear
            pando.line(rf"\[{vm}\] type")
        client.run("attach echo 0")
        client.run("attach echo-2 3")
        client.refused("attach echo 9", "absent")
        with Client(folder, 0, "console") as first, Client(folder, 3, "console") as second:
            first.send(b"to the first\r")
            second.send(b"to the second\r")
            assert first.text(b"FIRST\n") == b"you said TO THE FIRST\n"
            assert second.text(b"SECOND\n") == b"you said TO THE SECOND\n"
        assert client.request("logs echo")["bytes"] == b"type\nyou said TO THE FIRST\n"
        with Client(folder, 0, "console") as first:  # another one
            first.send(b"again\r")
            assert first.text(b"AGAIN\n") == b"you said AGAIN\n"
            first.send(b"y" * 150 + b"\r")  # more than its UART takes at once
            assert first.text(b"\n") == b"you said " + b"Y" * 150 + b"\n"
            client.run("detach 0")
        start = pando.mark()
        pando.type("console echo\r")
        pando.line("attached to echo", 20, start)
        pando.type("here\r")
        pando.line("HERE", 20, start)
        pando.type("\x1d")


def test_without_interrupts(start, folder):
    """AIA: Pando has no driver for its interrupts and looks at the queues itself."""
    if (qemu_version() or (0, 0)) < (10, 0):
        pytest.skip("needs QEMU 10.0")
    start(tiny=[ECHO], machine="aia=aplic-imsic,aia-guests=3", control=folder).prompt()
    with greeted(folder) as client:
        for _ in range(20):
            assert client.request("version")["ok"]
        client.run("image put x", os.urandom(300000))


def test_legacy_device(start):
    pando = start(tiny=[ECHO], extra=["-device", "virtio-serial-device"])
    pando.line(r"virtio: the device at 0x[0-9a-f]+ is a legacy one, not used")
    assert pando.run("version")
