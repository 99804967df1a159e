// SPDX-License-Identifier: BSD-2-Clause
/*
 * Small objects.  Each frame of a pool starts with a header; behind it lie the
 * objects.  Free objects are chained through their first word; those never used
 * yet lie behind `n_carved`.  Full frames are in no list: an object finds its
 * frame's header by rounding its address down.
 */
#include "mm/pool.h"

#include <string.h>
#include "arch/page.h"
#include "arch/phys.h"
#include "lib/assert.h"
#include "mm/frame.h"

struct pool_page {
	struct pool_page *next, *prev; /* in pool->partial */
	struct pool *pool;
	void *free; /* first freed object */
	u32 n_used;
	u32 n_carved;
	u64 pad[3];
};
_Static_assert(sizeof(struct pool_page) == 64, "objects start 64 bytes into the frame");

static _Atomic u64 n_frames;

static void note_frames(s64 delta)
{
	atomic_fetch_add_explicit(&n_frames, (u64)delta, memory_order_relaxed);
}

u64 pool_n_frames(void)
{
	return atomic_load(&n_frames);
}

static u32 page_capacity(const struct pool *p)
{
	return (u32)((PAGE_SIZE - sizeof(struct pool_page)) / p->obj_len);
}

static void partial_push(struct pool *p, struct pool_page *pg)
{
	pg->prev = NULL;
	pg->next = p->partial;
	if (pg->next)
		pg->next->prev = pg;
	p->partial = pg;
}

static void partial_remove(struct pool *p, struct pool_page *pg)
{
	if (pg->prev)
		pg->prev->next = pg->next;
	else
		p->partial = pg->next;
	if (pg->next)
		pg->next->prev = pg->prev;
}

static struct pool_page *page_new(struct pool *p)
{
	struct frame *f = frame_alloc(FRAME_FOR_PANDO);
	struct pool_page *pg;

	if (!f)
		return NULL;
	f->class = FRAME_POOL;
	note_frames(1);
	pg = hpa_ptr(frame_hpa(f));
	*pg = (struct pool_page){ .pool = p };
	return pg;
}

void *pool_alloc_raw(struct pool *p)
{
	struct pool_page *pg;
	void *obj;

	assert(p->obj_len <= PAGE_SIZE - sizeof(*pg));
	lock_acquire(&p->lock);
	pg = p->partial;
	if (!pg) {
		pg = page_new(p);
		if (!pg) {
			lock_release(&p->lock);
			return NULL;
		}
		partial_push(p, pg);
	}
	obj = pg->free;
	if (obj)
		pg->free = *(void **)obj;
	else
		obj = (u8 *)(pg + 1) + (u64)pg->n_carved++ * p->obj_len;
	if (++pg->n_used == page_capacity(p))
		partial_remove(p, pg);
	p->n_objects++;
	lock_release(&p->lock);
	return obj;
}

void *pool_alloc(struct pool *p)
{
	void *obj = pool_alloc_raw(p);

	return obj ? memset(obj, 0, p->obj_len) : NULL;
}

void pool_free(struct pool *p, void *obj)
{
	struct pool_page *pg = (void *)ALIGN_DOWN((u64)obj, PAGE_SIZE);
	bool empty;

	assert(pg->pool == p);
	lock_acquire(&p->lock);
	if (pg->n_used == page_capacity(p))
		partial_push(p, pg);
	*(void **)obj = pg->free;
	pg->free = obj;
	p->n_objects--;
	empty = --pg->n_used == 0;
	if (empty)
		partial_remove(p, pg);
	lock_release(&p->lock);
	if (empty) {
		note_frames(-1);
		frame_free(frame_of(ptr_hpa(pg)));
	}
}

void *pages_alloc(u32 order)
{
	struct frame *f = frame_alloc_order(order, FRAME_FOR_PANDO);
	u8 *pages;

	if (!f)
		return NULL;
	note_frames((s64)BIT(order));
	pages = hpa_ptr(frame_hpa(f));
	for (u32 k = 0; k < 1U << order; k++) {
		f[k].class = FRAME_POOL;
		page_zero(pages + k * PAGE_SIZE);
	}
	return pages;
}

void pages_free(void *pages, u32 order)
{
	note_frames(-(s64)BIT(order));
	frame_free_order(frame_of(ptr_hpa(pages)), order);
}
