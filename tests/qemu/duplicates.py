# SPDX-License-Identifier: BSD-2-Clause
"""How many guest pages hold the same, counted from outside: QEMU keeps the machine's RAM in a file, and Pando's frame table
there says which frames are guests'."""

import mmap
import pathlib
import re
import struct
import subprocess

from pando import BUILD

RAM_BASE = 0x80000000
PAGE = 4096
COUNTED, BLOCK = 2, 3  # enum frame_class of hyp/mm/frame.h
RECORD = struct.Struct("<IBBHQ")  # struct frame: its class comes second


def symbol(name):
    """Where a static variable of 8 bytes at most lies; link-time optimisation adds to the names of some."""
    lines = subprocess.run(["riscv64-unknown-elf-nm", "-S", BUILD / "pando.elf"], capture_output=True, text=True, check=True).stdout
    (found,) = re.findall(rf"^(\w+) 0+[48] [bB] {name}(?:\.lto_priv\.\d+)?$", lines, re.MULTILINE)
    return int(found, 16)


class Ram:
    """A machine's memory as a file, of `mib` MiB."""

    def __init__(self, folder, mib):
        self.path, self.mib = pathlib.Path(folder) / "ram", mib

    def options(self):
        """What QEMU has to be told; -m has to say the same."""
        return ("-object", f"memory-backend-file,id=ram,share=on,mem-path={self.path},size={self.mib}M", "-machine", "memory-backend=ram")

    def guest_pages(self):
        """The contents of all frames that serve guests, while they stand still."""
        with open(self.path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as ram:
            (origin,) = struct.unpack_from("<Q", ram, symbol("map") - RAM_BASE)
            (n,) = struct.unpack_from("<I", ram, symbol("n_records") - RAM_BASE)
            first = origin + RAM_BASE // PAGE * RECORD.size - RAM_BASE
            for i, record in enumerate(RECORD.iter_unpack(ram[first : first + n * RECORD.size])):
                if record[1] in (COUNTED, BLOCK):
                    yield ram[i * PAGE : (i + 1) * PAGE]


def count(pages):
    """(frames, of them those that merging would free): zeroes need no frame, all others one for each content."""
    n, contents = 0, set()
    for page in pages:
        n += 1
        if any(page):
            contents.add(page)
    return n, n - len(contents)
