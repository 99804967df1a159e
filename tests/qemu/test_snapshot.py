# SPDX-License-Identifier: BSD-2-Clause
"""Templates as files: saved through a control port, loaded into another QEMU; their clones are what clones of the first one were."""

import contextlib
import hashlib
import re
import struct
import tempfile

import pytest
from host import pando as host
from pando import QEMU, Pando, guest, make_bundle, qemu_version

QEMUS = [QEMU] if QEMU != "newest" or qemu_version() == qemu_version("system") else ["newest", "system"]
HEADER = struct.Struct("<8sIIQQQ32sQ")


@contextlib.contextmanager
def machine(bundle, name, **options):
    """A Pando with its prompt; `.files` is the host's package, connected to it."""
    with tempfile.TemporaryDirectory(prefix="pando") as control:
        with Pando(bundle, name, control=control, **options) as pando:
            pando.prompt(60)
            pando.files = host.connect(control)
            try:
                yield pando
            finally:
                pando.files.close()


def template(pando, name, limit=150):
    pando.run(f"boot {name}")
    pando.freeze_at_ready(name, limit)


def save_bare(pando, name, path):
    """Without the host's compression."""
    answer = pando.files.command("save", name)
    path.write_bytes(answer.payload)
    assert answer.data["len"] == len(answer.payload)
    return path


def work(pando, vm, text):
    start = pando.mark()
    pando.run(f"give {vm} {text}")
    pando.line(rf"\b{re.escape(vm)}: done", 20, start)
    return [line for line in pando.run(f"result {vm}") if line.startswith(f"{vm}:")]


@pytest.mark.parametrize("qemu", QEMUS)
def test_small(request, tmp_path, qemu):
    bundle = make_bundle(tmp_path / "w.dtb", "--vm", f"work,kernel={guest('work')},memory=8M,vcpus=2,autoboot=0,no-memory=kill")
    with machine(bundle, request.node.name + ".save", qemu=qemu) as pando:
        template(pando, "work")
        saved = pando.files.save("work", tmp_path / "work.tpl")
        bare = save_bare(pando, "work", tmp_path / "work.bare").read_bytes()
        assert saved["bytes"] == len(bare) and saved["packed"] < len(bare)
        magic, version, header, length, ram, pages, name, _ = HEADER.unpack(bare[: HEADER.size])
        assert (magic, version, header, length, ram) == (b"PandoTpl", 1, HEADER.size, len(bare), 8 << 20)
        assert name.rstrip(b"\0") == b"work" and 0 < pages * 4096 < len(bare)
    with machine(bundle, request.node.name + ".load", qemu=qemu) as pando:
        before = pando.frames()
        pando.files.load("kept", tmp_path / "work.tpl")
        assert "nomem=kill" in " ".join(pando.run("policy kept"))
        pando.run("clone kept -n 3")
        for i in (3, 1, 2):
            assert work(pando, f"kept.{i}", f"loud {i}") == [f"kept.{i}: 6 bytes: LOUD {i}"]
        pando.run("reset kept.1")
        assert work(pando, "kept.1", "again") == ["kept.1: 5 bytes: AGAIN"]
        # And what was loaded can be saved: it is the same but for the name and the clock.
        again = save_bare(pando, "kept", tmp_path / "again.bare").read_bytes()
        assert len(again) == len(bare)
        for bad in ("kept", "a.b"):
            with pytest.raises(host.CommandError):
                pando.files.load(bad, tmp_path / "work.tpl")
        pando.kill_all(before)
        pando.quit()


def test_broken_and_cut(request, tmp_path):
    """One line says what is wrong, and nothing is left behind; nor when the connection ends in the middle."""
    bundle = make_bundle(tmp_path / "w.dtb", "--vm", f"work,kernel={guest('work')},memory=8M,autoboot=0")
    with machine(bundle, request.node.name) as pando:
        start = pando.frames()
        template(pando, "work")
        before = pando.frames()
        good = save_bare(pando, "work", tmp_path / "good").read_bytes()
        for at in (0, 20, 100, 700, len(good) // 2, len(good) - 1):
            bad = bytearray(good)
            bad[at] ^= 0x10
            with pytest.raises(host.CommandError) as refused:
                pando.files.command("load", "bad", payload=bytes(bad))
            assert refused.value.code == "broken", at
            assert str(refused.value).count("\n") == 0 and "broken: " in str(refused.value)
        with pytest.raises(host.CommandError):
            pando.files.command("load", "bad", payload=good[:-8])
        pando.await_no_guests(before)
        pando.kill_all(start)
        pando.quit()


def bench_lines(pando, vm):
    """What the bench guest has measured in itself, up to its second stage."""
    start = pando.mark()
    pando.run(f"watch {vm}", 60)
    pando.line(rf"^\[{re.escape(vm)}\] STAGE derive", 120, start)
    return {m[1]: (m[2], m[3]) for m in pando.all(rf"^\[{re.escape(vm)}\] BENCH (\S+) (\d+) (\d+)", start)}


def test_clones_cost_the_same(request, tmp_path):
    """In instructions: the clone call, and all that the bench guest measures in a clone, from its first break on."""
    vm = f"t,kernel={guest('bench')},memory=64M,autoboot=0,dedup=off"
    bundle = make_bundle(tmp_path / "b.dtb", "--vm", vm, "--bootargs", "t=touch=8")
    with machine(bundle, request.node.name, harts=1, mem="1G", icount=True) as pando:
        template(pando, "t")
        pando.files.save("t", tmp_path / "t.tpl")
        pando.files.load("u", tmp_path / "t.tpl")
        calls, figures = {}, {}
        for name in ("t", "u", "t", "u"):  # the machine's first clone finds no stocks, a template's first one has a short name
            answer = pando.files.command("clone", name)
            clone = answer.data["vms"][0]
            calls[name] = answer.data["instret"]
            figures[name] = bench_lines(pando, clone)
            pando.run(f"kill {clone}")
        assert calls["t"] == calls["u"]
        assert "first-break" in figures["t"]
        assert figures["t"] == figures["u"]
        pando.quit()


@pytest.mark.parametrize("qemu", QEMUS)
def test_linux(request, tmp_path, linux, qemu):
    """Debian's Linux, with two vCPUs: what the demo asks of a clone, random numbers, time; after a restart of QEMU."""
    options = linux(memory="128M", vcpus=2, autoboot=0)
    bundle = make_bundle(tmp_path / "l.dtb", *options)
    with machine(bundle, request.node.name + ".save", qemu=qemu, mem="1G") as pando:
        template(pando, "linux")
        pando.files.save("linux", tmp_path / "linux.tpl")
    with machine(bundle, request.node.name + ".load", qemu=qemu, mem="1G") as pando:
        before = pando.frames()
        pando.files.load("linux", tmp_path / "linux.tpl")
        pando.run("clone linux -n 8")
        for i in range(1, 9):
            pando.line(rf"\blinux\.{i}: done after", 120)
        for i in range(1, 9):  # each computes a text with its own number, as in the demo (scripts/mkexpect)
            expected = hashlib.sha256(f"pando clone {i}".encode()).hexdigest()
            assert expected in "".join(pando.run(f"result linux.{i}"))
        pando.kill_all(before)
        pando.quit()


@pytest.mark.parametrize("qemu", QEMUS)
def test_linux_identity(request, tmp_path, linux, qemu):
    """Clones of what was loaded are told that they are others, and draw other numbers than clones in the machine before."""
    bootargs = "pando.mode=random loglevel=6"
    bundle = make_bundle(tmp_path / "l.dtb", *linux(memory="128M", vcpus=2, autoboot=0, bootargs=bootargs))
    seen = []

    def draw(pando):
        pando.run("clone linux -n 3")
        for i in (1, 2, 3):
            pando.line(rf"\blinux\.{i}: done after", 120)
            seen.extend(re.search(r"bytes: (.*)", "".join(pando.run(f"result linux.{i}")))[1].split())
            assert "crng reseeded due to virtual machine fork" in "\n".join(pando.output_of(f"linux.{i}"))

    with machine(bundle, request.node.name + ".save", qemu=qemu, mem="1G") as pando:
        template(pando, "linux")
        pando.files.save("linux", tmp_path / "linux.tpl")
        draw(pando)
    with machine(bundle, request.node.name + ".load", qemu=qemu, mem="1G") as pando:
        pando.files.load("linux", tmp_path / "linux.tpl")
        draw(pando)
        pando.quit()
    assert len(seen) == len(set(seen)) == 36
