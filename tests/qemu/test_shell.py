# SPDX-License-Identifier: BSD-2-Clause
"""The shell, and how Pando refuses what cannot work: one clear line, the machine off, an exit code that is not zero."""

import re
import subprocess

import pytest

from pando import TOP, guest, make_bundle

COMMANDS = "vms vcpus boot freeze clone fork reset pause resume kill console watch help stat mem audit log version quit"


@pytest.fixture
def shell(start):
    return start(tiny=[("echo", "echo", "memory=4M,autoboot=0", ""), ("clock", "timer", "memory=4M,autoboot=0", "")])


def test_help(shell):
    listed = [line.split()[0] for line in shell.run("help") if line.startswith("  ")]
    assert set(COMMANDS.split()) <= set(listed)
    assert any("clone" in line and "-n" in line for line in shell.run("help clone"))
    shell.quit()


def test_mistakes(shell):
    for text, complaint in [
        ("nonsense", "unknown command"),
        ("boot", "usage|argument"),
        ("boot nobody", "nobody"),
        ("freeze nobody", "nobody"),
        ("clone echo -n 0", "-n|number|count"),
        ("clone echo -n many", "-n|number|count"),
        ("kill #999", "999"),
        ("quit 1000", "quit"),
        ("help nonsense", "nonsense"),
        ("vms too many words " + "x " * 30, "words|argument|usage"),
    ]:
        lines = shell.command(text.strip())
        assert any(re.search(complaint, line) for line in lines), (text, lines)
    shell.run("boot echo")
    lines = shell.command("clone echo")
    assert any("template" in line for line in lines), lines
    assert "error: echo: has no template to go back to" in shell.command("reset echo")
    shell.audit()
    shell.quit()


def test_completion_and_history(shell):
    shell.prompt()
    shell.type("aud\t\r")
    shell.line(r"^audit: clean", 10)
    shell.prompt()
    mark = shell.mark()
    shell.type("\x1b[A\r")
    shell.line(r"^audit: clean", 10, mark)
    shell.prompt()
    shell.type("boot clo\t\r")
    shell.line(r"^\[clock\] PANDO-GUEST timer ok", 60)
    mark = shell.mark()
    shell.type("xx\x7f\x7fversion\r")
    shell.line(r"^Pando .*harts", 10, mark)
    mark = shell.mark()
    shell.type("nonsense\x15vms\r")
    shell.line(r"^NAME", 10, mark)
    shell.quit(3)


def test_console(shell):
    """Attached, the keyboard is the guest's: each line comes back in capitals, long ones too."""
    shell.run("boot echo")
    shell.line(r"^\[echo\] type", 20)
    shell.prompt()
    shell.type("console echo\r")
    shell.line("attached to echo", 10)
    shell.type("good morning\r")
    shell.line("you said GOOD MORNING", 10)
    shell.type("a line that is much longer than the sixteen bytes of the fifo\r")
    shell.line("you said A LINE THAT IS MUCH LONGER THAN THE SIXTEEN BYTES OF THE FIFO", 10)
    shell.type("\x1d")
    shell.prompt()
    shell.run("vms")
    shell.type("console echo\r")
    shell.line("attached to echo", 10)
    shell.type("end\r")
    shell.line("PANDO-GUEST echo ok", 10)
    shell.type("\x1d")
    shell.quit()


def test_console_of_many(start):
    """Two guests that print at once do not mix within a line."""
    pando = start(tiny=[(f"f{i}", "traps", "memory=4M,autoboot=1", "") for i in range(4)], harts=2)
    for i in range(4):
        pando.verdict(f"f{i}", "traps", 60)
    pando.audit()
    pando.quit()


def test_quit_when_off(start):
    pando = start("--quit-when-off", tiny=[("hello", "hello", "memory=4M", "")])
    assert pando.end(30) == 0
    assert pando.all(r"^\[hello\] PANDO-GUEST hello ok")


# ---- refusals


def refused(pando, pattern):
    status = pando.end(30)
    lines = [line for line in pando.screen.lines if not line.startswith(("Boot ", "Domain", "Platform", "Firmware", "Runtime"))]
    if status == 0 or not pando.all(pattern):
        pando.fail(f"exit code {status}, wanted a line with {pattern!r}")
    assert not any("panic" in line for line in lines)


def test_no_bundle(start):
    refused(start.with_bundle("none"), "no bundle")


@pytest.mark.parametrize("content", [b"", b"x", b"not a device tree at all" * 100, b"\xd0\x0d\xfe\xed" + b"\xff" * 200], ids="empty one text magic".split())
def test_garbage_for_a_bundle(start, tmp_path, content):
    (tmp_path / "garbage").write_bytes(content)
    refused(start.with_bundle(tmp_path / "garbage"), "bundle")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_cut_bundle(start, tmp_path, part):
    whole = make_bundle(tmp_path / "b.dtb", "--vm", f"v,kernel={guest('hello')},memory=4M").read_bytes()
    (tmp_path / "cut.dtb").write_bytes(whole[: int(len(whole) * part)])
    refused(start.with_bundle(tmp_path / "cut.dtb"), "bundle")


VM = 'v { compatible = "pando,vm"; memory-size = <0 0x400000>; kernel = [6f 00 00 00]; %s };'
BAD = {
    "unknown-property": (VM % "speed = <5>;", "speed"),
    "no-memory": ('v { compatible = "pando,vm"; kernel = [6f 00 00 00]; };', "memory-size"),
    "odd-memory": ('v { compatible = "pando,vm"; memory-size = <0 0x100000>; kernel = [6f 00 00 00]; };', "memory-size"),
    "huge-memory": ('v { compatible = "pando,vm"; memory-size = <0x1000000 0>; kernel = [6f 00 00 00]; };', "memory-size"),
    "short-memory": ('v { compatible = "pando,vm"; memory-size = <0x400000>; kernel = [6f 00 00 00]; };', "memory-size"),
    "no-kernel": ('v { compatible = "pando,vm"; memory-size = <0 0x400000>; };', "kernel"),
    "no-vcpus": (VM % "vcpus = <0>;", "vcpus"),
    "many-vcpus": (VM % "vcpus = <9>;", "vcpus"),
    "bad-name": ('v.1 { compatible = "pando,vm"; memory-size = <0 0x400000>; kernel = [6f 00 00 00]; };', "name"),
    "not-a-vm": ('v { compatible = "cow"; memory-size = <0 0x400000>; kernel = [6f 00 00 00]; };', "compatible"),
    "nothing": ("", "no VM"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bundle(start, tmp_path, name):
    vms, complaint = BAD[name]
    text = '/dts-v1/; / { compatible = "pando,bundle"; vms { %s }; };' % vms
    path = tmp_path / "bad.dtb"
    subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", path, "-"], input=text.encode(), check=True, cwd=TOP)
    refused(start.with_bundle(path), rf"bundle.*{complaint}")


def test_image_larger_than_memory(start, tmp_path):
    (tmp_path / "big").write_bytes(bytes(5 << 20))
    refused(start("--vm", f"v,kernel={tmp_path / 'big'},memory=4M"), "bundle.*memory-size|cannot boot")


def test_no_h_extension(start):
    refused(start(tiny=[("hello", "hello", "memory=4M", "")], cpu="h=off"), r"\bH extension|hypervisor extension")


def test_too_little_memory(start):
    pando = start(tiny=[("hello", "hello", "memory=4M", "")], mem="5M")
    refused(pando, "memory")


def test_vm_larger_than_the_machine(start):
    """Memory is backed as it is touched: such a VM starts, and this one never touches much."""
    pando = start("--vm", f"v,kernel={guest('hello')},memory=1024M", mem="128M")
    pando.verdict("v", "hello", 30)
    pando.audit()
    pando.quit()
