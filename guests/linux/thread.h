/* SPDX-License-Identifier: BSD-2-Clause */
/* A thread without a C library: include it once. */
#ifndef GUESTS_LINUX_THREAD_H
#define GUESTS_LINUX_THREAD_H

#define THREAD_FLAGS 0x50f00L /* VM, FS, FILES, SIGHAND, THREAD, SYSVSEM */

/*
 * clone(2): fn(arg) runs on its own stack, and does not return. Gives the thread's number, or an error below 0. t0 and t1 survive the
 * call, in the thread as well.
 */
long thread_start(long flags, void *stack_top, void (*fn)(void *), void *arg);
__asm__("thread_start:\n"
        "	mv	t0, a2\n"
        "	mv	t1, a3\n"
        "	li	a2, 0\n"
        "	li	a3, 0\n"
        "	li	a4, 0\n"
        "	li	a7, 220\n"
        "	ecall\n"
        "	bnez	a0, 1f\n"
        "	mv	a0, t1\n"
        "	jalr	t0\n"
        "1:	ret\n");

#endif
