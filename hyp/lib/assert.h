/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * assert() is kept in release builds: it states what only a bug in Pando can
 * make false.  No guest can reach one; the fuzzers exist to prove that.
 */
#ifndef LIB_ASSERT_H
#define LIB_ASSERT_H

/* Prints hart, VM, pc, registers and a backtrace, then powers the machine off
 * with a non-zero code.  Defined by arch (and by the fake arch of host tests). */
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#undef assert
#define assert(cond)                                                                     \
	do {                                                                             \
		if (__builtin_expect(!(cond), 0))                                        \
			panic("%s:%d: assertion failed: %s", __FILE__, __LINE__, #cond); \
	} while (0)

#endif
