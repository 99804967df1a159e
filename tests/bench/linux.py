# SPDX-License-Identifier: BSD-2-Clause
"""The Debian guest: what its boot costs."""

import re
import subprocess

import pando
from drive import TOP


def boot(report):
    command = [TOP / "scripts/measure-boot", "--pando"]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Pando: [\d.]+ M, ([\d.]+) times", output.stdout)
    if not found:
        raise pando.Failure(f"measure-boot: {output.stdout}{output.stderr}")
    report.add("boot", "Linux to /init, 512 MiB: times bare QEMU's instructions", float(found[1]), 1.10, 1.46, "ratio")


def run(_, report):
    boot(report)
