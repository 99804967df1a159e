# SPDX-License-Identifier: BSD-2-Clause
"""Why a target is missed, by the beginning of a row's name. Shown only as long as it is missed."""

REASONS = {
    "sbi-call": "saving and restoring all registers is 113 of it; the rest opens and closes the window for fences, looks for requests, and counts the time in the guest",
    "zero-fill-ahead": "no page is touched: all of it is the exit, the space's lock, the PTE, the fences and the way back",
    "first-break": "three tables are copied, live entries only, and the page; what each entry names is counted",
    "break-split-block": "512 entries are written and the page is copied",
    "break-private-table": "copying the page is 1,224 of it; the rest is the exit, the space's lock, a frame, the PTE written twice with a fence between",
    "break-after-read": "as for a break with a private table: a page that was read before costs the same",
    "last-owner": "no page is touched: all of it is the exit, the walk by the cached path, the space's lock, the PTE and the fence",
    "first-entry": "after the call come the start (a place in a run queue), the pick, and loading a vCPU with all its CSRs",
    "flat-count": "a clone's name ends in its number, and each digit costs a division and a store",
    "fork": "each page written since the last freeze is visited twice: W is cleared, and the frame is put into the region's new block",
    "reset-all": "every private frame goes back by itself: its count, its class, and a list of free frames are touched",
    "reset": "its vCPUs are stopped first, and registers and devices are copied from the template as for a clone",
    "destroy-all": "every private frame goes back by itself: its count, its class, and a list of free frames are touched",
    "memory-answer": "in a clone that answers as one of several at once, the kernel's timer tick comes first and dirties its pages",
    "memory-idle": "what the guest's kernel does by itself: ticks, workqueues, RCU",
    "speed-up": "a figure of the machine below as well: it wants two idle cores",
    "break-spread": "the lists of free frames have one lock; harts fetch frames from them in batches",
}


def reason_for(name):
    return next((text for start, text in REASONS.items() if name.startswith(start)), "")
