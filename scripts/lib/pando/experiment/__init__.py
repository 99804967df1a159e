# SPDX-License-Identifier: BSD-2-Clause
"""Experiments: one TOML file, one command, and out come CSV, charts and a summary (docs/experiments.md).

    await pando.experiment.run("scripts/experiments/start.toml")

An experiment has a Pando of its own, in a directory of its own, so that what else runs on the machine is not touched."""

import pathlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from .. import machine
from ..show import Progress
from . import kinds, spec
from .lab import Lab
from .output import Output


def default_folder():
    return machine.build_directory() / "experiments"


def qemu_version(which):
    run = subprocess.run([machine.TOP / "scripts" / "qemu", "--qemu", which, "--version"], capture_output=True, text=True, check=False)
    return run.stdout.strip().removeprefix("QEMU emulator version ") or "of unknown version"


@dataclass(frozen=True)
class Done:
    """Where the files are, and the summary's text."""

    folder: pathlib.Path
    text: str


async def run(path, folder=None, overrides=(), only=(), qemu="newest", build=True, say=print, progress=Progress):
    """Runs the experiment of a TOML file; a Done. `folder`: for what comes out (build/experiments/NAME);
    `overrides`: more settings for [measure], as "KEY=VALUE"; `only`: names of the functions that are wanted."""
    from ..api import up_async  # pylint: disable=import-outside-toplevel,cyclic-import

    wanted = spec.read(path, kinds.SETTINGS, overrides, only)
    folder = pathlib.Path(folder or default_folder() / wanted.name)
    directory = tempfile.mkdtemp(prefix="pando-")
    try:
        pando = await up_async(directory, harts=wanted.harts, mem=wanted.mem, qemu=qemu, build=build, say=say)
        try:
            async with pando:
                out = Output(folder, wanted, say)
                await kinds.MEASURES[wanted.kind](Lab(pando, say, progress), wanted, out)
        finally:
            machine.stop(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return Done(folder, out.finish(qemu_version(qemu)))
