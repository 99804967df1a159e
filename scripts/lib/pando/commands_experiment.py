# SPDX-License-Identifier: BSD-2-Clause
"""The command `pando experiment`."""

import pathlib

from . import experiment, machine
from .cli import Result, arg, command


def found(name):
    """A file, or the name of one that comes with Pando."""
    shipped = machine.TOP / "scripts" / "experiments" / f"{name}.toml"
    return shipped if shipped.exists() and not pathlib.Path(name).exists() else pathlib.Path(name)


@command(
    "experiment",
    "run an experiment: a TOML file to CSV, charts and a summary",
    arg("file", metavar="FILE.toml", help="the experiment; or the name of one of scripts/experiments"),
    arg("-o", "--output", metavar="DIR", help="where to put what comes out (build/experiments/NAME)"),
    arg("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="another value for a key of [measure]; repeatable"),
    arg("--function", dest="only", action="append", default=[], metavar="NAME", help="only this one of its functions; repeatable"),
    arg("--qemu", default="newest", metavar="WHICH", help="as of scripts/qemu (newest)"),
    arg("--no-build", dest="build", action="store_false", help="do not call make first"),
)
async def run(context):
    """It starts a Pando of its own for the time, and leaves others alone. docs/experiments.md explains the files and the charts."""
    args = context.args
    told = {"say": context.say, "progress": context.progress}
    done = await experiment.run(found(args.file), args.output, args.overrides, args.only, args.qemu, args.build, **told)
    return Result({"folder": str(done.folder), "files": sorted(path.name for path in done.folder.iterdir())}, done.text)
