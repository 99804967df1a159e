# SPDX-License-Identifier: BSD-2-Clause
"""Pando from Python: start it, boot and clone VMs, deploy functions and call them.

    import pando

    with pando.up(harts=2, mem="4G") as p:          # or pando.connect(), to one that runs
        p.deploy("hello", runtime="c", handler="guests/functions/hello.c")
        call = p.invoke("hello", "world")
        print(call.text(), call.data["t"])          # the answer, and its time line
        print(p.invoke_many("hello", "world", n=1000, concurrency=50).text())
        for vm in p.vms():
            print(vm["name"], vm["private"])
        p.down()

AsyncPando (connect_async(), up_async()) is the same for asyncio, where many calls can be under way at once. What Pando refuses is
raised as a CommandError with the protocol's code; errors.py has them all. Put scripts/lib into PYTHONPATH to import this."""

from .api import AsyncPando, Call, Pando, connect, up, up_async
from .errors import (
    Absent,
    AnswerTooLong,
    Broken,
    Busy,
    CallTimeout,
    CommandError,
    ConnectionLost,
    Crashed,
    Exists,
    FunctionFailed,
    NoMemory,
    NotRunning,
    PandoError,
    PortsTaken,
)
from .load import Load

connect_async = AsyncPando.connect

__all__ = [
    "Absent",
    "AnswerTooLong",
    "AsyncPando",
    "Broken",
    "Busy",
    "Call",
    "CallTimeout",
    "CommandError",
    "ConnectionLost",
    "Crashed",
    "Exists",
    "FunctionFailed",
    "Load",
    "NoMemory",
    "NotRunning",
    "Pando",
    "PandoError",
    "PortsTaken",
    "connect",
    "connect_async",
    "up",
    "up_async",
]
