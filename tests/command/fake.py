# SPDX-License-Identifier: BSD-2-Clause
"""A Pando for tests, that is none: Unix sockets that speak the control protocol as docs/control.md has it, with VMs and functions
that exist only in tables here. Like QEMU's, a socket serves one client at a time.

What a function does with its payload is chosen by the payload, so that a test can have every outcome:

    echo (anything)    the payload in capitals
    sleep SECONDS      answers after that
    hold               answers when the test says release()
    crash, fail TEXT, timeout, toolong, busy, big N
"""

import asyncio
import contextlib
import json
import pathlib
import random
import re
import shlex
import threading

IN_FLIGHT = 256
STATES = ("new", "running", "paused", "template", "off", "dying")
VM = {"state": "template", "vcpus": 1, "ram": 128 << 20, "private": 0, "shared": 80 << 20, "merged": 0, "tables": 4096}


class Refused(Exception):
    def __init__(self, code, message, payload=None, data=None):
        super().__init__(message)
        self.code, self.payload, self.data = code, payload, data


class Port:
    """One socket's client, as Pando sees it."""

    def __init__(self, fake, number, reader, writer):
        self.fake, self.number, self.reader, self.writer = fake, number, reader, writer
        self.events = False
        self.tasks = set()

    async def serve(self):
        greeted = False
        while line := await self.reader.readline():
            words = line.decode(errors="replace").split()
            if words[:1] == ["hello"] and len(words) == 2:
                if self.fake.deaf > 0:  # as if the beginning had been thrown away
                    self.fake.deaf -= 1
                    continue
                greeted = True
                for _ in range(2):  # as if it had been said while Pando was still on its way
                    self.writer.write(b"\n")
                    self.send({"hello": words[1], "pando": "0.1", "protocol": 1, "port": self.number, "timebase_hz": 10000000})
            elif greeted and words:
                await self.request(line.decode().rstrip("\n"))

    async def request(self, line):
        number, *words = shlex.split(line)
        payload = b""
        if line.split()[-1].startswith("+"):
            payload = await self.reader.readexactly(int(words.pop()[1:]))
        self.fake.seen.append((words, payload))
        if len(self.tasks) >= IN_FLIGHT:
            self.send({"id": number, "ok": False, "error": {"code": "busy", "message": "256 requests are in flight"}})
            return
        task = asyncio.create_task(self.answer(number, words, payload))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def answer(self, number, words, payload):
        out = None
        try:
            method = getattr(self.fake, f"do_{words[0]}", None)
            if not method:
                raise Refused("unknown", f'unknown command "{words[0]}"; try help')
            data, out = await method(self, words[1:], payload)
            message = {"id": number, "ok": True, "data": data, "text": f"{' '.join(words)} done\n"}
        except Refused as error:
            message = {"id": number, "ok": False, "error": {"code": error.code, "message": str(error)}}
            message |= {"data": error.data} if error.data else {}
            out = error.payload
        if out is not None:
            message["payload"] = len(out)
        self.send(message, out or b"")

    def send(self, message, payload=b""):
        self.writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n" + payload)


class Fake:
    """`directory` gets the sockets. Runs in a thread of its own; use as a context manager."""

    def __init__(self, directory, ports=4):
        self.directory = pathlib.Path(directory)
        self.n_ports = ports
        self.deaf = 0
        self.seen = []
        self.clients = []
        self.most_clients = 0
        self.busy = 0  # so many calls more are refused
        self.vms, self.images, self.functions = {}, {"linux/kernel": b"k", "linux/initrd": b"i"}, {}
        self.next_clone = 1
        self.templates = {}
        self.consoles = {}
        self.ready, self.readiness = asyncio.Event(), {}
        self.ready.set()
        self.held = asyncio.Event()
        self.freezing = None  # what freeze is refused with
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.thread.start()
        self.run(self.listen())
        return self

    def __exit__(self, *_):
        self.stop()

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def stop(self):
        """Ends as QEMU does: all connections break, the sockets are gone."""
        if self.thread.is_alive():
            self.run(self.finish())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(10)
            self.loop.close()

    async def listen(self):
        self.servers = []
        for number in range(self.n_ports):
            turn = asyncio.Lock()
            path = self.directory / f"control.{number}"
            self.servers.append(await asyncio.start_unix_server(self.handler(number, turn), path, limit=1 << 20))
        for name in ("console.0", "console.1", "shell"):
            self.servers.append(await asyncio.start_unix_server(self.console(), self.directory / name))

    def handler(self, number, turn):
        async def handle(reader, writer):
            async with turn:
                port = Port(self, number, reader, writer)
                self.clients.append(port)
                self.most_clients = max(self.most_clients, len(self.clients))
                with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                    await port.serve()
                self.clients.remove(port)
                for task in port.tasks:
                    task.cancel()
                writer.close()

        return handle

    def console(self):
        async def handle(reader, writer):
            writer.write(b"a console\r\n")
            while data := await reader.read(1000):
                writer.write(data.upper())
            writer.close()

        return handle

    async def finish(self):
        for server in self.servers:
            server.close()
        for port in self.clients:
            port.writer.transport.abort()
        for path in self.directory.glob("control.?"):
            path.unlink()
        await asyncio.sleep(0.05)

    def calls(self):
        """How many calls have come in."""
        return sum(words[0] == "invoke" for words, _ in self.seen)

    def release(self):
        """Those that wait with `hold` are answered."""
        self.loop.call_soon_threadsafe(self.held.set)

    def tell(self, **event):
        """An event to all who listen."""

        async def send():
            for port in self.clients:
                if port.events:
                    port.send(event)

        self.run(send())

    # ---- commands: each gives (data, payload or None)

    def find(self, name, state=None):
        if name not in self.vms:
            raise Refused("absent", f"no VM {name}")
        if state and self.vms[name]["state"] != state:
            raise Refused("state", f"{name}: not possible in this state (it is {self.vms[name]['state']})")
        return self.vms[name]

    def new(self, name, state, template=None):
        if name in self.vms:
            raise Refused("exists", f"{name}: the name is taken")
        self.vms[name] = VM | {"name": name, "id": 100 + len(self.vms), "state": state, "template": template}

    async def do_version(self, _port, _words, _payload):
        return {}, None

    async def do_vms(self, _port, _words, _payload):
        summary = {state: sum(vm["state"] == state for vm in self.vms.values()) for state in STATES}
        summary |= {key: sum(vm.get(key, 0) for vm in self.vms.values()) for key in ("private", "tables")}
        return {"vms": list(self.vms.values()), "summary": {"n": len(self.vms)} | summary}, None

    async def do_stat(self, _port, _words, _payload):
        return {"memory": {"total": 1 << 30, "free": 900 << 20}, "vms_alive": len(self.vms)}, None

    async def do_mem(self, _port, _words, _payload):
        return {"total": 1 << 30, "free": 900 << 20, "classes": [{"name": "free", "frames": 230400, "bytes": 900 << 20}]}, None

    async def do_dedup(self, _port, _words, _payload):
        return {"on": True}, None

    async def do_boot(self, _port, words, _payload):
        options = dict(word.partition("=")[::2] for word in words[1:])
        for key in ("kernel", "initrd"):
            if key in options and options[key] not in self.images:
                raise Refused("absent", f"no image {options[key]}")
        if set(options) - {"wait"} and not ("kernel" in options and any(re.match(r"memory=\d", word) for word in words)):
            raise Refused("usage", "boot wants kernel=IMAGE and memory=SIZE")
        if int(options.get("vcpus", 1)) > 8:  # before the name is looked at, as Pando does
            raise Refused("usage", "vcpus= wants a number from 1 to 8")
        self.new(words[0], "paused")
        if "wait" in options:
            await self.readiness.get(words[0], self.ready).wait()
        if "die" in options.get("bootargs", ""):
            raise Refused("crash", f"{words[0]}: off before it was ready")
        if "hang" in options.get("bootargs", ""):
            raise Refused("timeout", f"{words[0]}: not ready after {options['wait']} ms")
        return {"vm": words[0]}, None

    async def do_freeze(self, _port, words, _payload):
        if self.freezing:
            raise self.freezing
        self.find(words[0])["state"] = "template"
        return {"ns": 1350000, "instret": 200000}, None

    async def do_clone(self, _port, words, _payload):
        self.find(words[0], "template")
        count = int(words[2]) if len(words) > 2 else 1
        names = []
        for _ in range(count):
            names.append(f"{words[0]}.{self.next_clone}")
            self.new(names[-1], "running", words[0])
            self.next_clone += 1
        return {"vms": names[:64], "n": count, "ns": 4000, "instret": 1239}, None

    async def do_kill(self, _port, words, _payload):
        if words == ["all"]:
            self.vms.clear()
        else:
            self.find(words[0])
            del self.vms[words[0]]
        return {}, None

    async def do_logs(self, _port, words, _payload):
        self.find(words[0])
        return {}, b"[    0.000000] Linux\n"

    async def do_attach(self, _port, words, _payload):
        self.find(words[0])
        self.consoles[int(words[1])] = words[0]
        return {}, None

    async def do_detach(self, _port, words, _payload):
        self.consoles.pop(int(words[0]), None)
        return {}, None

    async def do_events(self, port, words, _payload):
        port.events = words == ["on"]
        return {}, None

    async def do_image(self, _port, words, payload):
        if words[0] == "put":
            if not re.fullmatch(r"[A-Za-z0-9._-]{1,31}", words[1]):
                raise Refused("usage", "an image's name: 1 to 31 of A-Za-z0-9._-")
            self.images[words[1]] = payload
        elif words[0] == "rm":
            if self.images.pop(words[1], None) is None:
                raise Refused("absent", f"no image {words[1]}")
        return {"images": [{"name": k, "len": len(v)} for k, v in self.images.items()]}, None

    async def do_save(self, _port, words, _payload):
        self.find(words[0], "template")
        return {}, b"PANDO template " + words[0].encode() + random.Random(1).randbytes(300000) + bytes(50000)

    async def do_load(self, _port, words, payload):
        if not payload.startswith(b"PANDO template"):
            raise Refused("broken", "broken: header: no magic")
        self.new(words[0], "template")
        return {}, None

    async def do_function(self, _port, words, _payload):
        options = dict(word.partition("=")[::2] for word in words[2:])
        if words[0] == "set":
            self.find(options["template"], "template")
            old = self.functions.get(words[1], {"calls": 0, "failed": 0})
            self.functions[words[1]] = old | {
                "name": words[1],
                "template": options["template"],
                "mode": options.get("mode", "fresh"),
                "warm": int(options.get("warm", 0)),
                "ready": int(options.get("warm", 0)),
                "max": int(options.get("max", 64)),
                "timeout": int(options.get("timeout", 10000)),
                "writeset": options.get("writeset", "on") == "on",
                "running": 0,
                "queued": 0,
            }
        elif words[0] == "rm":
            if self.functions.pop(words[1], None) is None:
                raise Refused("absent", f"no function {words[1]}")
        return {"functions": list(self.functions.values())}, None

    async def do_invoke(self, _port, words, payload):
        if "timeout=0" in words:
            raise Refused("usage", "timeout= wants a number from 1 to 3600000")
        if words[0] not in self.functions:
            raise Refused("absent", f"no function {words[0]}")
        if self.busy > 0:
            self.busy -= 1
            raise Refused("busy", "1024 calls wait already")
        function = self.functions[words[0]]
        function["calls"] += 1
        word, _, rest = payload.partition(b" ")
        try:
            out = await self.outcome(word.decode(errors="replace"), rest, payload)
        except Refused:
            function["failed"] += 1
            raise
        self.next_clone += 1
        times = {"request": 0, "clone": [1200, 2500], "given": 4000, "entry": 31000, "start": 90000, "end": 120000, "answer": 130000, "gone": 150000}
        data = {"vm": f"{words[0]}.{self.next_clone}", "mode": function["mode"], "warm": False, "t": times}
        data |= {"instret": {"clone": 1239, "entry": 2200}, "breaks": {"copy": 12, "split": 3}, "private_pages": 23, "table_frames": 6}
        return data, out

    async def outcome(self, word, rest, payload):
        match word:
            case "sleep":
                await asyncio.sleep(float(rest))
            case "hold":
                await self.held.wait()
            case "crash":
                raise Refused("crash", "signal 11 at 0x1234", b"signal 11")
            case "fail":
                times = {"request": 0, "clone": [1200, 2500], "entry": 31000, "start": 90000, "end": 120000, "answer": None}
                raise Refused("function", "f.1: sch\u00c3\u00b6n", rest, {"vm": "f.1", "t": times})
            case "timeout":
                raise Refused("timeout", "no answer in 10000 ms")
            case "toolong":
                raise Refused("toolong", "the answer is longer than the window")
            case "busy":
                raise Refused("busy", "1024 calls wait already")
            case "big":
                return bytes(int(rest))
        return payload.upper()
