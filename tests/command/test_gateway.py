# SPDX-License-Identifier: BSD-2-Clause
"""`pando serve` against the fake, by HTTP: http.client for each answer, wrk for many at once."""

import concurrent.futures
import http.client
import json
import re
import shutil
import signal
import subprocess
import time

import pytest
from conftest import TOP, until
from fake import Fake

pytest.importorskip("aiohttp")
pytest.importorskip("prometheus_client")


class Gateway:
    """The running gateway, and one who asks it."""

    def __init__(self, directory, *options):
        command = [TOP / "scripts" / "pando", "serve", "--port", "0", "--dir", directory, *options]
        self.process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline()
        assert line.startswith("serving http://127.0.0.1:"), line + self.process.stderr.read()
        self.url = line.split()[1]
        self.port = int(self.url.rpartition(":")[2])

    def ask(self, method, path, body=None, timeout=100, headers=None):
        """(status, body, headers)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            body = json.dumps(body) if isinstance(body, dict) else body
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read(), response.headers
        finally:
            connection.close()

    def post(self, path, body=None):
        return self.ask("POST", path, body)[:2]

    def end(self):
        """As a service manager does. Nothing may be on stderr."""
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=30)
        assert (self.process.returncode, err) == (0, "")


@pytest.fixture
def serve(fake, directory):
    fake.vms["hello"] = {"name": "hello", "id": 100, "state": "template", "private": 4096, "tables": 4096}
    fake.run(fake.do_function(None, ["set", "hello", "template=hello"], b""))
    running = []

    def start(*options):
        running.append(Gateway(directory, *options))
        return running[-1]

    yield start
    for gateway in running:
        if gateway.process.poll() is None:
            gateway.end()


def test_a_call(serve):
    gateway = serve()
    status, body, headers = gateway.ask("POST", "/function/hello", "world")
    assert (status, body) == (200, b"WORLD")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert headers["X-Pando-Vm"].startswith("hello.") and headers["X-Call-Id"]
    assert "handler;dur=0.0300" in headers["Server-Timing"] and float(headers["X-Duration-Seconds"]) > 0
    assert gateway.ask("GET", "/function/hello")[:2] == (200, b"")
    assert gateway.ask("GET", "/function/hello/some/path?a=b")[:2] == (200, b"")
    assert gateway.ask("PUT", "/function/hello/", "x")[:2] == (200, b"X")
    status, body, headers = gateway.ask("POST", "/function/hello", b"\xff\x00")
    assert (status, body, headers["Content-Type"]) == (200, b"\xff\x00", "application/octet-stream")
    big = b"x" * (1 << 20)
    assert gateway.post("/function/hello", big) == (200, big.upper())


def test_every_failure_has_its_status(serve, fake):
    gateway = serve()
    assert gateway.post("/function/nobody", "x")[0] == 404
    assert gateway.post("/nowhere", "x")[0] == 404
    assert gateway.post("/function/hello", b"x" * ((1 << 20) + 1))[0] == 413
    assert gateway.post("/function/hello", "fail out of luck") == (500, b"out of luck")
    assert gateway.post("/function/hello", "crash") == (502, b"signal 11 at 0x1234\n")
    assert gateway.post("/function/hello", "toolong")[0] == 502
    assert gateway.post("/function/hello", "timeout")[0] == 504
    status, _, headers = gateway.ask("POST", "/function/hello", "busy")
    assert status == 429 and headers["Retry-After"] == "1"
    assert gateway.post("/function/hello", "fine") == (200, b"FINE")
    assert "crash" not in fake.functions  # the name of a payload is no function


def test_calls_run_beside_each_other(serve):
    gateway = serve()
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda i: gateway.post("/function/hello", f"sleep 0.5{i:02}"), range(40)))
    assert answers == [(200, f"SLEEP 0.5{i:02}".encode()) for i in range(40)]
    assert time.monotonic() - start < 20  # of 28 one after the other


def test_too_many_are_told_to_come_again(serve, fake):
    gateway = serve("--queue", "0")
    with concurrent.futures.ThreadPoolExecutor(300) as pool:
        held = [pool.submit(gateway.post, "/function/hello", "hold") for _ in range(250)]
        until(lambda: fake.calls() == 250)
        late = list(pool.map(lambda i: gateway.post("/function/hello", "x")[0], range(50)))
        fake.release()
        assert late == [429] * 50 and [call.result()[0] for call in held] == [200] * 250
    assert gateway.post("/function/hello", "x")[0] == 200


def test_a_client_that_goes_away(serve, fake):
    gateway = serve()
    for _ in range(5):
        with pytest.raises(TimeoutError):
            gateway.ask("POST", "/function/hello", "sleep 1", timeout=0.1)
    assert gateway.post("/function/hello", "x") == (200, b"X")


def test_provider_reads(serve):
    gateway = serve()
    functions = json.loads(gateway.ask("GET", "/system/functions")[1])
    assert functions == [json.loads(gateway.ask("GET", "/system/function/hello")[1])]
    assert functions[0]["name"] == "hello" and functions[0]["image"] == "template/hello"
    assert functions[0]["replicas"] == functions[0]["availableReplicas"] == 1
    assert gateway.ask("GET", "/system/function/nobody")[0] == 404
    assert json.loads(gateway.ask("GET", "/system/info")[1])["orchestration"] == "pando"
    assert json.loads(gateway.ask("GET", "/system/namespaces")[1]) == []
    assert gateway.ask("GET", "/healthz")[:2] == (200, b"OK\n")


def test_provider_changes(serve, fake, directory):
    gateway = serve("--handlers", str(directory))
    annotations = {"pando.mode": "reset", "pando.timeout": "500", "pando.writeset": "off"}
    new = {"service": "two", "image": "template/hello", "labels": {"a": "b"}, "annotations": annotations}
    assert gateway.post("/system/functions", new) == (202, b"")
    assert fake.functions["two"]["mode"] == "reset" and fake.functions["two"]["timeout"] == 500
    assert fake.functions["two"]["writeset"] is False
    assert json.loads(gateway.ask("GET", "/system/function/two")[1])["labels"] == {"a": "b"}
    assert gateway.post("/system/scale-function/two", {"serviceName": "two", "replicas": 3})[0] == 202
    assert fake.functions["two"]["warm"] == 3 and fake.functions["two"]["mode"] == "reset" and not fake.functions["two"]["writeset"]
    assert json.loads(gateway.ask("GET", "/system/function/two")[1])["replicas"] == 3
    assert gateway.ask("PUT", "/system/functions", new | {"service": "three"})[0] == 404
    assert gateway.ask("PUT", "/system/functions", new)[0] == 202
    assert gateway.ask("DELETE", "/system/functions", {"functionName": "two"})[0] == 202
    assert gateway.ask("DELETE", "/system/functions", {"functionName": "two"})[0] == 404
    assert gateway.post("/system/scale-function/two", {"replicas": 1})[0] == 404
    assert list(fake.functions) == ["hello"] and "hello" in fake.vms
    fake.vms["busy"] = {"name": "busy", "state": "running"}
    assert gateway.post("/system/functions", new | {"image": "template/busy"})[0] == 409
    assert gateway.post("/system/functions", new | {"image": "template/nobody"})[0] == 404


def test_delete_takes_the_template_unless_another_function_has_it(serve, fake):
    """Also of functions that were deployed before this gateway was started."""
    gateway = serve()
    for name in ("one", "two", "orphan"):
        fake.run(fake.do_function(None, ["set", name, "template=hello"], b""))
    fake.functions["orphan"]["template"] = None  # it was killed
    for name in ("hello", "orphan", "one"):
        assert gateway.ask("DELETE", "/system/functions", {"functionName": name})[0] == 202
        assert "hello" in fake.vms
    assert gateway.ask("DELETE", "/system/functions", {"functionName": "two"})[0] == 202
    assert not fake.vms and not fake.functions


@pytest.mark.parametrize(
    "body, words",
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ({}, "service: missing"),
        ({"service": "x"}, "image: missing"),
        ({"service": "x y", "image": "template/hello"}, "no name for a function"),
        ({"service": "x", "image": "ghcr.io/someone/x:latest"}, "no such handler"),
        ({"service": "x", "image": "c/../../../etc/passwd"}, "no such handler"),
        ({"service": "x", "image": "/etc/passwd"}, "no such handler"),
        ({"service": "x", "image": "template/hello", "envVars": {"a": "b"}}, "envVars: not supported"),
        ({"service": "x", "image": "template/hello", "annotations": {"pando.warm": "many"}}, "is not understood"),
        ('{"service": "x", "image": "template/hello", "annotations": {"pando.warm": 1e999}}', "is not understood"),
        ({"service": "x", "image": "template/hello", "annotations": "x"}, "annotations: want an object"),
        ({"service": "x", "image": "template/hello", "limits": 5}, "limits: want an object"),
        ({"service": "x", "image": "template/hello", "labels": ["a"]}, "labels: want an object"),
        ({"service": "x", "image": "template/hello", "limits": {"memory": "64M"}}, "memory: settled by the template already"),
        ({"service": "x", "image": "hello.c\0"}, "no such handler"),
        pytest.param({"service": "x", "image": "h" * 300 + ".c"}, "no such handler", id="long"),
        ({"service": "x", "image": "\ud800"}, "no such handler"),
        pytest.param("[" * 100000, "no JSON", id="deep"),
    ],
)
def test_provider_refuses(serve, directory, body, words):
    gateway = serve("--handlers", str(directory))
    status, text = gateway.post("/system/functions", body)
    assert status == 400 and words in text.decode()


def test_handlers_need_a_folder(serve):
    status, text = serve().post("/system/functions", {"service": "x", "image": "c/hello.c"})
    assert status == 400 and b"pando serve --handlers" in text


def test_metrics(serve, fake):
    gateway = serve()
    for payload in ("x", "y", "crash"):
        gateway.post("/function/hello", payload)
    for made_up in ("made-up", "made-up%01", "made-up" * 700):  # the last two are refused before Pando hears of them
        assert gateway.post(f"/function/{made_up}", "x")[0] in (400, 404)
    status, body, headers = gateway.ask("GET", "/metrics")
    text = body.decode()
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=")
    for line in (
        'gateway_function_invocation_total{code="200",function_name="hello"} 2.0',
        'gateway_function_invocation_total{code="502",function_name="hello"} 1.0',
        'gateway_function_invocation_started_total{function_name="hello"} 3.0',
        'gateway_functions_seconds_count{function_name="hello"} 3.0',
        'gateway_service_count{function_name="hello"} 1.0',
        'pando_call_stage_seconds_count{function_name="hello",stage="handler"} 2.0',
        'pando_call_private_pages_sum{function_name="hello"} 46.0',
        'pando_call_breaks_total{class="copy",function_name="hello"} 24.0',
        'pando_vms{state="template"} 1.0',
        'pando_memory_bytes{kind="private"} 4096.0',
        'pando_memory_bytes{kind="total"} 1.073741824e+09',
        "pando_up 1.0",
    ):
        assert line in text, line
    assert "made-up" not in text
    fake.stop()
    assert "pando_up 0.0" in gateway.ask("GET", "/metrics")[1].decode()


def test_it_outlives_pando(serve, fake, directory):
    gateway = serve()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(gateway.ask, "POST", "/function/hello", "hold") for _ in range(8)]
        until(lambda: fake.calls() == 8)
        fake.stop()
        assert [call.result()[0] for call in calls] == [503] * 8
    for path in ("/function/hello", "/healthz", "/system/functions"):
        status, body, headers = gateway.ask("GET", path)
        assert status == 503 and headers["Retry-After"] == "1"
    with Fake(directory) as again:
        again.vms["hello"] = {"name": "hello", "state": "template"}
        again.run(again.do_function(None, ["set", "hello", "template=hello"], b""))
        end = time.monotonic() + 10
        while gateway.ask("GET", "/healthz")[0] != 200:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert gateway.post("/function/hello", "back") == (200, b"BACK")
        gateway.end()


def test_what_is_under_way_ends_well(serve, fake):
    gateway = serve()

    def refuses():
        try:
            gateway.ask("GET", "/healthz")
        except OSError:
            return True
        return False

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(gateway.post, "/function/hello", "hold") for _ in range(8)]
        until(lambda: fake.calls() == 8)
        gateway.process.send_signal(signal.SIGTERM)
        until(refuses)
        time.sleep(6)  # longer than aiohttp has for its own end
        fake.release()
        assert [call.result() for call in calls] == [(200, b"HOLD")] * 8
    assert (gateway.process.communicate(timeout=30)[1], gateway.process.returncode) == ("", 0)


def test_it_needs_a_pando_and_a_port(serve, directory, tmp_path):
    run = subprocess.run([TOP / "scripts/pando", "serve", "--dir", tmp_path], capture_output=True, text=True, check=False, timeout=30)
    assert run.returncode == 3 and "start one with `pando up`" in run.stderr
    command = [TOP / "scripts/pando", "serve", "--dir", directory, "--port", str(serve().port)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert run.returncode == 1 and run.stderr.startswith("pando: error: ") and "in use" in run.stderr


@pytest.mark.skipif(not shutil.which("wrk"), reason="no wrk (make setup installs it)")
def test_wrk_finds_no_errors(serve):
    gateway = serve()
    command = ["wrk", "-t1", "-c50", "-d3s", "--timeout", "20s", f"{gateway.url}/function/hello"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert int(re.search(r"(\d+) requests in", out)[1]) > 100, out
    assert "Socket errors" not in out and "Non-2xx" not in out, out
