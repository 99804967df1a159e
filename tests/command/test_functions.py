# SPDX-License-Identifier: BSD-2-Clause
"""Functions by scripts/pando, against the fake: deployed, called, drawn."""

import asyncio
import subprocess
import time

from fake import Refused
from pando import AsyncPando


def booted_with(fake):
    return [words[2:] for words, _ in fake.seen if words[0] == "boot"][-1]


def test_a_policy_may_have_the_name_of_a_size(here, fake, directory):
    """memory=128M and memory=reserve are two words of one command."""
    (directory / "file").write_bytes(b"f" * 1000)
    image = directory / "file"
    here.run("boot", "mine", "--kernel", image, "--memory", "64M", "--policy", "memory=reserve", "--policy", "dedup=off")
    assert {"memory=64M", "memory=reserve", "dedup=off"} < set(booted_with(fake))
    here.run("deploy", "f", "--image", image, "--policy", "memory=reserve")
    assert {"memory=128M", "memory=reserve"} < set(booted_with(fake))


def test_a_kernel_of_the_bundle_kernels_length_is_no_less_taken(here, fake, directory):
    """Images are padded: two kernels are often of one length."""
    (directory / "initrd").write_bytes(b"i" * 1000)
    (directory / "Image").write_bytes(b"x" * len(fake.images["linux/kernel"]))
    here.run("deploy", "f", "--image", directory / "initrd")
    assert "kernel=linux/kernel" in booted_with(fake)
    here.run("deploy", "f", "--image", directory / "initrd", "--kernel", directory / "Image")
    assert any(word.startswith("kernel=f.kernel.") for word in booted_with(fake))


def test_deploy_switches_and_cleans_up(here, fake, directory):
    (directory / "initrd").write_bytes(b"i" * 100000)
    image = ["--image", directory / "initrd"]
    assert here.json("deploy", "f", *image, "--warm", "2", "--mode", "reset")["template"] == "f"
    assert fake.functions["f"]["warm"] == 2 and fake.functions["f"]["mode"] == "reset"
    again = here.json("deploy", "f", *image)
    assert again["template"] == "f-2" and again["replaced"] == "f"
    assert list(fake.vms) == ["f-2"] and set(fake.images) == {"linux/kernel", "linux/initrd"}
    text = here.complaint("deploy", "f", *image, "--bootargs", "hang", "--boot-timeout", "1")
    assert text == "f: the guest did not get ready: f: not ready after 1000 ms; its console ends:\n  [    0.000000] Linux"
    assert list(fake.vms) == ["f-2"] and fake.functions["f"]["template"] == "f-2"
    here.run("undeploy", "f")
    assert not fake.vms and not fake.functions


def test_a_deploy_that_fails_leaves_alone_who_has_the_name(here, fake, directory):
    (directory / "initrd").write_bytes(b"i" * 1000)
    image = ["--image", directory / "initrd"]
    here.run("deploy", "f", *image)
    fake.vms["g"] = {"name": "g", "id": 7, "state": "running"}
    for name in ("f", "g"):
        assert here.complaint("deploy", name, *image, "--vcpus", "9") == "vcpus= wants a number from 1 to 8"
    fake.freezing = Refused("nomem", "no memory")
    assert here.complaint("deploy", "f", *image) == "no memory"
    assert list(fake.vms) == ["f", "g"] and fake.functions["f"]["template"] == "f"
    assert not [words for words, _ in fake.seen if words in (["kill", "f"], ["kill", "g"])]


def test_a_deploy_whose_name_is_taken_meanwhile_takes_the_next(fake, directory, monkeypatch):
    (directory / "initrd").write_bytes(b"i" * 1000)

    async def body():
        async with await AsyncPando.connect(directory) as pando:
            async def vms():
                return []

            monkeypatch.setattr(pando, "vms", vms)
            fake.vms["f"] = {"name": "f", "id": 7, "state": "running"}
            return await pando.deploy("f", image=str(directory / "initrd"))

    assert asyncio.run(body())["template"] == "f-2" and list(fake.vms) == ["f", "f-2"]


def test_two_deploys_of_one_name_at_once_leave_one_template(fake, directory):
    """Each has an image of its own, and the later one replaces what the earlier one has made."""
    for which in ("one", "two"):
        (directory / which).write_text(which)
        fake.readiness["f" if which == "one" else "f-2"] = asyncio.Event()

    async def deploy(which):
        async with await AsyncPando.connect(directory) as pando:
            return await pando.deploy("f", image=str(directory / which))

    async def booted(vm):
        while vm not in fake.vms:
            await asyncio.sleep(0.01)

    async def body():
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            one = group.create_task(deploy("one"))
            await booted("f")
            two = group.create_task(deploy("two"))
            await booted("f-2")
            assert {b"one", b"two"} < set(fake.images.values())
            for vm, task in (("f", one), ("f-2", two)):
                fake.loop.call_soon_threadsafe(fake.readiness[vm].set)
                await task

    asyncio.run(body())
    assert list(fake.vms) == [fake.functions["f"]["template"]] == ["f-2"]
    assert set(fake.images) == {"linux/kernel", "linux/initrd"}


def test_deploy_refuses_early(here, directory):
    assert "is no name for a function" in here.complaint("deploy", "a.b", "--template", "x")
    assert "one of a handler, an image, or a template" in here.complaint("deploy", "x")
    assert here.complaint("deploy", "x", "--runtime", "c", "--handler", "none.c") == "none.c: no such file"
    (directory / "odd.pl").write_text("print")
    assert "which runtime" in here.complaint("deploy", "x", "--handler", directory / "odd.pl")
    assert here.complaint("deploy", "x", "--template", "nobody") == "no VM nobody"
    for words in (["--memory", "3M"], ["--vcpus", "0"], ["--bootargs", ""], ["--policy", "time=jump"], ["--file", "x"], ["--runtime", "c"]):
        want = f"{words[0].removeprefix('--')}: settled by the template already"
        assert here.complaint("deploy", "x", "--template", "hello", *words) == want
    image = ["--image", directory / "odd.pl"]
    assert here.complaint("deploy", "x", *image, "--runtime", "c", "--file", "x") == "runtime, file: settled by the image already"


def test_a_function_whose_template_was_killed(hello, fake):
    fake.functions["hello"]["template"] = None
    error = hello.json("invoke", "hello", "-n", "2", "--warm", "2", status=1)["error"]
    assert error == {"code": "state", "message": "hello: its template was killed; `pando deploy` gives it another"}
    assert not [words for words, _ in fake.seen if "template=None" in words]


def test_invoke_one(hello, directory):
    assert hello.run("invoke", "hello", "--data", "loud") == "LOUD"
    assert hello.run("invoke", "hello", "-", data="from stdin") == "FROM STDIN"
    (directory / "data").write_bytes(b"from a file")
    assert hello.run("invoke", "hello", "--data-file", directory / "data") == "FROM A FILE"
    found = hello.json("invoke", "hello", "--data", "x")
    assert found["payload"] == "X" and found["t"]["entry"] == 31000 and found["seconds"] > 0
    hello.run("invoke", "hello", "-v")
    assert "handler" in hello.err
    (directory / "data").write_bytes(bytes(1 + (1 << 20)))
    assert "more than 1 MiB" in hello.complaint("invoke", "hello", "--data-file", directory / "data")
    assert hello.complaint("invoke", "hello", "--data-file", "nothing") == "nothing: No such file or directory"
    assert hello.complaint("invoke", "nobody") == "no function nobody"


def test_failures_of_calls_have_a_status(hello):
    assert hello.complaint("invoke", "hello", "--data", "crash", status=4) == "signal 11 at 0x1234\nsignal 11"
    assert hello.complaint("invoke", "hello", "--data", "fail no luck", status=4) == "f.1: schön\nno luck"
    assert hello.complaint("invoke", "hello", "--data", "timeout", status=4) == "no answer in 10000 ms"
    hello.run("invoke", "hello", "--data", "fail x", "-v", status=4)
    assert hello.err.startswith("f.1: fresh, 120 us in all\n  wait")
    error = hello.json("invoke", "hello", "--data", "fail no luck", status=4)["error"]
    assert (error["code"], error["message"], error["payload"]) == ("function", "f.1: schön", "no luck")
    assert error["data"]["t"]["start"] == 90000


def test_a_refusal_is_no_failed_call(hello):
    assert hello.json("invoke", "nobody", "-n", "3", status=1)["failed"] == {"absent": 3}
    assert hello.complaint("invoke", "hello", "--timeout", "0") == "timeout= wants a number from 1 to 3600000"


def test_invoke_many(hello, fake, directory):
    out = hello.run("invoke", "hello", "--data", "x", "--n", "200", "--concurrency", "20", "--calls", directory / "calls")
    assert out.startswith("hello: 200 of 200 calls answered in ")
    rows = [line.split()[0] for line in out.splitlines()[1:]]
    assert rows == ["p50", "call", "wait", "clone", "give", "enter", "wake", "handler", "answer", "gone"]
    assert len((directory / "calls").read_text().splitlines()) == 200
    found = hello.json("invoke", "hello", "--data", "fail x", "-n", "10", "-c", "3", status=4)
    assert found["failed"] == {"function": 10} and found["ok"] == 0 and found["messages"] == {"function": "f.1: schön"}
    found = hello.json("invoke", "hello", "-n", "50", "--warm", "4", "--mode", "reset")
    assert found["ok"] == 50 and found["ns"]["handler"]["p50"] == 30000
    fake.busy = 5
    found = hello.json("invoke", "hello", "-n", "50", "-c", "10")
    assert found["busy_retries"] == 5 and found["ok"] == 50
    sets = [words for words, _ in fake.seen if words[:2] == ["function", "set"]]
    assert "warm=4" in sets[-2] and "warm=0" in sets[-1] and "max=64" in sets[-1]


def test_more_at_once_than_a_port_carries(hello, fake):
    found = hello.json("invoke", "hello", "--data", "sleep 1", "-n", "900", "-c", "900")
    assert found["ok"] == 900 and found["busy_retries"] == 0 and found["seconds"] < 15
    assert fake.most_clients == 4


def test_a_pando_that_ends_during_many_calls(hello, fake):
    calls = hello.popen("invoke", "hello", "--data", "sleep 0.5", "-n", "1000", "-c", "50")
    while not any(words[0] == "invoke" for words, _ in fake.seen):
        time.sleep(0.01)
    fake.stop()
    _, err = calls.communicate(timeout=20)
    assert calls.returncode == 1 and err.startswith("pando: error: ") and err.count("\n") == 1, err


def test_timeline(hello, directory):
    out = hello.run("timeline", "hello", "--svg", directory / "t.svg", "-n", "3")
    assert [line.split()[0] for line in out.splitlines()[1:9]] == ["wait", "clone", "give", "enter", "wake", "handler", "answer", "gone"]
    assert "private pages" in out
    assert subprocess.run(["/usr/bin/python3", "-c", f"import xml.dom.minidom as m; m.parse('{directory}/t.svg')"], check=False).returncode == 0
    assert hello.json("timeline", "hello")["stages"][1] == {"stage": "clone", "begin": 1200, "end": 2500}
