/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers of one hart in order of their deadlines: a pairing heap whose nodes lie
 * in the vCPUs, so that it needs no memory and an insert touches two nodes, with
 * two or two thousand sleepers.  The caller holds whatever lock guards the queue.
 */
#ifndef VM_TIMERQ_H
#define VM_TIMERQ_H

#include "lib/types.h"

struct timer_node {
	u64 deadline; /* host ticks */
	struct timer_node *child, *sibling;
	struct timer_node **link; /* the pointer that names this node; NULL: not queued */
};

struct timerq {
	struct timer_node *first; /* the earliest deadline; NULL: none */
};

/* `n` must not be queued; n->deadline is set. */
void timerq_insert(struct timerq *q, struct timer_node *n);

/* Takes `n` out; nothing happens if it is not queued. */
void timerq_remove(struct timerq *q, struct timer_node *n);

static inline bool timerq_has(const struct timer_node *n)
{
	return n->link != NULL;
}

#endif
