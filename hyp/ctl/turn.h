/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Work that may be long is done in turns: as much as is good at a time, and what is left after as long a time as
 * this turn took, so that guests have their part of the hart.  (What a client waits for: after at most a turn's time.)
 */
#ifndef CTL_TURN_H
#define CTL_TURN_H

#include "arch/time.h"

#define TURN_NS 1000000UL

/* When what work that began at `begin` has left is done: after as long a time, at most TURN_NS.  Host ticks. */
static inline u64 turn_after(u64 begin)
{
	u64 now = time_now();

	return now + u64_min(now - begin, time_ns_to_ticks(TURN_NS));
}

struct turn {
	u64 begin, next; /* host ticks; next: 0 after a turn that has left nothing */
};

/* Is it time for one?  Then it begins. */
static inline bool must_check turn_begin(struct turn *t)
{
	t->begin = time_now();
	return t->begin >= t->next;
}

/* Has it taken its time? */
static inline bool turn_is_over(const struct turn *t)
{
	return time_now() - t->begin >= time_ns_to_ticks(TURN_NS);
}

static inline void turn_end(struct turn *t, bool is_behind)
{
	u64 now = time_now();

	t->next = is_behind ? now + (now - t->begin) : 0;
}

#endif
