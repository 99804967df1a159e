/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's clock and this hart's one host timer.  Unit: ticks of the timebase. */
#ifndef ARCH_TIME_H
#define ARCH_TIME_H

#include "lib/types.h"

#define TIME_NEVER UINT64_MAX

/* rdtime: ticks since some moment before boot; same on all harts. */
u64 time_now(void);

/* rdinstret of this hart: exact under `qemu -icount`, meaningless otherwise. */
u64 time_instret(void);

/* A moment on both clocks of this hart, or what something has cost. */
struct time_cost {
	u64 ticks, instret;
};

static inline struct time_cost time_cost_now(void)
{
	return (struct time_cost){ time_now(), time_instret() };
}

static inline struct time_cost time_cost_since(struct time_cost start)
{
	return (struct time_cost){ time_now() - start.ticks, time_instret() - start.instret };
}

/*
 * Time that adds up over stretches, in one word, so that other harts may look at it at any moment.  While a
 * stretch lasts it holds the sum less the moment of its start; that is below zero, since nothing has
 * lasted longer than the clock runs.
 */
struct time_span {
	u64 sum;
};

static inline void time_span_start(struct time_span *s)
{
	__atomic_store_n(&s->sum, s->sum - time_now(), __ATOMIC_RELAXED);
}

static inline void time_span_stop(struct time_span *s)
{
	__atomic_store_n(&s->sum, s->sum + time_now(), __ATOMIC_RELAXED);
}

/* In ticks, up to now. */
static inline u64 time_span_ticks(const struct time_span *s)
{
	u64 sum = __atomic_load_n(&s->sum, __ATOMIC_RELAXED);

	return (s64)sum < 0 ? sum + time_now() : sum;
}

/* Arms this hart's host timer (Sstc's stimecmp, else firmware); TIME_NEVER disarms. */
void timer_set(u64 deadline_ticks);

u64 time_ticks_to_ns(u64 ticks);
u64 time_ns_to_ticks(u64 ns);

#endif
