# SPDX-License-Identifier: BSD-2-Clause
"""Commands about VMs. Most are Pando's own, word for word: the text is what its shell prints, --json its figures."""

import asyncio
import contextlib
import json
import pathlib
import sys

from . import terminal, timeline
from .cli import Result, arg, command
from .deploy import image_name
from .errors import CallTimeout, CommandError, Crashed, PandoError
from .show import size

VM = arg("vm", metavar="VM", names_of="vms", help="its name, or #number")
ANY_VM = arg("vm", metavar="VM", nargs="?", names_of="vms", help="one VM")
TEMPLATE = arg("template", metavar="TEMPLATE", names_of="templates", help="a template's name")
COUNT = arg("-n", type=int, default=1, metavar="N", help="how many (1)")


async def relay(context, *words):
    """Runs a command of Pando's."""
    answer = await (await context.pando()).command(*words)
    text = answer.text or (json.dumps(answer.data, indent=2) if answer.data else "")
    return Result(answer.data, text)


def relayed(name, text, *arguments, words=None):
    """Declares a command that is Pando's, its arguments in order. `words` are those that stand for no argument."""

    async def run(context):
        given = [getattr(context.args, argument.options.get("dest", argument.names[0])) for argument in arguments]
        if words and not any(given):
            given = words
        words_given = [word for each in given if each is not None for word in (each if isinstance(each, list) else [each])]
        return await relay(context, name, *words_given)

    command(name, text, *arguments)(run)


relayed("stat", "exits, breaks and times, of one VM or of all", ANY_VM)
relayed("vcpus", "what each vCPU does", ANY_VM)
relayed("mem", "where the memory is", ANY_VM)
relayed("pages", "the pages that a VM alone has", VM)
relayed("policy", "how Pando treats a VM, or change it", VM, arg("set", nargs="*", metavar="NAME=WORD", help="such as dedup=family"))
relayed("dedup", "the merge scanner", arg("words", nargs="*", metavar="WORD", help="status, on, off, once, rate=1%%, unmerge VM"), words=["status"])
relayed("fork", "split a running VM", VM)
relayed("reset", "put a clone back to its template's state", VM)
relayed("pause", "stop a VM for a while", VM)
relayed("resume", "let a VM go on", VM)
relayed("kill", "end a VM, or all", arg("vm", metavar="VM|all", names_of="vms", help="its name, or all"))
relayed("audit", "recount every reference, and compare")


@command("vms", "list VMs", ANY_VM, arg("-s", dest="short", action="store_true", help="the summary only"))
async def vms(context):
    args = context.args
    return await relay(context, "vms", *([args.vm] if args.vm else []), *(["-s"] if args.short else []))


@command("freeze", "make a template of a VM", VM, arg("--compact", action="store_true", help="merge its equal pages first"))
async def freeze(context):
    return timed(await relay(context, "freeze", context.args.vm, *(["--compact"] if context.args.compact else [])))


@command("clone", "make and start VMs from a template", TEMPLATE, COUNT)
async def clone(context):
    args = context.args
    result = await relay(context, "clone", args.template, *(["-n", args.n] if args.n != 1 else []))
    result.text = ""
    names = result.data.get("vms", [])
    if names:
        more = f" and {result.data.get('n', len(names)) - len(names)} more" if result.data.get("n", 0) > len(names) else ""
        result.text = " ".join(names) + more
    return result


def timed(result):
    """A command that takes a while says how long."""
    if not result.text.strip() or result.text.lstrip().startswith("{"):
        result.text = f"done in {timeline.duration(result.data['ns'])}" if "ns" in result.data else ""
    return result


@command(
    "boot",
    "boot a VM of the bundle, or of images",
    arg("name", names_of="entries", help="an entry of the bundle, or a new name"),
    COUNT,
    arg("--kernel", metavar="FILE", help="a file to upload, or the name of an image in Pando"),
    arg("--initrd", metavar="FILE", help="the same"),
    arg("--memory", metavar="SIZE", help="its RAM"),
    arg("--vcpus", type=int, metavar="N", help="its vCPUs"),
    arg("--bootargs", metavar="TEXT", help="its command line"),
    arg("--policy", action="append", default=[], metavar="NAME=WORD", help="such as dedup=family"),
    arg("--no-wait", dest="wait", action="store_false", help="return at once, not when it is ready"),
    arg("--timeout", type=float, default=120, metavar="S", help="how long it may take to get ready (120)"),
)
async def boot(context):
    """Returns when the VM has stored READY in its mailbox; it stands still there, to be frozen."""
    args, pando = context.args, await context.pando()
    if args.n < 1:
        raise PandoError("-n wants at least 1")
    if args.n != 1 and args.kernel:
        raise PandoError("-n is for the bundle's VMs")
    images = await pando.images() if args.kernel or args.initrd else {}
    options = {key: getattr(args, key) for key in ("memory", "vcpus", "bootargs")}
    options["policy"] = dict(word.partition("=")[::2] for word in args.policy)
    uploaded = []
    try:
        for kind in ("kernel", "initrd"):
            if (source := getattr(args, kind)) is not None:
                options[kind] = await image_of(context, pando, images, image_name(args.name, kind), source, uploaded)
        options["wait"] = int(args.timeout * 1000) if args.wait else None
        names = await asyncio.gather(*(pando.boot(args.name, **options) for _ in range(args.n)))
    except (CallTimeout, Crashed) as error:
        raise CommandError(error.code, str(error)) from None  # it was no call
    finally:
        for name in uploaded:
            with contextlib.suppress(PandoError):
                await pando.remove_image(name)
    state = "ready" if args.wait else "booting"
    return Result({"vms": names, "state": state}, "\n".join(f"{name}: {state}" for name in names))


async def image_of(context, pando, images, name, source, uploaded):
    """An image's name for a word that is one already, or the path of a file."""
    if source in images:
        return source
    if not pathlib.Path(source).is_file():
        raise PandoError(f"{source}: neither a file nor an image of Pando's")
    length = pathlib.Path(source).stat().st_size
    uploaded.append(name)
    with context.progress(f"uploading {source}", size) as bar:
        await pando.put_image(name, source, lambda n: bar(n, length))
    return name


@command("console", "a VM's console, on this terminal", VM)
async def console(context):
    """Ctrl-] leaves it."""
    await terminal.console(await context.pando(), context.args.vm)
    return Result()


@command("logs", "what a VM's console has shown last", VM)
async def logs(context):
    raw = await (await context.pando()).logs(context.args.vm)
    return Result({"log": raw}, raw=raw)


@command(
    "events",
    "tell what happens to VMs, until Ctrl-C",
    arg("-n", type=int, metavar="N", help="end after N events"),
    arg("--timeout", type=float, metavar="S", help="end after S seconds"),
)
async def events(context):
    """With --json, each event is a line as docs/control.md has it."""
    args, pando = context.args, await context.pando()
    seen = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(args.timeout), pando.events() as stream:
            context.say("listening")
            async for event in stream:
                print(json.dumps(event) if context.json else event_text(event), flush=True)
                seen += 1
                if seen == args.n:
                    break
    context.json = False  # the events were the JSON
    return Result()


def event_text(event):
    rest = {key: value for key, value in event.items() if key not in ("event", "vm", "vm_id", "at_ns")}
    words = [timeline.duration(event["at_ns"]).rjust(10)] if "at_ns" in event else []
    return " ".join([*words, event.get("vm", ""), event["event"], *(f"{key}={value}" for key, value in rest.items())])


@command("save", "write a template into a file", TEMPLATE, arg("file", metavar="FILE", help="where to"))
async def save(context):
    """The file is compressed (zstd, or gzip without python3-zstandard); `pando load` makes a template of it, in this Pando or another."""
    args, pando = context.args, await context.pando()
    with context.progress(f"saving {args.template}", size) as bar:
        data = await pando.save(args.template, args.file, bar)
    return Result(data, f"{args.file}: {size(data['packed'])}, unpacked {size(data['bytes'])}")


@command(
    "load",
    "make a template of a file",
    arg("file", metavar="FILE", help="what `pando save` wrote"),
    arg("--name", help="the template's name (the file's, without suffix)"),
)
async def load(context):
    args, pando = context.args, await context.pando()
    name = args.name or pathlib.Path(args.file).name.split(".")[0]
    with context.progress(f"loading {name}", size) as bar:
        data = await pando.load(name, args.file, bar)
    return Result({"template": name, **data}, f"{name}: a template, {size(data['bytes'])}")


@command(
    "command",
    "any command of Pando's shell",
    arg("words", nargs="+", metavar="WORD", help="its words"),
    arg("--payload", metavar="FILE", help="what goes with it"),
)
async def any_command(context):
    """Words that begin with a dash come behind `--`. An answer's payload is written as it is."""
    payload = None
    if context.args.payload:
        payload = sys.stdin.buffer.read() if context.args.payload == "-" else pathlib.Path(context.args.payload).read_bytes()
    answer = await (await context.pando()).command(*context.args.words, payload=payload)
    if answer.payload:
        return Result(answer.data | {"payload": answer.payload}, raw=answer.payload)
    return Result(answer.data, answer.text)
