# SPDX-License-Identifier: BSD-2-Clause
"""Templates as files: saved through a control port, loaded into another QEMU; their clones are what clones of the first one were."""

import contextlib
import hashlib
import re
import socket
import struct
import tempfile
import time

import pytest
from host import pando as host
from pando import QEMUS, SLOW, Pando, guest, make_bundle, qemu_version

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


@pytest.fixture(name="one")
def with_one_template(request, tmp_path):
    """A Pando with the template `work`; `.saved` are the bytes of its file, `.alone` the frames while there is nothing else. It ends with
    no frame missing."""
    bundle = make_bundle(tmp_path / "w.dtb", "--vm", f"work,kernel={guest('work')},memory=8M,autoboot=0")
    with machine(bundle, request.node.name) as pando:
        start = pando.frames()
        template(pando, "work")
        pando.alone = pando.frames()
        pando.saved = save_bare(pando, "work", tmp_path / "good").read_bytes()
        yield pando
        pando.kill_all(start)
        pando.quit()


def test_broken_and_cut(one):
    """One line says what is wrong, and nothing is left behind."""
    good = one.saved
    for at in (0, 20, 100, 700, len(good) // 2, len(good) - 1):
        bad = bytearray(good)
        bad[at] ^= 0x10
        with pytest.raises(host.CommandError) as refused:
            one.files.command("load", "bad", payload=bytes(bad))
        assert refused.value.code == "broken", at
        assert str(refused.value).count("\n") == 0 and "broken: " in str(refused.value)
    with pytest.raises(host.CommandError):
        one.files.command("load", "bad", payload=good[:-8])
    one.await_no_guests(one.alone)


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


JUDGES = {  # tiny guest, its arguments, properties of the machine's harts
    "all": ("clone", "pages=200 rounds=10", ""),
    "no-sstc": ("clone", "pages=200 rounds=10", "sstc=off"),
    "vlen-128": ("vector", "seed=7 ready=1 ms=600", "v=on,vlen=128"),
    "vlen-1024": ("vector", "seed=7 ready=1 ms=600", "v=on,vlen=1024"),
}


@pytest.mark.parametrize("qemu", QEMUS)
@pytest.mark.parametrize("judge", JUDGES)
def test_what_a_clone_finds(request, tmp_path, qemu, judge):
    """Guests that set up one of everything before they are frozen, and look for it in the clone (guests/tiny/clone.c, vector.c)."""
    name, args, cpu = JUDGES[judge]
    quirk = "" if qemu_version(qemu) >= (8, 0) else " sip=0"
    vm = f"t,kernel={guest(name)},memory=8M,vcpus=2,autoboot=0"
    bundle = make_bundle(tmp_path / "t.dtb", "--vm", vm, "--bootargs", f"t={args}{quirk}")
    with machine(bundle, request.node.name + ".save", qemu=qemu, cpu=cpu) as pando:
        template(pando, "t")
        pando.files.save("t", tmp_path / "t.tpl")
    with machine(bundle, request.node.name + ".load", qemu=qemu, cpu=cpu) as pando:
        before = pando.frames()
        pando.files.load("t", tmp_path / "t.tpl")
        pando.run("clone t -n 3")
        for i in (1, 2, 3):
            pando.line(rf"\bt\.{i}: off:", 180)
            assert f"PANDO-GUEST {name} ok" in pando.output_of(f"t.{i}")
        pando.kill_all(before)
        pando.quit()


@pytest.mark.skipif(len(QEMUS) < 2, reason="one version of QEMU only")
def test_between_versions(request, tmp_path):
    """A newer machine has all that an older one's guest was promised; the other way round the file is refused."""
    bundle = make_bundle(tmp_path / "w.dtb", "--vm", f"work,kernel={guest('work')},memory=8M,autoboot=0")
    for qemu in QEMUS:
        with machine(bundle, f"{request.node.name}.{qemu}.save", qemu=qemu) as pando:
            template(pando, "work")
            pando.files.save("work", tmp_path / qemu)
    with machine(bundle, request.node.name + ".newest.load") as pando:
        pando.files.load("older", tmp_path / "system")
        pando.run("clone older")
        assert work(pando, "older.1", "hello") == ["older.1: 5 bytes: HELLO"]
    with machine(bundle, request.node.name + ".system.load", qemu="system") as pando:
        before = pando.frames()
        with pytest.raises(host.CommandError) as refused:
            pando.files.load("newer", tmp_path / "newest")
        assert refused.value.code == "broken" and re.search(r"broken: machine: no \w+ here", str(refused.value))
        pando.await_no_guests(before)


@contextlib.contextmanager
def bare_client(control):
    """A socket on which Pando has answered hello."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{control}/control.3")
        client.settimeout(0.5)
        said = b""
        while b'{"hello":"bare"' not in said:
            client.sendall(b"\nhello bare\n")
            with contextlib.suppress(TimeoutError):
                said += client.recv(4096)
        client.settimeout(20 * SLOW)
        yield client


def test_client_leaves(one):
    """In the middle of a load, or of a save."""
    for _ in range(5):
        with bare_client(one.files.directory) as client:
            client.sendall(f"1 load half +{len(one.saved)}\n".encode() + one.saved[: len(one.saved) // 2])
        with bare_client(one.files.directory) as client:
            client.sendall(b"1 save work\n")
            client.recv(1000)
    one.await_no_guests(one.alone)
    assert one.run("vms -s")[0].startswith("1 VM")
    one.files.command("load", "whole", payload=one.saved)


def test_no_memory(request, tmp_path):
    """Templates are loaded until there is no room for another: that one leaves nothing, and the others still serve."""
    bundle = make_bundle(tmp_path / "b.dtb", "--vm", f"t,kernel={guest('bench')},memory=64M,autoboot=0,dedup=off", "--bootargs", "t=touch=8")
    with machine(bundle, request.node.name, mem="192M") as pando:
        start = pando.frames()
        template(pando, "t")
        bare = save_bare(pando, "t", tmp_path / "t").read_bytes()
        pando.run("kill t")
        n, refused = 0, None
        while refused is None and n < 30:
            before = pando.frames()
            try:
                pando.files.command("load", f"copy{n}", payload=bare)
                n += 1
            except host.CommandError as error:
                refused = error
        assert n > 2 and refused.code == "nomem" and "out of memory" in str(refused), refused
        pando.await_no_guests(before)
        pando.run("kill copy0")
        pando.files.command("load", "again", payload=bare)
        pando.kill_all(start)
        pando.quit()


@pytest.mark.parametrize("policy", ["continue", "jump"])
def test_time(request, tmp_path, policy):
    """Three seconds on the disk: the clone sees them or does not, by people's clock, as Pando's own began anew."""
    vm = f"t,kernel={guest('pauses')},memory=8M,autoboot=0,time={policy}"
    bundle = make_bundle(tmp_path / "p.dtb", "--vm", vm, "--bootargs", "t=ms=100")
    with machine(bundle, request.node.name + ".save", harts=1) as pando:
        begin = time.monotonic()
        template(pando, "t")
        frozen = time.monotonic()
        pando.files.save("t", tmp_path / "t.tpl")
        pando.quit()
    time.sleep(3)
    with machine(bundle, request.node.name + ".load", harts=1) as pando:
        pando.files.load("t", tmp_path / "t.tpl")
        cloned = time.monotonic()
        pando.run("clone t")
        pando.run("watch t.1")
        away = int(pando.line(r"^\[t\.1\] away (\d+) ms", 60)[1]) / 1000
        if policy == "continue":
            assert away < (cloned - frozen) / 2
        else:  # QEMU's clock begins at a whole second
            assert cloned - frozen - 1.1 < away < time.monotonic() - begin + 1.1


def test_function(request, tmp_path):
    """What was loaded serves calls as what was booted."""
    bundle = make_bundle(tmp_path / "f.dtb", "--vm", f"f,kernel={guest('function')},memory=8M,autoboot=0")
    with machine(bundle, request.node.name + ".save") as pando:
        template(pando, "f")
        pando.files.save("f", tmp_path / "f.tpl")
    with machine(bundle, request.node.name + ".load") as pando:
        pando.files.load("kept", tmp_path / "f.tpl")
        pando.files.set_function("f", "kept", warm=2)
        for i in range(20):
            assert pando.files.invoke("f", b"call %d" % i).payload == b"call %d" % i
        pando.files.set_function("f", "kept", mode="reset", warm=0)
        for i in range(20):
            assert pando.files.invoke("f", b"call %d" % i).payload == b"call %d" % i


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
        for i in (1, 2, 3):
            seen.extend(pando.run(f"result linux.{i}")[0].split()[3:])
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
