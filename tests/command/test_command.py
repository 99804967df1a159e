# SPDX-License-Identifier: BSD-2-Clause
"""scripts/pando as a person runs it, against the fake."""

import asyncio
import dataclasses
import errno
import json
import os
import pty
import re
import signal
import socket
import subprocess
import time
import types

import pytest
from conftest import PANDO, TOP, Here, has_ended
from pando import cli, machine, ports


def test_help_is_everywhere(capsys):
    commands = list(cli.COMMANDS) or cli.load() or list(cli.COMMANDS)
    assert {"up", "down", "status", "vms", "boot", "invoke", "serve", "timeline"} <= set(commands)
    for words in ([], *([command] for command in commands)):
        with pytest.raises(SystemExit) as caught:
            cli.main([*words, "--help"])
        assert caught.value.code == 0
        assert "--json" in capsys.readouterr().out


def test_nobody_is_there(directory):
    here = Here(directory)
    want = f"no Pando is running in {directory}"
    for words in (["vms"], ["invoke", "x"], ["down"], ["status"], ["shell"], ["deploy", "x", "--template", "y"]):
        out = here.run(*words, status=3)
        assert want in out + here.err
    assert here.json("vms", status=3)["error"]["code"] == "not-running"
    assert here.json("status", status=3) == {"running": False, "directory": str(directory)}
    assert here.run("names", "vms") == "\n" or here.run("names", "vms") == ""


def test_all_ports_are_taken(here, fake):
    held = [ports.try_take(here.directory, "control", n) for n in range(4)]
    start = time.monotonic()
    assert here.run("names", "vms").strip() == "" and time.monotonic() - start < 20
    assert here.complaint("vms") == f"all 4 control ports of {here.directory} are in use"
    for port in held:
        port.close()
    here.run("vms")


def test_a_path_too_long_for_a_socket(tmp_path):
    deep = Here(tmp_path / ("x" * 100))
    assert "choose a shorter one with --dir" in deep.complaint("up", "--no-build")
    assert "no Pando is running" in deep.complaint("vms", status=3)


def test_wrong_words(directory):
    here = Here(directory)
    for words in ([], ["frob"], ["clone"], ["invoke"], ["clone", "x", "-n", "many"], ["deploy", "x", "--mode", "odd"]):
        here.run(*words, status=2)
        assert "usage:" in here.err


def test_life_of_vms(here, fake):
    assert here.run("boot", "linux", "--no-wait") == "linux: booting\n"
    assert here.run("freeze", "linux").strip() == "freeze linux done"
    assert here.json("freeze", "linux") == {"ns": 1350000, "instret": 200000}
    assert here.run("clone", "linux", "-n", "3") == "linux.1 linux.2 linux.3\n"
    many = here.run("clone", "linux", "-n", "100").split()
    assert len(many) == 67 and many[-3:] == ["and", "36", "more"]
    assert [vm["name"] for vm in here.json("vms")["vms"]][:2] == ["linux", "linux.1"]
    assert here.run("logs", "linux") == "[    0.000000] Linux\n"
    here.run("kill", "linux.1")
    assert here.complaint("kill", "linux.1") == "no VM linux.1"
    assert here.complaint("clone", "linux.2") == "linux.2: not possible in this state (it is running)"
    here.run("dedup")
    assert fake.seen[-1][0] == ["dedup", "status"]
    here.run("policy", "linux", "time=jump", status=1)
    assert fake.seen[-1][0] == ["policy", "linux", "time=jump"]


def test_boot_waits_for_ready(here, fake):
    fake.readiness["linux"] = asyncio.Event()
    booting = here.popen("boot", "linux")
    while "linux" not in fake.vms:
        time.sleep(0.01)
    time.sleep(0.1)
    assert booting.poll() is None
    fake.loop.call_soon_threadsafe(fake.readiness["linux"].set)
    assert booting.communicate(timeout=20)[0] == "linux: ready\n"
    assert fake.seen[-1][0] == ["boot", "linux", "wait=120000"]


def test_boot_of_files(here, fake, directory):
    (directory / "Image").write_bytes(b"kernel" * 1000)
    here.run("boot", "mine", "--kernel", directory / "Image", "--memory", "64M", "--bootargs", "console=ttyS0 a=b")
    words = [words for words, _ in fake.seen if words[0] == "boot"][-1]
    assert words == ["boot", "mine", "memory=64M", "bootargs=console=ttyS0 a=b", words[4], "wait=120000"]
    assert re.fullmatch(r"kernel=mine\.kernel\.[0-9a-f]+", words[4]) and set(fake.images) == {"linux/kernel", "linux/initrd"}
    assert "neither a file nor an image" in here.complaint("boot", "x", "--kernel", "nothing", "--memory", "64M")


def test_boot_of_a_long_name(here, fake, directory):
    (directory / "Image").write_bytes(b"kernel")
    here.run("boot", "x" * 31, "--kernel", directory / "Image", "--memory", "64M")
    assert list(fake.vms) == ["x" * 31]


def test_boot_refuses_early(here, fake, directory):
    for n in ("0", "-1"):
        assert here.complaint("boot", "linux", "-n", n) == "-n wants at least 1"
    (directory / "Image").write_bytes(b"kernel")
    assert here.complaint("boot", "x", "-n", "2", "--kernel", directory / "Image") == "-n is for the bundle's VMs"
    assert not [words for words, _ in fake.seen if words[0] in ("boot", "image")]


def test_a_guest_that_does_not_get_ready_is_no_failed_call(here):
    for args, code in (("die", "crash"), ("hang", "timeout")):
        words = ["boot", "x", "--kernel", "linux/kernel", "--memory", "64M", "--bootargs", args]
        assert here.json(*words, status=1)["error"]["code"] == code
        here.run("kill", "x")


def test_save_and_load(hello, fake, directory):
    file = directory / "hello.tpl"
    found = hello.json("save", "hello", file)
    assert found["bytes"] == 350020 and found["packed"] == file.stat().st_size < 310000
    hello.run("load", file, "--name", "again")
    assert fake.vms["again"]["state"] == "template"
    assert fake.seen[-1][1].startswith(b"PANDO template hello")
    packed = file.read_bytes()
    for cut in (len(packed) - 5, len(packed) // 2, 20):
        file.write_bytes(packed[:cut])
        assert "broken" in hello.complaint("load", file, "--name", "cut") or "end-of-stream" in hello.err
    assert "cut" not in fake.vms
    file.write_bytes(b"nonsense")
    assert hello.complaint("load", file) == "broken: header: no magic"
    assert hello.complaint("load", "nothing.tpl") == "nothing.tpl: no such file"
    assert hello.complaint("save", "nobody", directory / "x") == "no VM nobody"
    assert not list(directory.glob("x*"))


def test_events(here, fake):
    listening = here.popen("events", "-n", "2", "--json")
    while not any(port.events for port in fake.clients):
        time.sleep(0.01)
    fake.tell(event="booted", vm="linux", vm_id=102, at_ns=1)
    fake.tell(event="lost", n=12)
    lines = listening.communicate(timeout=20)[0].splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["booted", "lost"]
    listening = here.popen("events")
    assert listening.stderr.readline() == "listening\n"
    listening.send_signal(signal.SIGINT)
    assert listening.wait(20) == 130


def test_console(here, fake):
    fake.vms["linux"] = {"name": "linux", "state": "running"}
    assert here.run("console", "linux", data="who are you\n") == "a console\nWHO ARE YOU\n"
    assert [words for words, _ in fake.seen[-2:]] == [["attach", "linux", "0"], ["detach", "0"]]
    assert here.complaint("console", "nobody", data="") == "no VM nobody"


def test_a_second_shell_is_told_of_the_first(here, as_qemu):
    first = here.popen("shell", stdin=subprocess.PIPE)
    assert first.stdout.readline() == "a console\n"
    assert here.complaint("shell") == f"somebody else has Pando's shell in {here.directory}"
    first.communicate(timeout=20)
    assert here.run("shell", data="help\n") == "a console\nHELP\n"


def test_a_terminal_gets_progress_and_a_pipe_does_not(hello, directory):
    words = [PANDO, "--dir", str(directory), "invoke", "hello", "--data", "sleep 0.05", "-n", "20"]
    main, other = pty.openpty()
    with subprocess.Popen(words, stderr=other, stdout=subprocess.DEVNULL) as process:
        os.close(other)
        seen = b""
        while True:
            try:
                seen += os.read(main, 1000)
            except OSError:
                break
        assert process.wait(20) == 0
    os.close(main)
    assert b"hello [" in seen and b" of 20" in seen and seen.endswith(b"\r\x1b[K")
    hello.run("invoke", "hello", "--data", "sleep 0.05", "-n", "20")
    assert hello.err == ""


def test_any_command(here, fake):
    here.run("command", "image", "put", "x", "--payload", "-", data="abc")
    assert fake.images["x"] == b"abc"
    assert here.json("command", "image", "list")["images"][-1] == {"name": "x", "len": 3}
    assert here.run("names", "images").split() == ["linux/kernel", "linux/initrd", "x"]
    assert here.run("names", "entries").split() == ["linux"]


@pytest.fixture
def qemu_of_glue(directory):
    """Environment and options with which QEMU is a program that makes its first and its last socket, each after a while, and says nothing
    there. It ends by itself, whatever the test does."""
    build, program = directory / "build", directory / "qemu"
    build.mkdir()
    for name in ("pando.elf", "functions.dtb"):
        (build / name).touch()
    program.write_text(
        "#!/usr/bin/python3\nimport re, socket, sys, time\n"
        "folder = re.search(r'path=(\\S*)/control\\.0', ' '.join(sys.argv).replace(',', ' '))[1]\n"
        "ports = [socket.socket(socket.AF_UNIX) for _ in range(2)]\n"
        "for port, name in zip(ports, ('control.0', 'console.3')):\n"
        "    port.bind(f'{folder}/{name}')\n    time.sleep(0.5)\n    port.listen()\n"
        "time.sleep(40)\n"
    )
    program.chmod(0o755)
    env = os.environ | {"BUILD": str(build), "TMPDIR": str(directory)}
    return env, ["--no-build", "--qemu", program, "--quiet"]


def test_an_up_that_fails_leaves_no_qemu(directory, qemu_of_glue, monkeypatch):
    """A disk is full when what was started is to be written down."""
    env, options = qemu_of_glue
    monkeypatch.setenv("BUILD", env["BUILD"])
    started = []

    def popen(*args, **kwargs):
        started.append(subprocess.Popen(*args, **kwargs))
        return started[0]

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(machine, "subprocess", types.SimpleNamespace(Popen=popen, DEVNULL=subprocess.DEVNULL))
    monkeypatch.setattr(machine, "json", types.SimpleNamespace(dumps=full, loads=json.loads))
    run = directory / "run"
    try:
        with pytest.raises(OSError, match="No space left"):
            machine.start(machine.Settings(str(run), qemu=str(options[2]), build=False))
        assert started[0].returncode is not None and not ports.listed(run, "control")
    finally:
        started[0].kill()
        started[0].wait()


@pytest.fixture
def as_qemu(directory):
    """A process that is taken for the QEMU of `directory`; it ends when its stdin does."""
    with subprocess.Popen(["sh", "-c", "read line", directory / "shell"], stdin=subprocess.PIPE) as process:
        state = machine.Machine(process.pid, str(directory), 2, "4G", "b.dtb", "newest", time.time())
        (directory / machine.STATE).write_text(json.dumps(dataclasses.asdict(state)))
        while not machine.running(directory):  # its command line shows up a moment after it
            time.sleep(0.01)
        yield process


def test_a_qemu_that_is_about_to_end_is_not_said_to_run(directory, as_qemu, monkeypatch):
    """Its sockets close before its process is gone."""
    has_ended_by = machine.has_ended

    def while_it_ends(fd, seconds):
        if seconds:
            as_qemu.stdin.close()
        return has_ended_by(fd, seconds and 20)

    assert machine.why_not(directory, 30).startswith("QEMU runs, but Pando has not answered in 30 s")
    monkeypatch.setattr(machine, "has_ended", while_it_ends)
    (directory / "console.log").write_text("error: no bundle\n")
    assert machine.why_not(directory, 30) == "QEMU has ended; the end of its log:\nerror: no bundle"


@pytest.mark.parametrize("at", ["pando.json", "console.3"])
@pytest.mark.parametrize("words", [["up", "--dir"], ["experiment", "start", "-o"]], ids=["up", "experiment"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_before_pando_answers_leaves_no_qemu(directory, qemu_of_glue, words, at, number):
    env, options = qemu_of_glue
    process = subprocess.Popen([PANDO, *words, directory / "pando-here", *options], env=env, text=True, stderr=subprocess.PIPE)
    end = time.monotonic() + 20
    while not (found := list(directory.glob(f"pando-*/{at}"))) or not found[0].exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)
    pid = json.loads(found[0].with_name("pando.json").read_text())["pid"]
    process.send_signal(number)
    assert process.communicate(timeout=20)[1] == "" and process.returncode == 130
    assert has_ended(pid)


def test_up_waits_until_qemu_listens(directory, qemu_of_glue, monkeypatch):
    """A socket is there before anybody can connect to it."""
    env, options = qemu_of_glue
    monkeypatch.setenv("BUILD", env["BUILD"])
    machine.start(machine.Settings(str(directory / "run"), qemu=str(options[2]), build=False))
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(directory / "run/control.0"))
    finally:
        machine.stop(directory / "run")


def test_make_clean_leaves_a_running_pando_its_directory_and_distclean_ends_it(directory, qemu_of_glue, monkeypatch):
    env, options = qemu_of_glue
    monkeypatch.setenv("BUILD", env["BUILD"])
    here = Here(directory / "build/run")
    machine.start(machine.Settings(str(here.directory), qemu=str(options[2]), build=False))
    pid = machine.running(here.directory).pid
    make = ["make", "-s", "-C", TOP, f"BUILD={env['BUILD']}"]
    own = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    subprocess.run([*make, "clean"], env=own, check=True, capture_output=True)
    assert [path.name for path in (directory / "build").iterdir()] == ["run"]
    assert machine.running(here.directory).pid == pid
    subprocess.run([*make, "distclean"], env=own, check=True, capture_output=True)
    assert not (directory / "build").exists() and has_ended(pid)
    subprocess.run([*make, "distclean"], env=own, check=True, capture_output=True)


def test_completion(here, fake):
    """bash itself completes."""
    fake.vms["linux"] = {"name": "linux", "state": "template"}
    fake.vms["lima"] = {"name": "lima", "state": "running"}
    script = here.run("completion", "bash")

    def complete(*words):
        test = f'COMP_WORDS=({PANDO} {" ".join(words[:-1])} "{words[-1]}"); COMP_CWORD={len(words)}; _pando; echo "${{COMPREPLY[@]}}"'
        env = dict(os.environ) | {"PANDO_DIR": str(here.directory)}
        return subprocess.run(["bash", "-c", script + test], capture_output=True, text=True, env=env, check=True).stdout.split()

    assert complete("inv") == ["invoke"]
    assert complete("kill", "li") == ["linux", "lima"]
    assert complete("clone", "li") == ["linux"]
    assert complete("invoke", "x", "--con") == ["--concurrency"]
    assert "--dir" in complete("")
    assert complete("deploy", "x", "--handler", str(TOP / "guests/functions/hello.c")) == [str(TOP / "guests/functions/hello.c")]
    assert complete("load", str(TOP / "READ")) == [str(TOP / "README.md")]


def test_completion_runs_nothing(here, fake):
    """Names come from Pando, and names of files from whoever made them: to bash they are words, and not more."""
    trace = here.directory / "trace"
    fake.vms["odd"] = {"name": f"o$(touch {trace})", "state": "running"}
    fake.vms["other"] = {"name": "other", "state": "running"}
    script = here.run("completion", "bash")
    test = f'COMP_WORDS=({PANDO} kill o); COMP_CWORD=2; _pando; printf "%s\\n" "${{COMPREPLY[@]}}"'
    env = dict(os.environ) | {"PANDO_DIR": str(here.directory)}
    run = subprocess.run(["bash", "-c", script + test], capture_output=True, text=True, env=env, check=True)
    assert not trace.exists()
    assert "other" in run.stdout.split("\n")


def test_words_that_are_no_text(here):
    assert here.complaint("kill", "\udcff") == r"a word of a command must be UTF-8: '\udcff'"
    run = subprocess.run([PANDO, "status", "--dir", b"/odd\xff"], capture_output=True, check=False, timeout=60)
    assert (run.returncode, run.stdout) == (3, b"no Pando is running in /odd\xff: start one with `pando up`\n")


@pytest.mark.parametrize("words", [["vms"], ["vms", "--json"], ["kill", "nobody", "--json"]], ids=" ".join)
def test_a_disk_that_is_full(here, words):
    with open("/dev/full", "w") as full:
        run = subprocess.run([PANDO, *words, "--dir", here.directory], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    want = "no VM nobody" if "kill" in words else "No space left on device"
    assert (run.returncode, run.stderr) == (1, f"pando: error: {want}\n")


def test_a_stdout_that_is_closed(here, fake):
    run = subprocess.run(f"exec '{PANDO}' command version --dir '{here.directory}' >&-", shell=True, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_reader_that_has_enough(here):
    process = here.popen("completion", "bash")
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr.read() == ""
