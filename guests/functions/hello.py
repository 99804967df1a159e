# SPDX-License-Identifier: BSD-2-Clause
"""hello: takes a name (or nothing), gives a greeting."""

SAMPLE = b"world"


def handle(data: bytes) -> bytes:
    return b"Hello, " + (data or b"world") + b"!"
