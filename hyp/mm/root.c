// SPDX-License-Identifier: BSD-2-Clause
/*
 * Pages for root tables: four frames in one piece, zeroed.
 *
 * A root uses a handful of its 2048 slots.  Whoever is done with one clears just
 * those, and it is kept ready for the next; idle harts prepare some as well.  What
 * is kept ready counts as free, except for those that are promised to some space.
 */
#include "mm/root.h"

#include "arch/lock.h"
#include "arch/page.h"
#include "arch/phys.h"
#include "lib/assert.h"
#include "mm/pte.h"

#define AHEAD    16U   /* idle harts prepare up to this many */
#define KEPT_MAX 1024U /* kept for the next, 16 MiB */

static struct spinlock lock = LOCK_INIT(LOCK_REAP);
static struct frame *first; /* lock: chained by link.next */
static u32 n_ready;         /* lock */
static u32 n_promised;      /* lock: of these, put aside */

static struct frame *unchain(void)
{
	struct frame *f = first;

	first = f->link.next;
	n_ready--;
	return f;
}

static struct frame *pop(enum frame_use use)
{
	struct frame *f = NULL;

	lock_acquire(&lock);
	if (use == FRAME_PROMISED) {
		assert(n_promised > 0);
		n_promised--;
		f = unchain();
	} else if (n_ready > n_promised) {
		f = unchain();
		frame_note_pooled(-(s64)BIT(ROOT_ORDER));
	}
	lock_release(&lock);
	return f;
}

static void push(struct frame *f)
{
	for (u32 k = 0; k < BIT(ROOT_ORDER); k++)
		f[k].class = FRAME_POOL;
	lock_acquire(&lock);
	f->link.next = first;
	first = f;
	n_ready++;
	frame_note_pooled((s64)BIT(ROOT_ORDER));
	lock_release(&lock);
}

static COLD struct frame *make(enum frame_use use)
{
	struct frame *f = frame_alloc_order(ROOT_ORDER, use);

	for (u32 k = 0; f && k < BIT(ROOT_ORDER); k++)
		page_zero((u8 *)hpa_ptr(frame_hpa(f)) + k * PAGE_SIZE);
	return f;
}

struct frame *root_get(enum frame_use use)
{
	struct frame *f = pop(use);

	return f ? f : make(use);
}

void root_put(struct frame *f)
{
	if (n_ready < KEPT_MAX && !frame_is_short())
		push(f);
	else
		frame_free_order(f, ROOT_ORDER);
}

bool root_ahead(void)
{
	struct frame *f;

	if (n_ready - n_promised >= AHEAD)
		return false;
	f = make(FRAME_FOR_GUEST); /* what is kept for later is not worth the reserve */
	if (!f)
		return false;
	push(f);
	return n_ready - n_promised < AHEAD;
}

void root_drain(void)
{
	struct frame *f;

	while ((f = pop(FRAME_FOR_PANDO)))
		frame_free_order(f, ROOT_ORDER);
}

/* Puts one of those kept ready aside. */
static bool reserve(void)
{
	bool is_there;

	lock_acquire(&lock);
	is_there = n_ready > n_promised;
	if (is_there) {
		n_promised++;
		frame_note_pooled(-(s64)BIT(ROOT_ORDER)); /* not free any more */
	}
	lock_release(&lock);
	return is_there;
}

bool root_promise(void)
{
	struct frame *f;

	while (!reserve()) {
		f = make(FRAME_FOR_GUEST);
		if (!f)
			return false;
		push(f);
	}
	return true;
}

void root_unpromise(void)
{
	lock_acquire(&lock);
	assert(n_promised > 0);
	n_promised--;
	frame_note_pooled((s64)BIT(ROOT_ORDER));
	lock_release(&lock);
}

u32 root_n_promised(void)
{
	return n_promised;
}
