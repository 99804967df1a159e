/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a function in a clone, as far as it is the same for every runtime (docs/functions.md):
 *
 *   life_open()     once: find and map the mailbox, catch crashes
 *   life_freeze()   once, when everything is warm: the template stays in there, clones come out, with an identity of their own
 *   life_next()     wait for a call
 *   life_start()    the handler begins
 *   life_end()      it has ended
 *   life_answer()   the result, or what went wrong, lies at the start of the window
 *
 * What a clone writes and each access to the mailbox cost something in every call. So there is no system call here but
 * for the two that identity needs, and NEXT comes with GENERATION in one load.
 */
#ifndef GUESTS_LINUX_FUNCTION_LIFE_H
#define GUESTS_LINUX_FUNCTION_LIFE_H

#include "../sys.h"

enum status { /* of docs/guest-abi.md */
	      STATUS_ANSWER = 0,
	      STATUS_FAILED = 1,
	      STATUS_CRASHED = 2,
	      STATUS_TOO_LONG = 3
};

#define HOST_NAME_LEN 64UL /* Linux's longest */

struct life {
	volatile void *regs;
	u8 *window;
	u64 room; /* bytes at the start of the window for payload and answer: all of it, unless the agent takes some away */
	u32 generation; /* whose identity this is; 0 in the template */
	u32 is_ready, is_clock_wrong;
	u64 name_len;
	char name[HOST_NAME_LEN +
	          16]; /* the function's: the host name that the kernel was booted with */
};

/* Ends the guest with a line on its console if that cannot be. */
void life_open(struct life *l);

/* Crashes are reported by way of *l from now on: life_open() has said so for its own, and an agent may move that. */
void life_catch(struct life *l);

/* Returns in a clone: 1, and its identity is its own; or in the VM itself, if it was let go on: 0. Every page of the window is mapped and may be written without a fault in the guest. */
int life_freeze(struct life *l);

/* The payload's length; it lies at the start of the window. *is_new: this is another VM than at the last call, a fork's child. */
u64 life_next(struct life *l, int *is_new);

void life_start(struct life *l);
void life_end(struct life *l);
void life_answer(struct life *l, enum status status, u64 len);

/* 32 random bits that no other clone has. */
u32 life_random(const struct life *l);

/* A NUL-ended text as the message of this status. */
void life_say(struct life *l, enum status status, const char *text);

/* The same with a number at its end. */
void life_say_number(struct life *l, enum status status, const char *text, u64 number);

/* "answer of N bytes, M fit" */
void life_too_long(struct life *l, u64 len, u64 room);

/* The runtime is past help: reports why, and ends the guest. Before life_freeze() the console gets the report. */
_Noreturn void life_crash(struct life *l, const char *why);

#endif
