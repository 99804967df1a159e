# SPDX-License-Identifier: BSD-2-Clause
"""Commands about the machine that Pando runs on, and about this program: up, down, status, shell, completion."""

import asyncio
import os
import time

from . import complete, machine, ports, terminal
from .api import up_async
from .cli import NOT_RUNNING, Result, arg, command
from .errors import NotRunning, PandoError
from .show import size


@command(
    "up",
    "start QEMU with Pando in the background",
    arg("--harts", type=int, default=2, metavar="N", help="harts of the machine (2)"),
    arg("--mem", default="4G", metavar="SIZE", help="its memory (4G)"),
    arg("--bundle", default="", metavar="FILE", help="VM bundle (default: that of dts/functions.dts)"),
    arg("--qemu", default="newest", metavar="WHICH", help="newest, system, a version such as 7.2, or a path (newest)"),
    arg("--append", default="", metavar="TEXT", help="Pando's command line"),
    arg("--icount", action="store_true", help="exact instruction counts: one instruction is one ns of virtual time"),
    arg("--no-build", dest="build", action="store_false", help="do not call make first"),
    arg("--timeout", type=float, default=60.0, metavar="S", help="how long Pando may take to answer (60)"),
)
async def up(context):
    """Builds what is not there yet (make host), starts QEMU, and returns when Pando answers."""
    args = context.args
    settings = {key: getattr(args, key) for key in ("harts", "mem", "bundle", "qemu", "append", "icount", "build")}
    start = time.monotonic()
    async with await up_async(context.directory, args.timeout, context.say, **settings) as pando:
        started = machine.running(context.directory)
        version = await pando.version()
    took = time.monotonic() - start
    text = f"Pando {version['pando']} is up after {took:.1f} s: {args.harts} harts, {args.mem}, process {started.pid}, sockets in {context.directory}"
    return Result({"pid": started.pid, "directory": context.directory, "seconds": took, **version}, text)


@command("down", "end QEMU, and Pando with it")
async def down(context):
    stopped = await asyncio.to_thread(machine.stop, context.directory)
    if stopped is None:
        raise NotRunning(f"no Pando is running in {context.directory}")
    return Result({"pid": stopped.pid}, f"ended, process {stopped.pid}; its logs are in {context.directory}")


@command("status", "whether Pando is running, and with what")
async def status(context):
    found = machine.running(context.directory)
    data = {"running": found is not None, "directory": context.directory}
    if found is None:
        return Result(data, f"no Pando is running in {context.directory}: start one with `pando up`", status=NOT_RUNNING)
    pando = await context.pando()
    version, vms, functions = await pando.version(), await pando.summary(), await pando.functions()
    up_for = time.time() - found.started
    data |= {"pid": found.pid, "harts": found.harts, "mem": found.mem, "bundle": found.bundle, "seconds": up_for, **version}
    data |= {"vms": vms, "functions": [function["name"] for function in functions]}
    text = [
        f"Pando {version['pando']} in {context.directory}: process {found.pid}, up for {up_for:.0f} s, {found.harts} harts, {found.mem}",
        f"bundle {found.bundle}",
        f"{vms['n']} VMs, {size(vms['private'])} private, {size(vms['tables'])} of tables",
        f"{len(functions)} functions" + "".join(f" {name}" for name in data["functions"]),
    ]
    return Result(data, "\n".join(text))


@command("shell", "Pando's own shell, on this terminal")
async def shell(context):
    """Ctrl-] leaves it."""
    if machine.running(context.directory) is None:
        raise NotRunning(f"no Pando is running in {context.directory}: start one with `pando up`")
    path = os.path.join(context.directory, "shell")
    lock = ports.try_lock(f"{path}.lock")
    if lock is None:
        raise PandoError(f"somebody else has Pando's shell in {context.directory}")
    try:
        await terminal.attach(path, "Pando's shell", b"\r")
    finally:
        os.close(lock)
    return Result()


@command("completion", "print what a shell needs to complete this command", arg("which", choices=["bash"], help="the shell"))
async def completion(_):
    """In ~/.bashrc: eval "$(scripts/pando completion bash)" """
    return Result({"script": complete.bash()}, complete.bash())


@command("names", "print names, for completion", arg("kind", choices=["vms", "templates", "functions", "images", "entries"]))
async def names(context):
    """Prints nothing if no Pando answers at once: somebody waits with a finger on the tab key."""
    try:
        found = await complete.names(await context.pando(wait=0.2, hello_timeout=1.0), context.args.kind)
    except PandoError:
        found = []
    return Result({"names": found}, "\n".join(found))
