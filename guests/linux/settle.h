/* SPDX-License-Identifier: BSD-2-Clause */
/* What an agent waits for before it stores READY, so that a clone finds nothing to do but its call. */
#ifndef SETTLE_H
#define SETTLE_H

#include "sys.h"

/* The boot leaves work behind, for timers, RCU and kernel threads. What is done before READY, no clone does again. */
static inline void let_kernel_settle(void)
{
	struct time second = { .seconds = 1 };

	syscall3(SYS_nanosleep, &second, 0, 0);
}

/* Returns right after a timer tick, which is when the coarse clock moves on: the next is a whole period away. */
static inline void await_tick(void)
{
	struct time start, now;

	syscall3(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &start, 0);
	do
		syscall3(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &now, 0);
	while (now.ns == start.ns);
}

#endif
