# SPDX-License-Identifier: BSD-2-Clause
"""OpenFaaS's provider API under /system: list, deploy, remove and scale functions. What OpenFaaS calls an image is here

    template/VM         a template that is there already
    FILE, RUNTIME/FILE  a handler in the folder that `pando serve --handlers` names

Replicas are warm VMs; a function without any still answers, by a clone, and counts as one."""

import json
import pathlib
import re
import time

from aiohttp import web

from .deploy import RUNTIMES
from .errors import PandoError

KEPT = ("labels", "annotations", "limits")
OPTION = re.compile(r"pando\.(mode|warm|max|timeout|vcpus|memory|writeset)")
READ = {"mode": str, "memory": str, "writeset": {"on": True, "off": False}.__getitem__}
UNSUPPORTED = ("envVars", "secrets", "constraints", "registryAuth", "requests")


class Request(PandoError):
    """What the client of the API got wrong; 400."""


class Provider:
    def __init__(self, link, handlers):
        self.link = link
        self.handlers = pathlib.Path(handlers).resolve() if handlers else None
        self.known = {}  # name: what its deployment said, for those that were deployed here

    # ---- reading

    def status(self, function):
        name = function["name"]
        known = self.known.get(name, {})
        return {
            "name": name,
            "image": known.get("image") or f"template/{function['template'] or ''}",
            "namespace": "",
            "envProcess": "",
            "labels": known.get("labels") or {},
            "annotations": known.get("annotations") or {},
            "limits": known.get("limits") or {},
            "invocationCount": function.get("calls", 0),
            "replicas": max(1, function.get("warm", 0)),
            "availableReplicas": max(1, function.get("ready", 0)),
            "createdAt": known.get("createdAt", ""),
        }

    async def find(self, name):
        pando = await self.link.get()
        return pando, await pando.function(name)

    async def list(self, _request):
        functions = await (await self.link.get()).functions()
        self.known = {name: known for name, known in self.known.items() if any(f["name"] == name for f in functions)}
        return web.json_response([self.status(function) for function in functions])

    async def read(self, request):
        _, function = await self.find(request.match_info["name"])
        return web.json_response(self.status(function))

    async def info(self, _request):
        version = {"release": (await (await self.link.get()).version())["pando"], "sha": ""}
        return web.json_response({"provider": "pando", "orchestration": "pando", "version": version, "arch": "riscv64"})

    async def namespaces(self, _request):
        return web.json_response([])

    # ---- changing

    async def deploy(self, request):
        """POST makes a function, PUT changes one that is there."""
        body = await body_of(request)
        name = text_of(body, "service")
        if unsupported := [key for key in UNSUPPORTED if body.get(key)]:
            raise Request(f"{', '.join(unsupported)}: not supported")
        kept = {key: object_of(body, key) for key in KEPT}
        options = self.options_of(body)
        source = self.source_of(text_of(body, "image"))
        if request.method == "PUT":
            await self.find(name)
        await (await self.link.get()).deploy(name, **source, **options)
        self.known[name] = kept | {"image": body["image"], "createdAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        return web.Response(status=202)

    def source_of(self, image):
        kind, _, rest = image.rpartition("/")
        if kind == "template":
            return {"template": rest}
        if self.handlers is None:
            raise Request(f"{image}: only template/VM can be deployed here; `pando serve --handlers DIR` opens a folder of handlers")
        runtime, _, file = image.partition("/")
        if runtime not in RUNTIMES:
            runtime, file = None, image
        try:
            path = (self.handlers / file).resolve()
            found = path.is_relative_to(self.handlers) and path.is_file()
        except (OSError, RuntimeError, ValueError):  # too long, a loop of links; a NUL, or no UTF-8
            found = False
        if not found:
            raise Request(f"{image}: no such handler in the folder that is served")
        return {"runtime": runtime, "handler": str(path)}

    def options_of(self, body):
        """mode, warm, ... out of annotations that begin with pando., and the limit of memory."""
        options = {}
        for key, value in object_of(body, "annotations").items():
            if found := OPTION.fullmatch(key):
                try:
                    options[found[1]] = READ.get(found[1], int)(value)
                except (KeyError, OverflowError, TypeError, ValueError):
                    raise Request(f"annotation {key}: {value!r} is not understood") from None
        if memory := object_of(body, "limits").get("memory"):
            options.setdefault("memory", str(memory).removesuffix("i"))
        return options

    async def remove(self, request):
        name = text_of(await body_of(request), "functionName")
        await (await self.link.get()).undeploy(name)
        self.known.pop(name, None)
        return web.Response(status=202)

    async def scale(self, request):
        name = request.match_info["name"]
        replicas = (await body_of(request)).get("replicas")
        if not isinstance(replicas, int) or replicas < 0:
            raise Request("replicas: want a number")
        await (await self.link.get()).change_function(name, warm=replicas)
        return web.Response(status=202)


async def body_of(request):
    try:
        body = json.loads(await request.read())
    except (RecursionError, ValueError):
        raise Request("the body is no JSON") from None
    if not isinstance(body, dict):
        raise Request("the body is no JSON object")
    return body


def text_of(body, key):
    if not isinstance(body.get(key), str) or not body[key]:
        raise Request(f"{key}: missing")
    return body[key]


def object_of(body, key):
    if not isinstance(found := body.get(key) or {}, dict):
        raise Request(f"{key}: want an object")
    return found


def add_routes(router, link, handlers):
    provider = Provider(link, handlers)
    router.add_get("/system/functions", provider.list)
    router.add_post("/system/functions", provider.deploy)
    router.add_put("/system/functions", provider.deploy)
    router.add_delete("/system/functions", provider.remove)
    router.add_get("/system/function/{name}", provider.read)
    router.add_post("/system/scale-function/{name}", provider.scale)
    router.add_get("/system/info", provider.info)
    router.add_get("/system/namespaces", provider.namespaces)
