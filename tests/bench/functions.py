# SPDX-License-Identifier: BSD-2-Clause
"""A call of a function in Linux, stage by stage, and the boot of the same guest: instructions, one hart, by the host's package."""

import importlib
import statistics
import time

from drive import HOST, TOP, pando

host = importlib.import_module(HOST)

CALLS = 5  # after one that does not count
PAGE = 4096
STAGES = {"entry": "first instruction", "start": "handler begins", "end": "handler has ended", "answer": "answer"}
HELLOS = {  # runtime: (sample, how many times quicker than a boot)
    "c": ("hello.c", 500),
    "shell": ("hello.sh", None),
    "python": ("hello.py", 200),
}
LEARNED = 6  # calls, after which a write set is known and everything is warm
VARIANTS = {  # of the policy: what runs when the request comes
    "ahead": ("a new clone, its write set copied first", {}),
    "warm": ("a VM that was made ahead", {"warm": 2, "writeset": "off"}),
    "warm-ahead": ("the same, with its write set", {"warm": 2}),
    "reset-ahead": ("a VM that was reset, with its write set", {"mode": "reset"}),
    "keep": ("a VM that has served calls", {"mode": "keep"}),
}
NEEDS = {"c": "musl/.stamp", "shell": ".stamp", "python": "python/.stamp"}


def boot_instructions(machine, template):
    """From the kernel's entry to READY; under icount a nanosecond is an instruction."""
    (vm,) = machine.stat(template)["vms"]
    return vm["guest_ns"] + vm["hypervisor_ns"]


def call_after_a_while(machine, name):
    """Instructions from the request to the answer, when whatever was made ahead is where it waits for a call."""
    time.sleep(0.1)
    return machine.invoke(name, b"Bob").data["instret"]["answer"]


def measure(machine, report, runtime):
    handler, times = HELLOS[runtime]
    name = f"hello-{runtime}"
    machine.deploy(name, runtime=runtime, handler=str(TOP / "guests/functions" / handler), timeout=60000, boot_timeout=300)
    template = next(row["template"] for row in machine.functions() if row["name"] == name)
    machine.set_function(name, template, writeset="off")
    calls = [machine.invoke(name, b"Bob").data for _ in range(CALLS + 1)][1:]
    for stage, what in STAGES.items():
        cost = round(statistics.median(call["instret"][stage] for call in calls))
        report.add(f"function-{runtime}-{stage}", f"hello in {runtime}, from the request: {what}", cost)
    boot = boot_instructions(machine, name)
    report.add(f"function-{runtime}-boot", "the same guest booted: READY", boot)
    report.add(f"function-{runtime}-ratio", "boot to READY, over request to answer", boot / cost, times, unit="times", at_least=True)
    for variant, (what, options) in VARIANTS.items():
        machine.set_function(name, template, **options)
        answers = [call_after_a_while(machine, name) for _ in range(LEARNED + CALLS)][LEARNED:]
        report.add(f"function-{runtime}-{variant}", f"request to answer: {what}", round(statistics.median(answers)))
    frames = round(statistics.median(call["private_pages"] + call["table_frames"] for call in calls))
    report.add(f"function-{runtime}-memory", "memory of the clone at its answer, tables included", frames * PAGE, unit="bytes")


def run(folder, report):
    machine = host.up(str(folder), harts=1, mem="2G", build=False, icount=True, timeout=300)
    try:
        for runtime in HELLOS:
            if (pando.BUILD / "linux" / NEEDS[runtime]).exists():
                measure(machine, report, runtime)
            else:
                print(f"function in {runtime}: left out (scripts/setup musl python)")
    finally:
        machine.down()
