/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The write set of a function: pages that every call of it writes.  It is learned from the first
 * calls, each in a VM that nobody has used before; then VMs get these pages as their own before they want them.
 */
#ifndef CTL_WRITESET_H
#define CTL_WRITESET_H

#include "vm/vm.h"

#define WRITESET_MAX   512U /* pages */
#define WRITESET_CALLS 4U   /* to learn from */

struct writeset {
	u64 *gpa; /* a page of its own: n addresses, ascending; NULL: nothing has been learned */
	u32 n;
	u32 n_learned; /* calls so far */
};

/* Nothing is known any more. */
void writeset_forget(struct writeset *w);

static inline bool writeset_is_learned(const struct writeset *w)
{
	return w->n_learned >= WRITESET_CALLS;
}

/* `vm` has served one call since it was as its template is.  If there is no memory, nothing is learned. */
void writeset_learn(struct writeset *w, struct vm *vm);

/* Gives `vm` the pages; returns how many it has got.  Memory that is short stays with those who want it now. */
u32 writeset_copy(const struct writeset *w, struct vm *vm);

#endif
