# SPDX-License-Identifier: BSD-2-Clause
"""The command line: `pando COMMAND ...`. The commands are those that the modules in MODULES declare with @command; the help, the
completion and the dispatch fall out of that. A command is a coroutine that takes a Context and gives a Result.

| exit status | |
|---|---|
| 0 | done |
| 1 | refused or failed; one line on stderr says why |
| 2 | wrong words |
| 3 | no Pando is running there |
| 4 | a call failed: its function failed, crashed, took too long or said too much |
| 130 | Ctrl-C, SIGTERM, SIGHUP |
"""

import argparse
import asyncio
import base64
import contextlib
import importlib
import json
import os
import signal
import sys
from dataclasses import dataclass, field

from . import machine
from .api import AsyncPando
from .errors import AnswerTooLong, CallTimeout, CommandError, Crashed, FunctionFailed, NotRunning, PandoError
from .show import Progress

MODULES = ("commands_machine", "commands_vm", "commands_function", "commands_experiment")
FAILED, USAGE, NOT_RUNNING, CALL_FAILED, INTERRUPTED = 1, 2, 3, 4, 130
COMMANDS = {}


@dataclass
class Argument:
    names: tuple
    options: dict


def arg(*names, **options):
    """As of argparse's add_argument(). `names_of`: what the shell completes it with: vms, templates, functions, images."""
    return Argument(names, options)


@dataclass
class Command:
    name: str
    help: str
    arguments: tuple
    run: object
    text: str


@dataclass
class Result:
    """`text` is for people, `data` for --json; `raw` bytes go to stdout as they are."""

    data: dict = field(default_factory=dict)
    text: str = ""
    raw: bytes = None
    status: int = 0


def command(name, text, *arguments):
    """Declares a command; its docstring is the long help."""

    def declare(run):
        COMMANDS[name] = Command(name, text, arguments, run, run.__doc__ or "")
        return run

    return declare


class Context:
    """What a command has: `args`, a connection, ways to tell how it goes."""

    def __init__(self, args):
        self.args = args
        self.json = args.json
        self.directory = os.path.abspath(args.dir or machine.default_directory())
        self._pando = None

    async def pando(self, **options):
        if self._pando is None:
            self._pando = await AsyncPando.connect(self.directory, **options)
        return self._pando

    async def close(self):
        if self._pando is not None:
            await self._pando.close()

    def say(self, text):
        """What goes on, for people who wait."""
        if not self.json and not self.args.quiet:
            print(text, file=sys.stderr, flush=True)

    def progress(self, what, unit=str):
        bar = Progress(what, unit)
        bar.wanted = bar.wanted and not self.json and not self.args.quiet
        return bar


# ---- the parser


def common():
    """What every command takes, before its name or behind it. A new one for each: set_defaults() changes those of all that share."""
    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("everywhere")
    group.add_argument("--dir", metavar="DIR", help="where Pando's sockets are (default: $PANDO_DIR, or build/run)")
    group.add_argument("--json", action="store_true", help="one JSON object on stdout in place of text")
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing about how it goes")
    return parser


def load():
    for module in MODULES:
        importlib.import_module(f"{__package__}.{module}")


def parser():
    load()
    top = argparse.ArgumentParser(
        prog="pando",
        parents=[common()],
        description="Pando from the host: start it, boot and clone VMs, deploy functions and call them. docs/host.md has examples.",
        epilog="exit status: 0 done, 1 refused, 2 wrong words, 3 no Pando is running, 4 a call failed",
    )
    top.set_defaults(dir=None, json=False, quiet=False)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for each in COMMANDS.values():
        sub = commands.add_parser(
            each.name,
            help=each.help,
            description=each.help + ("\n\n" + each.text if each.text else ""),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[common()],
        )
        for argument in each.arguments:
            sub.add_argument(*argument.names, **{k: v for k, v in argument.options.items() if k != "names_of"})
    return top


# ---- running one


def plain(value):
    """For JSON: bytes are text, or base64 if they are none."""
    if isinstance(value, (bytes, bytearray)):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value)} has no JSON")


def put(context, result):
    if context.json:
        print(json.dumps(result.data, default=plain))
    elif result.raw is not None:
        sys.stdout.buffer.write(result.raw)
        if sys.stdout.isatty() and not result.raw.endswith(b"\n"):
            sys.stdout.buffer.write(b"\n")
    elif result.text:
        sys.stdout.write(result.text if result.text.endswith("\n") else result.text + "\n")
    sys.stdout.flush()


def status_of(error):
    if isinstance(error, NotRunning):
        return NOT_RUNNING
    return CALL_FAILED if isinstance(error, (CallTimeout, Crashed, FunctionFailed, AnswerTooLong)) else FAILED


def complain(context, error):
    """One clear line; with --json the same as an object."""
    code = error.code if isinstance(error, CommandError) else "not-running" if isinstance(error, NotRunning) else "failed"
    if context.json:
        detail = {"code": code, "message": str(error)}
        if getattr(error, "payload", b""):
            detail["payload"] = error.payload
        if getattr(error, "data", None):
            detail["data"] = error.data
        with contextlib.suppress(OSError):  # nobody reads it, or the disk is full
            print(json.dumps({"error": detail}, default=plain), flush=True)
    print(f"pando: error: {error}", file=sys.stderr)
    if said := getattr(error, "payload", b""):
        print(said.decode(errors="replace").rstrip("\n"), file=sys.stderr)
    return status_of(error)


def cancel_when_ended():
    """SIGTERM and SIGHUP end a command as Ctrl-C does: what it has begun is taken back. nohup keeps its meaning."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            loop.add_signal_handler(number, task.cancel)


async def run(context):
    cancel_when_ended()
    try:
        result = await COMMANDS[context.args.command].run(context)
        put(context, result)
        return result.status
    finally:
        await context.close()


def drop_unwritten():
    """What cannot be written to stdout goes nowhere: the exit's flush shall not complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def main(argv=None):
    if sys.stdout is None:  # it was closed
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # pylint: disable=consider-using-with
    args = parser().parse_args(argv)
    context = Context(args)
    sys.stdout.reconfigure(errors="surrogateescape")  # names of files that are no UTF-8
    try:
        return asyncio.run(run(context))
    except PandoError as error:
        return complain(context, error)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
    except BrokenPipeError:
        return 0  # whoever read has enough
    except OSError as error:
        return complain(context, PandoError(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": ")))
    finally:
        drop_unwritten()
