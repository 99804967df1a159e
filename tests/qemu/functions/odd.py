# SPDX-License-Identifier: BSD-2-Clause
"""A function for test_linux_functions.py: does what its payload says, "VERB" or "VERB NUMBER". What it does not know it gives back."""

import ctypes
import os
import random
import socket
import sys
import time

calls = 0


def cloned():
    global calls
    calls = 100


def identity(_):
    words = [socket.gethostname(), int(time.time()), os.urandom(8).hex(), random.getrandbits(62), random.random(), calls]
    return " ".join(str(word) for word in words).encode()


def fail(n):
    raise ValueError(f"no luck, error {n}")


def fail_unsaid(_):
    raise ValueError("bad name \udc80")  # as of a file whose name is not UTF-8


def recurse(n):
    return recurse(n + 1) + 1


def hang(_):
    while True:
        pass


VERBS = {
    "identity": identity,
    "fail": fail,
    "unsaid": fail_unsaid,
    "sorted": lambda _: bytes(sorted(x for x in b"cab")),
    "exit": sys.exit,
    "_exit": os._exit,
    "segv": lambda _: ctypes.string_at(8, 1),
    "abort": lambda _: os.abort(),
    "stack": recurse,
    "hang": hang,
    "text": lambda _: "not bytes",
    "fill": lambda n: b"x" * n,
    "memory": lambda n: bytearray(n << 20),
}


def handle(data: bytes) -> bytes:
    global calls
    calls += 1
    words = data.split() if len(data) < 40 else []
    if words and (verb := VERBS.get(words[0].decode("latin-1"))):
        return verb(int(words[1]) if len(words) > 1 else 0)
    return bytearray(data)
