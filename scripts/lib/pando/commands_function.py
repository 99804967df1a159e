# SPDX-License-Identifier: BSD-2-Clause
"""Commands about functions: deploy, invoke, timeline, functions, serve."""

import asyncio
import contextlib
import json
import pathlib
import sys

from . import timeline
from .api import PAYLOAD_MAX
from .cli import Result, arg, command, status_of
from .deploy import RUNTIMES
from .errors import CommandError, PandoError
from .load import spread
from .show import size

NAME = arg("name", metavar="NAME", names_of="functions", help="the function")
MODES = ("fresh", "reset", "keep")
DATA = (
    arg("source", nargs="?", choices=["-"], metavar="-", help="take the payload from stdin"),
    arg("-d", "--data", metavar="TEXT", help="the payload"),
    arg("--data-file", metavar="FILE", help="take the payload from a file"),
)


@command(
    "deploy",
    "make a function of a handler",
    arg("name", metavar="NAME", names_of="functions", help="the function; one that exists is switched"),
    arg("--runtime", choices=RUNTIMES, help="what runs the handler (by its suffix: .c, .sh, .py)"),
    arg("--handler", metavar="FILE", help="its source"),
    arg(
        "--file",
        dest="files",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="another file that it needs, found in /function; repeatable",
    ),
    arg("--image", metavar="FILE", help="in place of a handler: an initrd that follows docs/guest-abi.md"),
    arg("--template", metavar="VM", help="in place of both: a template that is there already"),
    arg("--kernel", metavar="FILE", help="the guest's kernel (Debian's, from the bundle)"),
    arg("--memory", metavar="SIZE", help="the guest's RAM"),
    arg("--vcpus", type=int, metavar="N", help="its vCPUs"),
    arg("--bootargs", metavar="TEXT", help="its command line"),
    arg("--policy", action="append", default=[], metavar="NAME=WORD", help="such as dedup=family"),
    arg("--mode", choices=MODES, help="a fresh clone for each call, reset after each, or kept (fresh)"),
    arg("--warm", type=int, metavar="K", help="VMs that wait for calls (0)"),
    arg("--max", type=int, metavar="N", help="calls under way at once (64)"),
    arg("--timeout", type=int, metavar="MS", help="how long a call may take (10000)"),
    arg("--writeset", choices=["on", "off"], help="whether pages that every call writes are copied ahead (on)"),
    arg("--boot-timeout", type=float, default=120, metavar="S", help="how long the guest may take to get ready (120)"),
)
async def deploy(context):
    """Builds a guest with the function, boots it, freezes it when it is ready: each call gets a clone of that. Calls of an older
    function of this name that are under way end where they began."""
    args, pando = context.args, await context.pando()
    keys = ("files", "image", "template", "kernel", "memory", "vcpus", "bootargs", "mode", "warm", "max", "timeout", "boot_timeout")
    options = {key: getattr(args, key) for key in keys}
    options["writeset"] = {"on": True, "off": False}.get(args.writeset)
    with context.progress("uploading", size) as bar:

        def say(text):
            bar.clear()
            context.say(text)

        policy = dict(word.partition("=")[::2] for word in args.policy)
        data = await pando.deploy(args.name, args.runtime, args.handler, **options, policy=policy, say=say, progress=bar)
    took = f", booted in {timeline.duration(data['boot_ns'])}" if data["boot_ns"] else ""
    old = f", replaces {data['replaced']}" if data["replaced"] else ""
    return Result(data, f"{args.name}: deployed, template {data['template']}{took}{old}")


@command("functions", "list functions")
async def functions(context):
    found = await (await context.pando()).functions()
    columns = ("name", "template", "mode", "warm", "ready", "running", "queued", "calls", "failed")
    lines = [f"{'NAME':<21}{'TEMPLATE':<21}{'MODE':<7}" + "".join(f"{column.upper():>9}" for column in columns[3:])]
    for row in found:
        words = f"{row['name']:<21}{row['template'] or '(killed)':<21}{row['mode']:<7}"
        lines.append(words + "".join(f"{row[column]:>9}" for column in columns[3:]))
    return Result({"functions": found}, "\n".join(lines) if found else "no functions")


@command("undeploy", "take a function away, and its template", NAME, arg("--keep-template", action="store_true", help="leave the template"))
async def undeploy(context):
    """The template stays if another function has it as well."""
    args, pando = context.args, await context.pando()
    await pando.undeploy(args.name, args.keep_template)
    return Result({"function": args.name}, f"{args.name}: gone")


# ---- calls


def payload_of(args):
    given = [args.source is not None, args.data is not None, args.data_file is not None]
    if sum(given) > 1:
        raise PandoError("one of -, --data and --data-file")
    if args.source or args.data_file == "-":
        data = sys.stdin.buffer.read(PAYLOAD_MAX + 1)
    elif args.data_file is not None:
        data = pathlib.Path(args.data_file).read_bytes()
    else:
        data = (args.data or "").encode(errors="surrogateescape")
    if len(data) > PAYLOAD_MAX:
        raise PandoError(f"the payload has more than {size(PAYLOAD_MAX)}")
    return data


@contextlib.asynccontextmanager
async def kept_warm(pando, name, warm):
    """The function has `warm` VMs waiting while this lasts, and what it had before afterwards."""
    if warm is None:
        yield
        return
    before = await pando.change_function(name, warm=warm)
    try:
        async with asyncio.timeout(60):
            while (await pando.function(name))["ready"] < warm:
                await asyncio.sleep(0.02)
        yield
    except TimeoutError:
        raise PandoError(f"{name}: {warm} VMs are not warm after 60 s") from None
    finally:
        await pando.change_function(name, warm=before["warm"])


@command(
    "invoke",
    "call a function",
    NAME,
    *DATA,
    arg("-n", "--n", type=int, default=1, metavar="N", help="how many calls (1); with more, a table of latencies is shown"),
    arg("-c", "--concurrency", type=int, default=1, metavar="C", help="calls under way at once (1)"),
    arg("--warm", type=int, metavar="K", help="keep K VMs ready meanwhile"),
    arg("--mode", choices=MODES, help="how these calls are served"),
    arg("--timeout", type=int, metavar="MS", help="how long a call may take"),
    arg("-v", "--verbose", action="store_true", help="show the call's time line on stderr"),
    arg("--calls", metavar="FILE", help="write each call's time line, a JSON object on a line"),
)
async def invoke(context):
    """One call prints its answer as it is. Exit status 4 says that a call failed."""
    args, pando = context.args, await context.pando()
    data = payload_of(args)
    options = {"timeout": args.timeout, "mode": args.mode}
    async with kept_warm(pando, args.name, args.warm):
        if args.n == 1:
            try:
                call = await pando.invoke(args.name, data, **options)
            except CommandError as error:
                show_stages(args, error.data)
                raise
            show_stages(args, call.data)
            return Result({"payload": call.payload, "seconds": call.seconds, **call.data}, raw=call.payload)
        if args.n < 1 or args.concurrency < 1:
            raise PandoError("--n and --concurrency want at least 1")
        with context.progress(args.name) as bar:
            load = await pando.invoke_many(args.name, data, args.n, args.concurrency, progress=bar, **options)
    if args.calls:
        lines = [{"seconds": call.seconds, **call.data} for call in load.calls]
        lines += [{"error": error.code, "message": str(error), **error.data} for error in load.errors]
        pathlib.Path(args.calls).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Result(load.summary(), load.text(), status=max(map(status_of, load.errors), default=0))


def show_stages(args, data):
    if args.verbose and timeline.stages(data):
        print(timeline.text(data), end="", file=sys.stderr)


@command(
    "timeline",
    "call a function and draw where the time went",
    NAME,
    *DATA,
    arg("-n", "--n", type=int, default=1, metavar="N", help="make N calls, draw the one in the middle (1)"),
    arg("--mode", choices=MODES, help="how these calls are served"),
    arg("--svg", metavar="FILE", help="draw it into a file, too"),
)
async def draw(context):
    args, pando = context.args, await context.pando()
    data = payload_of(args)
    calls = [await pando.invoke(args.name, data, mode=args.mode) for _ in range(max(1, args.n))]
    calls.sort(key=lambda call: max([end for _, _, end in timeline.stages(call.data)], default=0))
    call = calls[(len(calls) - 1) // 2]
    if args.svg:
        pathlib.Path(args.svg).write_text(timeline.svg(call.data))
    stages = [{"stage": name, "begin": begin, "end": end} for name, begin, end in timeline.stages(call.data)]
    figures = call.data | {"stages": stages, "seconds": spread([each.seconds for each in calls])}
    return Result(figures, timeline.text(call.data))


@command(
    "serve",
    "an HTTP gateway to the functions",
    arg("--port", type=int, default=8080, metavar="N", help="where to listen (8080; 0: any free one)"),
    arg("--host", default="127.0.0.1", metavar="ADDRESS", help="on which address (127.0.0.1)"),
    arg("--queue", type=int, default=1024, metavar="N", help="calls that may wait here; more get 429 (1024)"),
    arg("--handlers", metavar="DIR", help="let /system/functions deploy handlers from this folder"),
)
async def serve(context):
    """Serves POST and GET /function/NAME, OpenFaaS's provider API under /system, /healthz and /metrics until SIGTERM or Ctrl-C. See
    docs/gateway.md."""
    try:
        from . import gateway
    except ImportError as error:
        raise PandoError(f"the gateway needs python3-{(error.name or 'aiohttp').replace('_', '-')}: run make setup") from None
    args = context.args
    await context.pando()  # a Pando that does not run is an error now, later a 503
    await context.close()
    settings = gateway.Settings(context.directory, args.host, args.port, args.queue, args.handlers)
    await gateway.serve(settings, lambda url: print(f"serving {url}", flush=True))
    return Result({"served": True})
