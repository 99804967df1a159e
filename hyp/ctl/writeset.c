/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Write sets.  What one call has written are the pages that its VM has alone; what all have written is what is in each
 * of these lists.  A page that only some calls write is left to them: a copy that nobody needs
 * costs as much as a break that is spared.  Of the window it is the first page alone: how many more are written is the
 * payload's matter, not the function's.
 *
 * The merge scanner leaves such VMs alone: it would find that what they have is as in their template, and take it.
 */
#include "ctl/writeset.h"
#include "mm/pool.h"

_Static_assert(WRITESET_MAX * sizeof(u64) <= PAGE_SIZE, "a page of its own");

void writeset_forget(struct writeset *w)
{
	if (w->gpa != NULL)
		page_free(w->gpa);
	*w = (struct writeset){ 0 };
}

/* The pages that a VM has alone, one after the other. */
struct cursor {
	struct space *space;
	struct region run; /* what is left of it; len 0: the end */
};

static void next_run(struct cursor *c, u64 from)
{
	if (!space_next_private(c->space, GPA(from), &c->run))
		c->run.len = 0;
}

static void next_page(struct cursor *c)
{
	c->run.base.v += PAGE_SIZE;
	c->run.len -= PAGE_SIZE;
	if (c->run.len == 0)
		next_run(c, c->run.base.v);
}

static void learn_first(struct writeset *w, struct cursor *c, u64 end)
{
	for (; c->run.len > 0 && c->run.base.v < end && w->n < WRITESET_MAX; next_page(c))
		w->gpa[w->n++] = c->run.base.v;
}

/* Both are ascending. */
static void learn_more(struct writeset *w, struct cursor *c)
{
	u32 kept = 0;

	for (u32 i = 0; i < w->n; i++) {
		while (c->run.len > 0 && c->run.base.v < w->gpa[i])
			next_page(c);
		if (c->run.len > 0 && c->run.base.v == w->gpa[i])
			w->gpa[kept++] = w->gpa[i];
	}
	w->n = kept;
}

void writeset_learn(struct writeset *w, struct vm *vm)
{
	struct cursor c = { .space = &vm->space };

	if (writeset_is_learned(w))
		return;
	if (w->gpa == NULL)
		w->gpa = page_alloc_raw(FRAME_FOR_GUEST);
	if (w->gpa == NULL)
		return;
	next_run(&c, 0);
	if (w->n_learned == 0)
		learn_first(w, &c, vm->window.base.v + PAGE_SIZE);
	else
		learn_more(w, &c);
	w->n_learned++;
}

u32 writeset_copy(const struct writeset *w, struct vm *vm)
{
	if (w->n == 0)
		return 0;
	scan_spare(&vm->space);
	return space_own_pages(&vm->space, w->gpa, w->n);
}
