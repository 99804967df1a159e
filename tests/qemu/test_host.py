# SPDX-License-Identifier: BSD-2-Clause
"""scripts/pando with a real Pando: up to down, functions with every way to fail, the gateway under wrk, several clients, templates as
files. tests/command has what a fake can show."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import pexpect
import pytest

import host
from pando import BUILD, QEMUS, SLOW, SOAK, TOP, guest, make_bundle

PANDO = TOP / "scripts/pando"


class Here:
    """The command in a directory of its own, which is as short as a socket wants it."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pando"))

    def popen(self, *words, **options):
        command = [PANDO, *map(str, words), "--dir", self.directory]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def run(self, *words, status=0, data=None, limit=60):
        """Its stdout; the exit status must be as told, if one is."""
        process = self.popen(*words, stdin=subprocess.DEVNULL if data is None else subprocess.PIPE)
        out, err = process.communicate(data, timeout=limit * SLOW)
        self.err = err.decode()
        assert status is None or process.returncode == status, (words, out, self.err, self.console())
        return out.decode(errors="replace")

    def json(self, *words, **options):
        return json.loads(self.run(*words, "--json", **options))

    def console(self):
        path = self.directory / "console.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def up(self, bundle, *options):
        return self.json("up", "--no-build", "--mem", "1G", "--bundle", bundle, "--timeout", 30 * SLOW, *options)

    def frames(self):
        """Free ones, and those that keep records for the next VM."""
        classes = {each["name"]: each["frames"] for each in self.json("mem")["classes"]}
        return classes["free"] + classes["records"]

    def await_frames(self, before):
        """Harts free what a killed VM had when they are idle."""
        end = time.monotonic() + 20 * SLOW
        while (now := self.frames()) != before:
            assert time.monotonic() < end, f"{before} frames before, {now} now"
            time.sleep(0.2)

    def function(self, *options):
        """The tiny guest as the function f."""
        self.run("boot", "f")
        self.run("freeze", "f")
        self.run("deploy", "f", "--template", "f", *options)

    def end(self):
        subprocess.run([PANDO, "down", "--dir", self.directory], capture_output=True, check=False)
        shutil.rmtree(self.directory)


@pytest.fixture
def here():
    made = Here()
    yield made
    made.end()


@pytest.fixture
def tiny(tmp_path):
    return make_bundle(tmp_path / "f.dtb", "--vm", f"f,kernel={guest('function')},memory=8M,autoboot=0")


@pytest.mark.parametrize("qemu", QEMUS)
def test_up_to_down(here, tiny, qemu):
    pid = here.up(tiny, "--qemu", qemu)["pid"]
    assert here.json("status")["pid"] == pid
    here.run("up", "--no-build", "--bundle", tiny, status=1)
    assert "is running in" in here.err
    here.function()
    before = here.frames()
    assert here.run("invoke", "f", "--data", "hello there") == "hello there"
    big = bytes(range(256)) * 4096
    (here.directory / "big").write_bytes(big)
    process = here.popen("invoke", "f", "--data-file", here.directory / "big")
    assert process.communicate(timeout=60 * SLOW)[0] == big
    here.run("clone", "f", "-n", "3")
    assert "audit: clean" in here.run("audit")
    for vm in here.json("vms")["vms"][1:]:
        here.run("kill", vm["name"])
    here.await_frames(before)
    assert here.json("down")["pid"] == pid
    assert not pathlib.Path(f"/proc/{pid}").exists() or "Z" in pathlib.Path(f"/proc/{pid}/stat").read_text()
    here.run("status", status=3)
    here.run("down", status=3)
    assert sorted(path.suffix for path in here.directory.iterdir() if path.is_socket()) == []
    here.up(tiny, "--qemu", qemu)


def test_what_cannot_come_up(here, tiny):
    here.run("up", "--no-build", "--bundle", "nothing.dtb", status=1)
    assert "no nothing.dtb" in here.err
    here.run("up", "--no-build", "--bundle", TOP / "README.md", status=1)
    assert "is not a device tree blob" in here.err
    here.run("up", "--no-build", "--bundle", tiny, "--qemu", "1.2", status=1)
    assert "no QEMU 1.2" in here.err
    here.up(tiny)


def test_a_qemu_that_was_killed(here, tiny):
    pid = here.up(tiny)["pid"]
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 20 * SLOW
    while here.json("status", status=None).get("running", True):  # or it has a complaint: it runs, and does not answer
        assert time.monotonic() < end
    here.run("vms", status=3)
    here.up(tiny)
    assert here.run("vms", "-s") == "0 VMs\n"


def test_failures_of_calls(here, tiny):
    here.up(tiny)
    here.function("--timeout", "1000")
    for payload, code in [("fail", "function"), ("die", "crash"), ("long", "toolong"), ("off", "crash"), ("hang", "timeout")]:
        error = here.json("invoke", "f", "--data", payload, status=4)["error"]
        assert error["code"] == code, error
        if payload == "fail":
            assert error["payload"] == "as it was told"
    assert here.json("invoke", "nobody", status=1)["error"]["code"] == "absent"
    found = here.json("invoke", "f", "--data", "fail", "--n", "20", "--concurrency", "5", status=4)
    assert found["failed"] == {"function": 20}
    assert here.run("invoke", "f", "--data", "fine") == "fine"


@pytest.mark.parametrize("mode", ["fresh", "reset", "keep"])
def test_many_calls(here, tiny, mode):
    here.up(tiny)
    here.function("--mode", mode)
    before = here.frames()
    n = 100000 if SOAK else 1000
    found = here.json("invoke", "f", "--data", "touch 10", "--n", str(n), "--concurrency", "50", limit=120 if n == 1000 else 3600)
    assert found["ok"] == n and not found["failed"]
    assert set(found["ns"]) >= {"call", "handler", "answer"}
    found = here.json("invoke", "f", "--data", "x", "--n", "100", "--warm", "8", limit=120)
    assert found["ok"] == 100
    here.run("undeploy", "f", "--keep-template")
    assert here.run("vms", "-s").startswith("1 VM")
    here.await_frames(before)


def test_a_function_is_switched_under_load(here, tiny):
    """Not a call is lost, and the old template's memory comes back."""
    here.up(tiny)
    here.function()
    calls = here.popen("invoke", "f", "--data", "x", "-n", "3000", "-c", "16", "--json", stdin=subprocess.DEVNULL)
    for old, new in [("f", "f-2"), ("f-2", "f"), ("f", "f-2")]:
        here.run("boot", "f")
        here.run("freeze", new)
        assert here.json("deploy", "f", "--template", new)["replaced"] == old
    assert json.loads(calls.communicate(timeout=120 * SLOW)[0])["ok"] == 3000
    assert here.run("vms", "-s").startswith("1 VM")
    assert "audit: clean" in here.run("audit")


def position(process, path):
    """How far a process has read a file."""
    with contextlib.suppress(OSError):
        for fd in pathlib.Path(f"/proc/{process.pid}/fd").iterdir():
            if os.readlink(fd) == str(path):
                return int(re.search(r"pos:\s*(\d+)", (fd.parents[1] / "fdinfo" / fd.name).read_text())[1])
    return 0


def kill_in_a_payload(here, file):
    """Of a client that uploads a file: some of it is in Pando, and not all."""
    process = here.popen("boot", "x", "--kernel", file, "--memory", "64M", stdin=subprocess.DEVNULL)
    end = time.monotonic() + 30 * SLOW
    while position(process, file) < 4 << 20:
        assert time.monotonic() < end and process.poll() is None
    process.send_signal(signal.SIGSTOP)
    assert position(process, file) < file.stat().st_size
    process.kill()
    process.communicate()


def test_several_clients_at_once(here, tiny):
    """Four ports, more programs; one of them is killed in the middle of a payload."""
    here.up(tiny)
    here.function()
    before = here.frames()
    file = here.directory / "big"
    with open(file, "wb") as big:
        big.truncate(200 << 20)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(here.json, "invoke", "f", "--data", f"number {i}", "-n", "50", "-c", "10") for i in range(6)]
        for _ in range(3):
            kill_in_a_payload(here, file)
        assert all(run.result()["ok"] == 50 for run in runs)
    assert here.run("names", "images").split() == ["f/kernel"]  # the bundle's
    here.await_frames(before)


def test_calls_of_a_client_that_is_gone(here, tiny):
    """Their clones are killed, and the port is the next client's."""
    here.up(tiny)
    here.function("--timeout", "600000")
    before = here.frames()
    client = here.popen("invoke", "f", "--data", "hang", "-n", "10", "-c", "10")
    end = time.monotonic() + 30 * SLOW
    while here.json("functions")["functions"][0]["running"] < 10:
        assert time.monotonic() < end and client.poll() is None
    client.kill()
    client.communicate()
    while here.json("functions")["functions"][0]["running"] > 0:
        assert time.monotonic() < end
    here.await_frames(before)
    assert here.run("vms", "-s").startswith("1 VM")
    assert here.run("invoke", "f", "--data", "next") == "next"


def test_events_and_console(here, tiny):
    here.up(tiny)
    listening = here.popen("events", "-n", "3")
    assert listening.stderr.readline() == b"listening\n"
    here.function()
    here.run("clone", "f")
    lines = listening.communicate(timeout=60 * SLOW)[0].decode().splitlines()
    assert [line.split()[2:4] for line in lines] == [["f", "booted"], ["f", "ready"], ["f", "frozen"]]
    here.run("console", "f.1", data=b"")
    here.run("console", "nobody", data=b"", status=1)


def test_a_template_as_a_file(here, tiny):
    here.up(tiny)
    here.function()
    file = here.directory / "f.tpl"
    here.run("save", "f", file)
    here.run("down")
    here.up(tiny)
    here.run("load", file)
    here.run("deploy", "f", "--template", "f")
    assert here.run("invoke", "f", "--data", "again") == "again"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    here.run("load", file, "--name", "g", status=1)
    (here.directory / "odd").write_bytes(b"PANDO?" * 1000)
    assert here.json("load", here.directory / "odd", "--name", "g", status=1)["error"]["code"] == "broken"


def test_the_module(here, tiny):
    directory = str(here.directory)
    with host.pando.up(directory, build=False, bundle=str(tiny), mem="1G", timeout=30 * SLOW) as pando:
        assert pando.boot("f", wait=int(60000 * SLOW)) == "f"
        pando.freeze("f")
        pando.set_function("f", "f", warm=2)
        assert pando.invoke("f", "hello").text() == "hello"
        with pytest.raises(host.pando.FunctionFailed) as caught:
            pando.invoke("f", "fail")
        assert caught.value.payload == b"as it was told"
        assert len(pando.invoke_many("f", "x", n=100, concurrency=20).calls) == 100
        events = pando.events(timeout=1)
        pando.clone("f")
        pando.down()
        del events


class Gateway:
    def __init__(self, here):
        self.process = here.popen("serve", "--port", "0")
        line = self.process.stdout.readline().decode()
        assert line.startswith("serving "), self.process.stderr.read()
        self.url = line.split()[1]

    def ask(self, path, data=None):
        try:
            with urllib.request.urlopen(self.url + path, data, timeout=60 * SLOW) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def test_gateway(here, tiny):
    here.up(tiny)
    here.function("--timeout", "1000")
    gateway = Gateway(here)
    try:
        assert gateway.ask("/function/f", b"over HTTP") == (200, b"over HTTP")
        for payload, status in [(b"fail", 500), (b"die", 502), (b"long", 502), (b"hang", 504)]:
            assert gateway.ask("/function/f", payload)[0] == status
        assert gateway.ask("/function/nobody", b"")[0] == 404
        here.run("deploy", "f", "--template", "f", "--timeout", "60000")
        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            bodies = [f"number {i}".encode() for i in range(200)]
            assert list(pool.map(lambda body: gateway.ask("/function/f", body), bodies)) == [(200, body) for body in bodies]
        if shutil.which("wrk"):
            command = ["wrk", "-t1", "-c40", "-d5s", "--timeout", "60s", f"{gateway.url}/function/f"]
            out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60 * SLOW).stdout
            assert int(re.search(r"(\d+) requests in", out)[1]) > 50, out
            assert "Socket errors" not in out and "Non-2xx" not in out, out
        text = gateway.ask("/metrics")[1].decode()
        assert 'pando_call_stage_seconds_count{function_name="f",stage="handler"}' in text and "pando_up 1.0" in text
        here.run("down")
        assert gateway.ask("/function/f", b"x")[0] == 503
        gateway.process.send_signal(signal.SIGTERM)
        assert (gateway.process.communicate(timeout=60)[1], gateway.process.returncode) == (b"", 0)
    finally:
        gateway.process.kill()
        gateway.process.communicate()


def test_consoles_on_a_terminal(here, linux):
    here.up(BUILD / "functions.dtb", "--mem", "1G")
    here.run("boot", "linux", limit=150)
    here.run("freeze", "linux")
    here.run("clone", "linux")

    def attach(*words):
        return pexpect.spawn(str(PANDO), [*words, "--dir", str(here.directory)], timeout=60 * SLOW)

    console = attach("console", "linux.1")
    console.expect("attached to linux.1")
    console.send("\r")
    console.expect("# ")
    console.send("echo $((6*7))\r")
    console.expect("\r\n42")
    console.send("\x1d")
    console.expect("detached")
    console.expect(pexpect.EOF)
    shell = attach("shell")
    shell.expect("pando> ")
    shell.send("version\r")
    shell.expect("Pando 0")
    here.run("down")
    shell.expect(pexpect.EOF)  # nobody has to press a key for that
    for ended in (console, shell):
        ended.close()
        assert ended.exitstatus == 0
    assert linux


def test_from_handler_to_answer(here, linux):
    """The way of docs/host.md, with Debian's kernel."""
    here.up(BUILD / "functions.dtb", "--mem", "1G")
    here.run("deploy", "hello", "--handler", TOP / "guests/functions/hello.c", limit=150)
    first = here.run("invoke", "hello", "--data", "Bob")
    assert "Bob" in first
    found = here.json("deploy", "hello", "--handler", TOP / "guests/functions/hello.c", limit=150)
    assert (found["template"], found["replaced"]) == ("hello-2", "hello")
    assert here.run("invoke", "hello", "--data", "Bob") == first
    call = here.json("timeline", "hello", "--data", "Bob", "--svg", here.directory / "t.svg")
    assert [stage["stage"] for stage in call["stages"]][-3:] == ["handler", "answer", "gone"]
    assert (here.directory / "t.svg").read_text().startswith("<svg")
    assert here.run("vms", "-s").startswith("1 VM")
    assert linux
