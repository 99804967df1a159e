# SPDX-License-Identifier: BSD-2-Clause
"""Experiments without a Pando of their own: their files, the trace, what is asked of it, what is written."""

import asyncio
import pathlib
import types

import pytest
from pando import Absent, AsyncPando
from pando.experiment import kinds, lab, output, spec, trace

TOP = pathlib.Path(__file__).resolve().parents[2]
SHIPPED = sorted((TOP / "scripts/experiments").glob("*.toml"))

GOOD = """
title = "T"
kind = "scale"
[machine]
harts = 1
mem = "1G"
[[function]]
name = "f"
runtime = "c"
handler = "f.c"
data = "x"
[measure]
counts = [1, 2]
"""


def write(folder, text):
    (folder / "f.c").touch()
    path = folder / "e.toml"
    path.write_text(text)
    return path


def read(folder, text, overrides=()):
    return spec.read(write(folder, text), kinds.SETTINGS, overrides)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped(path):
    wanted = spec.read(path, kinds.SETTINGS)
    assert wanted.kind in kinds.MEASURES
    assert wanted.name == path.stem


def test_every_kind_is_shipped():
    assert {spec.read(path, kinds.SETTINGS).kind for path in SHIPPED} == kinds.SETTINGS.keys() == kinds.MEASURES.keys()


def test_read(tmp_path):
    wanted = read(tmp_path, GOOD)
    assert (wanted.name, wanted.title, wanted.harts, wanted.mem, wanted.measure) == ("e", "T", 1, "1G", {"counts": [1, 2]})
    assert wanted.functions == [spec.Wanted("f", "c", tmp_path / "f.c", b"x")]


def test_overrides(tmp_path):
    assert read(tmp_path, GOOD, ["counts=[3]"]).measure == {"counts": [3]}


def test_only(tmp_path):
    with pytest.raises(spec.SpecError, match="no function g; there are f"):
        spec.read(write(tmp_path, GOOD), kinds.SETTINGS, only=["g"])
    assert [f.name for f in spec.read(SHIPPED[-1], kinds.SETTINGS, only=["bfs"]).functions] == ["bfs"]


@pytest.mark.parametrize(
    "old, new, why",
    [
        ('kind = "scale"', 'kind = "scales"', "kind = 'scales'; known are memory, scale, size, start, trace"),
        ('title = "T"', 'titel = "T"', "unknown key 'titel'"),
        ("harts = 1", "hart = 1", r"\[machine\]: unknown key 'hart'"),
        ("counts = [1, 2]", "count = [1, 2]", r"\[measure\]: unknown key 'count'; known are counts"),
        ("counts = [1, 2]", "counts = []", "counts = .* should be like"),
        ("counts = [1, 2]", "counts = [1, -2]", "counts = .* should be like"),
        ("counts = [1, 2]", 'counts = ["1"]', "counts = .* should be like"),
        ("counts = [1, 2]", "counts = [true]", "counts = .* should be like"),
        ('handler = "f.c"', 'handler = "g.c"', "function 1: no handler .*g.c"),
        ('runtime = "c"', "", "function 1: runtime is missing"),
        ('name = "f"', 'name = "F!"', "function 1: a name has small letters"),
        ('data = "x"', 'memory = "12"', "'12' is no size"),
        ("[[function]]", "[function]", "function 1"),
        ("[measure]", "[measure", "e.toml: "),
    ],
)
def test_refusals(tmp_path, old, new, why):
    assert old in GOOD
    with pytest.raises(spec.SpecError, match=why):
        read(tmp_path, GOOD.replace(old, new))


def test_no_such_file(tmp_path):
    with pytest.raises(spec.SpecError, match="No such file"):
        spec.read(tmp_path / "none.toml", kinds.SETTINGS)


@pytest.mark.parametrize("word, why", [("counts", "KEY=VALUE"), ("counts=[", "counts=")])
def test_bad_override(tmp_path, word, why):
    with pytest.raises(spec.SpecError, match=why):
        read(tmp_path, GOOD, [word])


def test_trace(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("HashOwner,HashApp,HashFunction,Trigger,1,2,10\no,a,rare,http,0,1,\no,a,busy,http,3,0,2\n")
    rows = trace.read(path)
    assert rows == [("busy", [3, 0, 2]), ("rare", [0, 1, 0])]
    calls = trace.arrivals(rows, 2, 5.0, seed=1)
    assert calls == sorted(calls) == trace.arrivals(rows, 2, 5.0, seed=1)
    assert [name for _, name in calls] == ["busy"] * 3 + ["rare"]
    assert all(at < 5 for at, _ in calls[:3]) and 5 <= calls[3][0] < 10
    assert calls != trace.arrivals(rows, 2, 5.0, seed=2)


@pytest.mark.parametrize(
    "text, why",
    [
        ("a,b\n1,2\n", "not an Azure Functions trace"),
        ("", "not an Azure Functions trace"),
        ("HashOwner,HashApp,HashFunction,Trigger,1\no,a,f,http,x\n", "invalid literal"),
        ("HashOwner,HashApp,HashFunction,Trigger,1\no,a,f,http,-1\n", "negative"),
    ],
)
def test_bad_trace(tmp_path, text, why):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(spec.SpecError, match=why):
        trace.read(path)


def test_output(tmp_path):
    wanted = spec.Spec("e", "Title", "scale", functions=[types.SimpleNamespace(name="f")], measure={"counts": [1, 2]})
    out = output.Output(tmp_path, wanted, lambda text: None)
    rows = [{"function": "f", "n": n, "i": i, "answer_ns": 1000000 * (i + 1)} for n in (1, 2) for i in range(n)]
    kinds.report_scale(wanted, out, rows, [("f", 1, 10**9), ("f", 2, 10**9)])
    text = out.finish("10.0")
    assert (tmp_path / "e.csv").read_text().splitlines() == ["function,n,i,answer_ns", "f,1,0,1000000", "f,2,0,1000000", "f,2,1,2000000"]
    assert "| f | 2 | 1 ms | 2 ms | 2 ms | 1 s | 2 |" in text and "QEMU 10.0" in text
    assert (tmp_path / "e.md").read_text() == text
    assert "<svg" in (tmp_path / "e-latency.svg").read_text()


def test_a_call_at_the_very_end_of_a_trace(tmp_path):
    """Its second is rounded, to one that is beyond."""
    settings = {"minutes": 2, "minute_s": 3.0}
    wanted = spec.Spec("e", "Title", "trace", functions=[types.SimpleNamespace(name="f")], measure=settings)
    rows = [{"second": second, "function": "f", "late_ns": 0, "answer_ns": 10**6} for second in ("0.000", f"{5.9996:.3f}")]
    kinds.report_replay(wanted, output.Output(tmp_path, wanted, lambda text: None), rows)
    assert "<svg" in (tmp_path / "e-latency.svg").read_text()


def test_lab(fake, directory):
    """What a measurement asks of a Pando is asked in the package's own ways: again while it is busy, and with its errors."""
    fake.vms["hello"] = {"name": "hello", "state": "template"}
    fake.run(fake.do_function(None, ["set", "hello", "template=hello"], b""))
    fake.busy = 5

    async def body():
        async with await AsyncPando.connect(directory) as pando:
            measured = lab.Lab(pando, print, None)
            assert (await measured.invoke("hello", b"x")).payload == b"X"
            await measured.set_function("hello", mode="reset", warm=3)
            with pytest.raises(Absent, match="`pando deploy` makes one"):
                await measured.set_function("nobody", warm=3)

    asyncio.run(body())
    assert fake.busy == 0 and (fake.functions["hello"]["mode"], fake.functions["hello"]["warm"]) == ("reset", 3)
