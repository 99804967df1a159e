# SPDX-License-Identifier: BSD-2-Clause
"""Functions in Debian's Linux: the samples against the same computed here, every way to fail in every runtime, payloads of any
length, and the identity of a clone. Deployed and called by the host's package, as `scripts/pando` does it."""

import functools
import gzip
import hashlib
import importlib.util
import json
import os
import pathlib
import random
import re
import shutil
import tempfile
import time

import pytest
from host import pando as host
from pando import BUILD, QEMU, QEMUS, SLOW, SOAK, TOP, log_of

SAMPLES = TOP / "guests/functions"
ODD = TOP / "tests/qemu/functions"
RUNTIMES = {"c": "c", "sh": "shell", "py": "python"}
PARTS = [".stamp", "musl/.stamp", "python/.stamp"]
LIMIT_MS = int(60000 * SLOW)  # of a call that is not meant to run into it


class Machine:
    """One Pando, and the functions that tests have asked for."""

    def __init__(self, qemu):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="pando"))
        self.qemu = qemu
        self.pando = host.up(str(self.directory), harts=2, mem="4G", build=False, qemu=qemu, timeout=60 * SLOW)
        self.free = self.free_frames()
        self.deployed = functools.cache(self._deploy)

    def _deploy(self, path):
        name = f"{path.stem.replace('_', '-')}-{path.suffix[1:]}"
        runtime = RUNTIMES[path.suffix[1:]]
        self.pando.deploy(name, runtime=runtime, handler=str(path), timeout=LIMIT_MS, boot_timeout=120 * SLOW)
        return name

    def call(self, path, data=b"", **options):
        """The answer; the machine fails the test with the codes of host.errors."""
        return self.pando.invoke(self.deployed(path), data, **options).payload

    def await_ready(self, name, n):
        """Until as many VMs wait for work."""
        end = time.monotonic() + 60 * SLOW
        while [each["ready"] for each in self.pando.functions() if each["name"] == name] != [n]:
            assert time.monotonic() < end
            time.sleep(0.2)

    def free_frames(self):
        """Free ones, and those of records, which are kept for the next VM."""
        rows = re.findall(r"^  (free|records)\s+(\d+) frames", self.pando.command("mem").text, re.MULTILINE)
        return sum(int(frames) for _, frames in rows)

    def judge_memory(self):
        """After all the calls, and with the functions gone, what was free at the start is free."""
        for function in self.pando.functions():
            self.pando.remove_function(function["name"])
        for vm in self.pando.vms():
            self.pando.kill(vm["name"])
        assert "clean" in self.pando.command("audit").text
        end = time.monotonic() + 20 * SLOW
        while (free := self.free_frames()) != self.free:
            assert time.monotonic() < end, f"{self.free} frames were free, {free} are"
            time.sleep(0.2)

    def end(self):
        self.pando.down()
        worker = os.environ.get("PYTEST_XDIST_WORKER", "0")  # each has a machine of its own
        shutil.copy(self.directory / "console.log", log_of(f"{self.qemu}.{worker}"))
        shutil.rmtree(self.directory)


def started(qemu):
    if not all((BUILD / "linux" / part).exists() for part in PARTS):
        pytest.skip("not all of the guest's packages are there (scripts/setup guest musl python)")
    return Machine(qemu)


@pytest.fixture(name="machine", scope="module")
def only_machine():
    running = started(QEMU)
    try:
        yield running
        running.judge_memory()
    finally:
        running.end()


def sample(name):
    """A sample in Python, as a module of this Python."""
    spec = importlib.util.spec_from_file_location(f"sample_{name}", SAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- samples


@pytest.mark.parametrize("suffix", RUNTIMES)
def test_hello(machine, suffix):
    end = b"\n" if suffix == "sh" else b""
    for data, name in ((b"Bob", b"Bob"), (b"", b"world")):
        assert machine.call(SAMPLES / f"hello.{suffix}", data) == b"Hello, " + name + b"!" + end


def test_sha256(machine):
    for length in (0, 1, 55, 56, 63, 64, 65, 1022, 1023, 1024, 100_000):
        data = random.Random(length).randbytes(length)
        assert machine.call(SAMPLES / "sha256.c", data).decode() == hashlib.sha256(data).hexdigest(), length


def distances(text):
    """What bfs.c computes."""
    numbers = [int(word) for word in text.split()]
    edges = {}
    for a, b in zip(numbers[1::2], numbers[2::2]):
        edges.setdefault(a, []).append(b)
        edges.setdefault(b, []).append(a)
    found, queue = {numbers[0]: 0}, [numbers[0]]
    for vertex in queue:
        for other in edges.get(vertex, []):
            if other not in found:
                found[other] = found[vertex] + 1
                queue.append(other)
    return found


def test_bfs(machine):
    rng = random.Random(1)
    for n in (1, 10, 3000):
        text = f"{rng.randrange(n)}\n" + "".join(f"{rng.randrange(n)} {rng.randrange(n)}\n" for _ in range(2 * n))
        lines = machine.call(SAMPLES / "bfs.c", text).decode().splitlines()
        found = {int(vertex): int(distance) for vertex, distance in map(str.split, lines)}
        assert found == distances(text)
        assert list(found.values()) == sorted(found.values())
    with pytest.raises(host.FunctionFailed) as failed:
        machine.call(SAMPLES / "bfs.c", "0\n1 2\n3")
    assert failed.value.payload == b"edge 2 has one vertex"


def test_gzip(machine):
    for data in (b"", b"abc" * 1000, random.Random(2).randbytes(70_000)):
        assert gzip.decompress(machine.call(SAMPLES / "gzip.sh", data)) == data


def test_json_transform(machine):
    items = [{"name": name, "price": 100 + i, "quantity": i % 5} for i, name in enumerate(["tea", "Käse", "pão", "rye", "soy"])]
    order = json.dumps({"customer": "Ana", "items": items})
    assert json.loads(machine.call(SAMPLES / "json_transform.py", order)) == json.loads(sample("json_transform").handle(order))
    with pytest.raises(host.FunctionFailed) as failed:
        machine.call(SAMPLES / "json_transform.py", "{")
    assert b"JSONDecodeError: Expecting property name" in failed.value.payload


def test_sqlite(machine):
    here = sample("sqlite")
    for country in here.COUNTRIES:
        assert json.loads(machine.call(SAMPLES / "sqlite.py", country)) == json.loads(here.handle(country.encode()))
    with pytest.raises(host.FunctionFailed) as failed:
        machine.call(SAMPLES / "sqlite.py", "Atlantis")
    assert failed.value.payload.endswith(b"LookupError: no orders from 'Atlantis'")


# ---- payloads


@pytest.mark.parametrize("suffix", RUNTIMES)
def test_payloads_of_any_length_come_back(machine, suffix):
    for length in (0, 1, 1023, 1024, 4096, 4097, 65_536, 1 << 20):
        data = random.Random(length).randbytes(length)
        assert machine.call(ODD / f"odd.{suffix}", data) == data, length
    with pytest.raises(host.CommandError) as refused:
        machine.call(ODD / f"odd.{suffix}", bytes((1 << 20) + 1))
    assert refused.value.code in ("limit", "range")


@pytest.mark.parametrize("suffix, room", [("c", (2 << 20) - (256 << 10)), ("sh", 2 << 20), ("py", 2 << 20)])
def test_answers_up_to_the_window(machine, suffix, room):
    odd = ODD / f"odd.{suffix}"
    assert machine.call(odd, f"fill {room}") == b"x" * room
    with pytest.raises(host.AnswerTooLong) as failed:
        machine.call(odd, f"{'long' if suffix == 'c' else 'fill'} {room + 1}")
    assert failed.value.payload == f"answer of {room + 1} bytes, {room} fit".encode()


# ---- failures


FAILED = [
    ("c", "fail 7", r"no luck, error 7"),
    ("sh", "fail 7", "no luck, error 7\n"),
    ("sh", "exit 3", "exit status 3"),
    ("sh", "exit 255", "exit status 255"),
    ("sh", "syntax", "syntax error"),
    ("py", "fail 7", "ValueError: no luck, error 7"),
    ("py", "fail 7", '  File "/function/handler.py", line '),
    ("py", "unsaid", r"ValueError: bad name \udc80"),
    ("py", "exit 3", "SystemExit: 3"),
    ("py", "text", "TypeError: handle() must return bytes, not str"),
    ("py", "stack", "RecursionError"),
    ("py", "memory 4000", "MemoryError"),
]
FAILING = {"c": ["fail 1"], "sh": ["fail 1"], "py": ["fail 1", "unsaid", "text"]}
CRASHED = [
    ("c", "segv", "signal 11 (SIGSEGV) at pc 0x"),
    ("c", "segv", ", address 0x8"),
    ("c", "abort", "signal 6 (SIGABRT) at pc 0x"),
    ("c", "stack", "signal 11 (SIGSEGV)"),
    ("c", "exit 0", "the function has called exit()"),
    ("sh", "kill", "the shell was killed by signal 9"),
    ("py", "segv", "signal 11 (SIGSEGV) at pc 0x"),
    ("py", "abort", "signal 6 (SIGABRT) at pc 0x"),
]


@pytest.mark.parametrize("suffix, data, message", FAILED)
def test_failed(machine, suffix, data, message):
    with pytest.raises(host.FunctionFailed) as failed:
        machine.call(ODD / f"odd.{suffix}", data)
    assert message in failed.value.payload.decode()


@pytest.mark.parametrize("suffix, data, message", CRASHED)
def test_crashed(machine, suffix, data, message):
    with pytest.raises(host.Crashed) as failed:
        machine.call(ODD / f"odd.{suffix}", data)
    assert message in failed.value.payload.decode()


@pytest.mark.parametrize("suffix", ["c", "py"])
def test_process_1_that_is_gone(machine, suffix):
    with pytest.raises(host.Crashed):
        machine.call(ODD / f"odd.{suffix}", "_exit 0")


def test_no_memory_in_the_guest(machine):
    """Linux may not kill process 1 for want of memory: it panics, and the VM is off."""
    with pytest.raises(host.Crashed):
        machine.call(ODD / "odd.c", "memory")


@pytest.mark.parametrize("suffix", RUNTIMES)
def test_timeout(machine, suffix):
    odd = ODD / f"odd.{suffix}"
    machine.deployed(odd)
    start = time.monotonic()
    with pytest.raises(host.CallTimeout):
        machine.call(odd, "hang", timeout=300)
    assert time.monotonic() - start < 30 * SLOW
    assert machine.call(odd, "still here") == b"still here"


# ---- modes


@pytest.mark.parametrize("suffix", RUNTIMES)
def test_calls_in_a_vm_that_lives_on(machine, suffix):
    """After an answer, and after a failure, it serves the next; after a crash another one does."""
    odd = ODD / f"odd.{suffix}"
    for round_ in range(3):
        assert machine.call(odd, f"number {round_}", mode="keep") == f"number {round_}".encode()
        for verb in FAILING[suffix]:
            with pytest.raises(host.FunctionFailed):
                machine.call(odd, verb, mode="keep")
            if suffix == "py":
                assert machine.call(odd, "sorted", mode="keep") == b"abc"
        with pytest.raises(host.Crashed):
            machine.call(odd, "kill" if suffix == "sh" else "segv", mode="keep")
        data = random.Random(round_).randbytes(100_000)
        assert machine.call(odd, data, mode="keep") == data
        assert machine.call(odd, f"number {round_}", mode="reset") == f"number {round_}".encode()


def test_shell_leaves_no_process_behind(machine):
    """One that it has put into the background ends with its call."""
    odd = ODD / "odd.sh"
    for _ in range(3):
        machine.call(odd, "background", mode="keep")
        assert int(machine.call(odd, "sleepers", mode="keep")) == 0


# ---- identity


@pytest.mark.parametrize("suffix", RUNTIMES)
def test_identity(machine, suffix):
    """Host name, clock, the kernel's random numbers and the runtime's own, and the function's hook, in fresh clones, and in one that is
    reset in between."""
    name = machine.deployed(ODD / f"odd.{suffix}")
    vms = set()
    for mode in ("fresh", "fresh", "fresh", "reset", "reset"):
        before = time.time()
        call = machine.pando.invoke(name, "identity", mode=mode)
        host_name, seconds, *numbers, calls = call.payload.decode().split()
        assert host_name.startswith(f"odd-{suffix}-")
        assert before - 2 < int(seconds) < time.time() + 1, "the clone's clock"
        assert suffix == "sh" or calls == "101", "function_cloned() or cloned() has run before, once"
        vms.add((host_name, *numbers))
    for column in zip(*vms):
        assert mode == "reset" or len(set(column)) == len(vms)
    names, *drawn = zip(*vms)
    assert len(vms) == 5 and len(set(names)) >= 4
    for column in drawn:
        assert len(set(column)) == 5, "two clones have drawn the same"


@pytest.mark.parametrize("suffix", RUNTIMES if SOAK else ["py"])
def test_identity_of_one_made_ahead(machine, suffix):
    """Its time has stood still while it waited for its call; its clock is right all the same, then and in a second call."""
    name = machine.deployed(ODD / f"odd.{suffix}")
    (function,) = (each for each in machine.pando.functions() if each["name"] == name)
    machine.pando.set_function(name, function["template"], warm=2, timeout=LIMIT_MS)
    seen = []
    for mode in ("fresh", "keep", "keep"):
        machine.await_ready(name, 2)
        time.sleep(4)
        before = time.time()
        call = machine.pando.invoke(name, "identity", mode=mode)
        host_name, seconds, *numbers, _ = call.payload.decode().split()
        assert call.data["warm"] and before - 2 < int(seconds) < time.time() + 1
        seen.append((host_name, *numbers))
    machine.pando.set_function(name, function["template"], warm=0, timeout=LIMIT_MS)
    assert seen[0][0] != seen[1][0] and all(len(set(column)) == 3 for column in list(zip(*seen))[1:])


# ---- deploying


def test_a_function_that_does_not_load(machine, tmp_path):
    """deploy says what its console said, and leaves nothing behind."""
    broken = {
        "f.py": ("import nothing_of_that_name\ndef handle(data): return data\n", "No module named 'nothing_of_that_name'"),
        "g.py": ("SAMPLE = b'x'\ndef handle(data): return data / 2\n", "unsupported operand"),
        "h.sh": ("if true; then\n", "syntax error"),
        "i.c": (
            "const char function_sample[] = \"x\";\nlong handle(const unsigned char *in, unsigned long len, unsigned char *out, "
            "unsigned long room) { return *(volatile int *)8; }\n",
            "signal 11 (SIGSEGV)",
        ),
    }
    before = {vm["name"] for vm in machine.pando.vms()}
    for name, (text, message) in broken.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(host.PandoError) as refused:
            machine.pando.deploy("broken", runtime=RUNTIMES[name[-1 if name[-1] == "c" else -2 :]], handler=str(tmp_path / name), boot_timeout=120 * SLOW)
        assert message in str(refused.value)
    assert {vm["name"] for vm in machine.pando.vms()} == before


def test_a_hook_that_raises(machine, tmp_path):
    """cloned() of a function in Python: each call says what it has raised."""
    handler = tmp_path / "hook.py"
    handler.write_text('def cloned(): raise ValueError("no key to renew \\udc80")\ndef handle(data): return data\n')
    machine.pando.deploy("hook", runtime="python", handler=str(handler), timeout=LIMIT_MS, boot_timeout=120 * SLOW)
    for mode in ("fresh", "keep", "reset"):
        with pytest.raises(host.Crashed) as failed:
            machine.pando.invoke("hook", b"x", mode=mode)
        message = failed.value.payload.decode()
        assert message.startswith("cloned() fails\nTraceback") and message.endswith(r"ValueError: no key to renew \udc80")
        assert message.count("File") == 1 and 'File "/function/handler.py", line 1, in cloned' in message


def test_two_vcpus(machine):
    """The first to run is the one that takes the interrupt of the new generation id; the agent may be on the other."""
    handler = ODD / "odd.c"
    machine.pando.deploy("two", runtime="c", handler=str(handler), vcpus=2, timeout=LIMIT_MS, boot_timeout=120 * SLOW)
    seen = {machine.pando.invoke("two", "identity").payload.split()[2] for _ in range(20)}
    assert len(seen) == 20


# ---- the older QEMU


@pytest.mark.parametrize("qemu", QEMUS[1:])
def test_older_qemu(qemu):
    machine = started(qemu)
    try:
        for suffix in RUNTIMES:
            assert machine.call(SAMPLES / f"hello.{suffix}", b"Bob").rstrip() == b"Hello, Bob!"
        with pytest.raises(host.Crashed):
            machine.call(ODD / "odd.c", "segv")
        machine.judge_memory()
    finally:
        machine.end()
