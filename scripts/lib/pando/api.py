# SPDX-License-Identifier: BSD-2-Clause
"""Pando as an object. AsyncPando is for asyncio; Pando is the same for everybody else: each of its methods is that of AsyncPando,
run to its end on a loop in a thread of its own, so a notebook may use it."""

import asyncio
import atexit
import contextlib
import functools
import inspect
import os
import queue
import threading
import time
from dataclasses import dataclass, field

from . import deploy as deployment
from . import files, load, machine
from .client import IN_FLIGHT, Connection
from .errors import Absent, CommandError, NotRunning, PandoError, PortsTaken

PAYLOAD_MAX = 1 << 20  # bytes of a call


def word_of(value):
    """A value as the protocol's commands want it."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


@dataclass
class Call:
    """An answered call. `payload`: the answer; `data`: its time line, as docs/control.md has it; `seconds`: as we saw it."""

    payload: bytes = b""
    data: dict = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def vm(self):
        return self.data.get("vm")

    def text(self):
        return self.payload.decode(errors="replace")


class AsyncPando:
    """A Pando that runs. Made by connect(); close() it, or use it with `async with`. What Pando refuses is raised as CommandError."""

    def __init__(self, directory, connection):
        self.directory = directory
        self.connection = connection
        self._for_calls = [connection]

    @classmethod
    async def connect(cls, directory=None, **options):
        """To the Pando of a directory; without one, that of $PANDO_DIR or build/run."""
        directory = os.path.abspath(directory or machine.default_directory())
        return cls(directory, await Connection.open(directory, **options))

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.close()

    async def close(self):
        """Ends the connection, not Pando."""
        for connection in self._for_calls:
            await connection.close()

    async def widen(self, in_flight):
        """Takes more control ports, if they are free, so that so many calls can be in flight at once; how many can."""
        with contextlib.suppress(PortsTaken):
            while len(self._for_calls) * IN_FLIGHT < in_flight:
                self._for_calls.append(await Connection.open(self.directory, wait=0))
        return len(self._for_calls) * IN_FLIGHT

    @contextlib.asynccontextmanager
    async def aside(self):
        """A connection for a long payload, so that short requests need not wait behind it; this one if no port is free."""
        try:
            other = await Connection.open(self.directory, wait=0.2)
        except PandoError:
            yield self.connection
            return
        async with other:
            yield other

    # ---- any command

    async def command(self, *words, payload=None):
        """Any command of the shell, word by word; the Answer: data, text, payload."""
        return await self.connection.request(*words, payload=payload)

    async def figures(self, *words):
        """The data of a command."""
        return (await self.command(*words)).data

    async def version(self):
        """{"pando", "protocol", "timebase_hz"}"""
        greeting = self.connection.greeting
        return {key: greeting.get(key) for key in ("pando", "protocol", "timebase_hz")}

    # ---- VMs

    async def vms(self, name=None):
        """A list of dicts, one for each VM: name, id, state, vcpus, ram, private, shared, merged, tables, template; of all, or of a VM
        and what descends from it."""
        return (await self.figures("vms", *([name] if name else []))).get("vms", [])

    async def summary(self):
        """{"n", "running", "template", ..., "private", "tables"}: VMs by state, and their memory."""
        return (await self.figures("vms", "-s")).get("summary", {})

    async def stat(self, vm=None):
        """Exits, breaks and times of a VM, or of the machine with its harts, memory and VMs."""
        return await self.figures("stat", *([vm] if vm else []))

    async def mem(self, vm=None):
        """Where the memory is: {"total", "free", "classes", "families", ...}, or one VM's share. All VMs stand still for the count."""
        return await self.figures("mem", *([vm] if vm else []))

    async def dedup(self, *words):
        """Without words, the merge scanner's status; else as in the shell: on, off, once, rate=1%, unmerge VM."""
        return await self.figures("dedup", *(words or ["status"]))

    async def boot(self, name, policy=None, **options):
        """Boots a VM of the bundle, or, with options, a new one: kernel=, initrd= (names of images), memory=, vcpus=, bootargs=, and
        policy={"dedup": "family", ...}, apart because there are two words `memory`: the size and the policy. With wait=MS it returns when
        the VM has stored READY, and stands still there. Its name."""
        given = [*options.items(), *(policy or {}).items()]
        words = [f"{key}={value}" for key, value in given if value is not None]
        return (await self.figures("boot", name, *words)).get("vm", name)

    async def freeze(self, vm, compact=False):
        """Makes a template of it; {"ns", "instret"}."""
        return await self.figures("freeze", vm, *(["--compact"] if compact else []))

    async def clone(self, template, n=1):
        """n new VMs; {"vms": at most 64 names, "n", "ns", "instret"}."""
        return await self.figures("clone", template, *(["-n", n] if n != 1 else []))

    async def fork(self, vm):
        return await self.figures("fork", vm)

    async def reset(self, vm):
        return await self.figures("reset", vm)

    async def pause(self, vm):
        return await self.figures("pause", vm)

    async def resume(self, vm):
        return await self.figures("resume", vm)

    async def kill(self, vm):
        """A VM, or "all"."""
        return await self.figures("kill", vm)

    async def logs(self, vm):
        """What its console has shown last, up to 4 KiB; bytes."""
        return (await self.command("logs", vm)).payload

    def events(self):
        """`async with p.events() as events: async for event in events: ...`"""
        return self.connection.events()

    # ---- images and templates

    async def images(self):
        """{name: bytes}"""
        return {image["name"]: image["len"] for image in (await self.figures("image", "list")).get("images", [])}

    async def put_image(self, name, file, progress=None):
        """Uploads a file (its path) or bytes."""
        async with self.aside() as connection:
            if isinstance(file, bytes):
                await connection.request("image", "put", name, payload=file)
                return
            with open(file, "rb") as source:
                length = os.fstat(source.fileno()).st_size
                await connection.request("image", "put", name, payload=source, length=length, progress=progress)

    async def remove_image(self, name):
        await self.command("image", "rm", name)

    async def save(self, template, path, progress=None):
        """Writes a template into a file; {"bytes", "packed"}. `progress(n, of)`."""
        writer = files.Writer(path, progress)
        try:
            async with self.aside() as connection:
                await connection.request("save", template, sink=writer)
            writer.done()
        except BaseException:
            writer.abandon()
            raise
        return {"bytes": writer.raw, "packed": writer.packed}

    async def load(self, name, path, progress=None):
        """Makes a template of such a file; {"bytes"}. `progress(n, of)`."""
        source, length = await asyncio.to_thread(files.open_template, path)
        with source:
            async with self.aside() as connection:
                told = (lambda n: progress(n, length)) if progress else None
                await connection.request("load", name, payload=source, length=length, progress=told)
        return {"bytes": length}

    # ---- functions

    async def functions(self):
        """A list of dicts, one for each: name, template, mode, warm, max, timeout, writeset, ready, running, queued, calls, failed."""
        return (await self.figures("function", "list")).get("functions", [])

    async def set_function(self, name, template, **options):
        """Makes a function of a template, or switches it to another. Options: mode ("fresh", "reset", "keep"), warm, max, timeout (ms),
        writeset (bool): whether the pages that every call writes are copied ahead."""
        words = [f"{key}={word_of(value)}" for key, value in options.items() if value is not None]
        await self.command("function", "set", name, f"template={template}", *words)

    async def change_function(self, name, **options):
        """Changes some options of a function, and leaves the others as they are. What it was; Absent if there is none, and code "state" if its
        template was killed."""
        found = await self.function(name)
        if found["template"] is None:
            raise CommandError("state", f"{name}: its template was killed; `pando deploy` gives it another")
        kept = {key: found[key] for key in ("mode", "warm", "max", "timeout", "writeset")}
        await self.set_function(name, found["template"], **kept | options)
        return found

    async def function(self, name):
        """The dict of one function; Absent if there is none."""
        for found in await self.functions():
            if found["name"] == name:
                return found
        raise Absent("absent", f"no function {name}: `pando deploy` makes one, `pando functions` lists them")

    async def remove_function(self, name):
        await self.command("function", "rm", name)

    async def deploy(self, name, runtime=None, handler=None, **options):
        """Builds a guest with the function, boots it, freezes it when it is ready, and makes it a function; see deploy.Deployment
        for the options. {"function", "template", "boot_ns", ...}"""
        return await deployment.deploy(self, deployment.Deployment(name, runtime, handler, **options))

    async def undeploy(self, name, keep_template=False):
        """Takes a function away, and its template with it unless another function has that as well; Absent if there is none."""
        await deployment.undeploy(self, name, keep_template)

    async def invoke(self, name, data=b"", timeout=None, mode=None):
        """One call; a Call. data: bytes or str. Errors: Absent, Busy, CallTimeout (after `timeout` ms), Crashed, FunctionFailed, ..."""
        data = data.encode() if isinstance(data, str) else bytes(data)
        words = [*([f"timeout={timeout}"] if timeout is not None else []), *([f"mode={mode}"] if mode else [])]
        start = time.perf_counter()
        connection = min(self._for_calls, key=lambda each: each.in_flight)
        answer = await connection.request("invoke", name, *words, payload=data)
        return Call(answer.payload, answer.data, time.perf_counter() - start)

    async def invoke_many(self, name, data=b"", n=100, concurrency=10, **options):
        """n calls, so many at a time (a port carries 250; more are taken if they are free); a load.Load: its table(), calls, failed."""
        data = data.encode() if isinstance(data, str) else data
        await self.widen(min(n, concurrency))
        return await load.run(self, name, data, n, concurrency, **options)


async def up_async(directory=None, timeout=60.0, say=lambda text: None, **settings):
    """Starts QEMU with Pando and waits until it answers; an AsyncPando. Settings: those of machine.Settings. If it does not answer, or who
    waits is cancelled, no QEMU stays behind."""
    starting = asyncio.ensure_future(asyncio.to_thread(machine.start, machine.Settings(directory or "", **settings), say))
    try:
        started = await asyncio.shield(starting)
        return await AsyncPando.connect(started.directory, hello_timeout=timeout)
    except BaseException as error:
        with contextlib.suppress(PandoError):
            started = await starting  # the thread ends when it ends
            why = machine.why_not(started.directory, timeout) if isinstance(error, NotRunning) else ""
            await asyncio.to_thread(machine.stop, started.directory)
        if isinstance(error, NotRunning):
            raise PandoError(f"Pando did not come up: {why}") from None
        raise


class Pando:
    """AsyncPando without asyncio: the same methods, and each returns when it is done. events() is an iterator here."""

    def __init__(self, opener):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pando", daemon=True)
        self._thread.start()
        try:
            self.asynchronous = self._run(opener)
        except BaseException:
            self._stop()
            raise
        atexit.register(self.close)  # for programs that forget

    def _run(self, coroutine):
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def directory(self):
        return self.asynchronous.directory

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the connection, not Pando."""
        atexit.unregister(self.close)
        if not self._loop.is_closed():
            self._run(self.asynchronous.close())
            self._stop()

    def down(self):
        """Ends the connection and Pando."""
        self.close()
        machine.stop(self.directory)

    def events(self, timeout=None):
        """Yields events, until there is none for `timeout` seconds."""
        found = queue.Queue()

        async def listen():
            async with self.asynchronous.events() as events:
                found.put(None)
                async for event in events:
                    found.put(event)

        task = asyncio.run_coroutine_threadsafe(listen(), self._loop)
        task.add_done_callback(lambda done: found.put(done))
        try:
            while True:
                try:
                    event = found.get(timeout=timeout)
                except queue.Empty:
                    return
                if event is task:
                    return task.result()
                if event is not None:
                    yield event
        finally:
            task.cancel()


def _plain(name):
    method = getattr(AsyncPando, name)

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        return self._run(getattr(self.asynchronous, name)(*args, **kwargs))

    return call


for _name, _method in list(vars(AsyncPando).items()):
    if inspect.iscoroutinefunction(_method) and not _name.startswith("_") and _name not in vars(Pando):
        setattr(Pando, _name, _plain(_name))


def connect(directory=None, **options):
    """A Pando that runs already: that of a directory, or of $PANDO_DIR, or of build/run."""
    return Pando(AsyncPando.connect(directory, **options))


def up(directory=None, **settings):
    """Starts QEMU with Pando; see machine.Settings: harts=2, mem="4G", bundle=, qemu=."""
    return Pando(up_async(directory, **settings))
