# SPDX-License-Identifier: BSD-2-Clause
"""HTTP to functions, with OpenFaaS's provider API (docs/gateway.md). One aiohttp server, one connection to Pando: each HTTP request to a
function is one `invoke` in flight, so calls that come together run in clones beside each other.

The gateway outlives Pando: while none answers, it says 503, and it looks for a new one when a request comes."""

import asyncio
import contextlib
import signal
import time
import uuid
from dataclasses import dataclass

from aiohttp import web

from . import provider, timeline
from .api import PAYLOAD_MAX, AsyncPando
from .client import IN_FLIGHT
from .errors import CommandError, ConnectionLost, FunctionFailed, NotRunning, PandoError, PortsTaken
from .metrics import Metrics

RETRY_AFTER = {"Retry-After": "1"}
PATIENCE = 15  # seconds for what is under way at the end
LOOK_AGAIN = 0.5  # seconds after a Pando was not there
SYSTEM = {"absent": 404, "usage": 400, "exists": 409, "state": 409, "limit": 409, "nomem": 503, "busy": 429}
CALL = SYSTEM | {"state": 503, "limit": 413, "range": 413, "function": 500, "crash": 502, "toolong": 502, "timeout": 504}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")


@dataclass
class Settings:
    """`queue`: calls that may wait in the gateway while as many as a port takes are in flight. `handlers`: the folder of the sources that
    /system/functions may deploy, or None."""

    directory: str
    host: str = "127.0.0.1"
    port: int = 8080
    queue: int = 1024
    handlers: str = None


class Link:
    """The connection to Pando, made anew when it has broken."""

    def __init__(self, directory):
        self.directory = directory
        self._pando = None
        self._making = asyncio.Lock()
        self._not_before = 0.0
        self._why = None

    async def get(self):
        """An AsyncPando that was alive a moment ago, or NotRunning."""
        if self._pando and self._pando.connection.is_open:
            return self._pando
        async with self._making:
            if self._pando and self._pando.connection.is_open:
                return self._pando
            if time.monotonic() < self._not_before:
                raise NotRunning(self._why)
            try:
                self._pando = await AsyncPando.connect(self.directory, hello_timeout=5.0, wait=0.5)
                return self._pando
            except (PandoError, OSError) as error:
                self._not_before, self._why = time.monotonic() + LOOK_AGAIN, str(error)
                raise NotRunning(self._why) from None

    async def close(self):
        if self._pando:
            await self._pando.close()


def refusal(error, codes):
    """The HTTP answer to an error of Pando's; `codes`: the status for each code of the protocol, else 500."""
    if isinstance(error, FunctionFailed):
        return web.Response(status=500, body=error.payload or str(error).encode(), content_type="text/plain", charset="utf-8")
    if isinstance(error, (NotRunning, ConnectionLost, PortsTaken)):
        status = 503
    else:
        status = codes.get(error.code, 500) if isinstance(error, CommandError) else 400
    said = f"{error}\n".encode(errors="backslashreplace").decode()
    return web.Response(status=status, text=said, headers=RETRY_AFTER if status in (429, 503) else None)


def content_type(payload):
    try:
        payload.decode()
        return "text/plain"
    except UnicodeDecodeError:
        return "application/octet-stream"


def answer_to(call, started):
    """The HTTP answer of a call, with its time line as the browsers' tools show it."""
    stages = ", ".join(f"{name};dur={ns / 1e6:.4f}" for name, ns in timeline.lengths(call.data).items())
    headers = {
        "X-Call-Id": str(uuid.uuid4()),
        "X-Start-Time": str(started),
        "X-Duration-Seconds": f"{call.seconds:.6f}",
        "X-Pando-Vm": str(call.vm),
        "Server-Timing": stages,
    }
    kind = content_type(call.payload)
    return web.Response(body=call.payload, content_type=kind, charset="utf-8" if kind == "text/plain" else None, headers=headers)


class Gateway:
    def __init__(self, settings):
        self.settings = settings
        self.link = Link(settings.directory)
        self.metrics = Metrics()
        self.under_way = 0
        self.app = web.Application(client_max_size=PAYLOAD_MAX + 1, middlewares=[refusing])
        for method in METHODS:
            self.app.router.add_route(method, "/function/{name}", self.call)
            self.app.router.add_route(method, "/function/{name}/{path:.*}", self.call)
        self.app.router.add_get("/healthz", self.healthz)
        self.app.router.add_get("/metrics", self.show_metrics)
        provider.add_routes(self.app.router, self.link, settings.handlers)

    async def call(self, request):
        """One call. The path behind the name and the query do not reach the function: it gets the body."""
        name, started = request.match_info["name"], time.time_ns()
        if self.under_way >= IN_FLIGHT + self.settings.queue:
            self.metrics.end(name, 429, 0.0)
            return web.Response(status=429, text="too many calls wait already\n", headers=RETRY_AFTER)
        self.under_way += 1
        begin, data = time.perf_counter(), None
        try:
            payload = await request.read()
            self.metrics.begin(name)
            pando = await self.link.get()
            done = await pando.invoke(name, payload)
            data, response = done.data, answer_to(done, started)
        except PandoError as error:
            data, response = getattr(error, "data", None), refusal(error, CALL)
        finally:
            self.under_way -= 1
        self.metrics.end(name, response.status, time.perf_counter() - begin, data)
        return response

    async def healthz(self, _request):
        await (await self.link.get()).version()
        return web.Response(text="OK\n")

    async def show_metrics(self, _request):
        try:
            await self.metrics.collect(await self.link.get())
        except PandoError:
            await self.metrics.collect(None)
        body, kind = self.metrics.text()
        return web.Response(body=body, headers={"Content-Type": kind})


@web.middleware
async def refusing(request, handler):
    try:
        return await handler(request)
    except PandoError as error:
        return refusal(error, SYSTEM)


async def serve(settings, ready=lambda url: None):
    """Serves until SIGTERM or SIGINT; calls that are under way then get their answers. `ready(url)` is called when it listens."""
    gateway = Gateway(settings)
    runner = web.AppRunner(gateway.app, access_log=None, handle_signals=False)
    await runner.setup()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        site = web.TCPSite(runner, settings.host, settings.port, backlog=1024)
        await site.start()
        host, port = runner.addresses[0][:2]
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        await stop.wait()
        await site.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while gateway.under_way:
                    await asyncio.sleep(0.02)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(runner.cleanup(), 5)
        await gateway.link.close()
