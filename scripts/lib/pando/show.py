# SPDX-License-Identifier: BSD-2-Clause
"""What people see: sizes, and a bar for what takes long. A bar is drawn on stderr, only if that is a terminal, and only when a
quarter of a second has passed."""

import shutil
import sys
import time


def size(n):
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.3g} {unit}" if n < 1000 else f"{n:.0f} {unit}"
        n /= 1024
    return f"{n:.3g} GiB" if n < 1000 else f"{n:.0f} GiB"


class Progress:
    """`with Progress("uploading") as bar: bar(n, of)`. `unit`: how n is shown, such as size."""

    EVERY = 0.1  # seconds

    def __init__(self, what, unit=str, stream=None):
        self.what, self.unit = what, unit
        self.stream = stream or sys.stderr
        self.wanted = self.stream.isatty()
        self.next = time.monotonic() + 0.25
        self.drawn = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clear()

    def __call__(self, n, of):
        now = time.monotonic()
        if not self.wanted or now < self.next:
            return
        self.next = now + self.EVERY
        room = max(10, min(40, shutil.get_terminal_size().columns - len(self.what) - 30))
        full = room * n // max(of, 1)
        self.stream.write(f"\r\x1b[K{self.what} [{'#' * full}{'.' * (room - full)}] {self.unit(n)} of {self.unit(of)}")
        self.stream.flush()
        self.drawn = True

    def say(self, text):
        """A line that stays, on a terminal."""
        if self.wanted:
            self.clear()
            self.stream.write(text + "\n")
            self.stream.flush()

    def clear(self):
        if self.drawn:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
            self.drawn = False
