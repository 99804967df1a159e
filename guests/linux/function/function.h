/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a function in C and its agent have in common. `pando deploy` includes it before the function's first line, so it
 * need not be included; all of the C library is there besides (musl, linked statically).
 */
#ifndef GUESTS_LINUX_FUNCTION_FUNCTION_H
#define GUESTS_LINUX_FUNCTION_FUNCTION_H

/* The function: reads `len` bytes at `in`, writes its answer to `out`, at most `room` bytes, and returns the answer's length,
 * or what function_fail() returned. `in` and `out` do not overlap; `in` ends with a NUL that does not count. More than
 * `room` means: the answer would have been that long, and did not fit. */
long handle(const unsigned char *in, unsigned long len, unsigned char *out, unsigned long room);

/* The call has failed, and this is why. */
long function_fail(unsigned char *out, unsigned long room, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- what a function may define besides */

/* A payload with which it is called once in the template: what it writes, maps and looks up there, no clone does for
 * the first time. */
extern const char function_sample[];

/* Called in the template before that: open, build, allocate what every call needs. */
void function_warm(void);

/* Called in each clone before its first call, when clock, host name and random numbers are the clone's own. */
void function_cloned(void);

#endif
