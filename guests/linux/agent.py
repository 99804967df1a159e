# SPDX-License-Identifier: BSD-2-Clause
"""agent.py PAGE WINDOW: what guests/linux/agent.c does, in Python, to see what a clone of an interpreter costs.

PAGE and WINDOW are the physical addresses, in hex, of the two parts of Pando's mailbox (docs/guest-abi.md). Its registers
take aligned accesses of 32 or 64 bits and no others. Python's own views of memory copy byte by byte on this machine; an array
of ctypes' pointers is accessed 64 bits at a time, so registers come in pairs, the lower one first."""

import ctypes
import mmap
import os
import sys
import time
from _sha2 import sha256  # hashlib would bring OpenSSL

READY, NEXT, DONE, WINDOW_LEN = 1, 2, 3, 4  # of each pair one register matters
CLONE_ID = READY

page, window = (int(text, 16) for text in sys.argv[1:3])
memory = os.open("/dev/mem", os.O_RDWR | os.O_SYNC)
regs = (ctypes.c_void_p * 5).from_buffer(mmap.mmap(memory, mmap.PAGESIZE, offset=page))
payload = mmap.mmap(memory, regs[WINDOW_LEN], offset=window)


def high(pair):
    """The upper register of a pair; a pair that reads as 0 is None to ctypes."""
    return (regs[pair] or 0) >> 32


def answer(message):
    """Puts the digest of a message into the window; its length."""
    digest = sha256(message).hexdigest().encode()
    payload[: len(digest)] = digest
    return len(digest)


def first_answer():
    return answer(b"pando clone %d" % high(CLONE_ID))


first_answer()  # what is written, mapped and looked up here, no clone does for the first time
time.sleep(1)

regs[READY] = 1
# From here on: a clone.
regs[DONE] = first_answer()
while True:
    regs[DONE] = answer(payload[: high(NEXT)])
