// SPDX-License-Identifier: BSD-2-Clause
/*
 * Small objects.  Each frame of a pool starts with a header; behind it lie the
 * objects.  Free objects are chained through their first word; those never used
 * yet lie behind `n_carved`.  Full frames are in no list: an object finds its
 * frame's header by rounding its address down.
 *
 * Promised objects are a number: so many free ones stay in the pages.  Pages without
 * any object in use are kept for them, and go when the promise goes.
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

/* One more page, all of it free. */
static COLD bool page_add(struct pool *p)
{
	struct frame *f = frame_alloc(p->use);
	struct pool_page *pg;

	if (!f)
		return false;
	f->class = FRAME_POOL;
	note_frames(1);
	pg = hpa_ptr(frame_hpa(f));
	*pg = (struct pool_page){ .pool = p };
	partial_push(p, pg);
	p->n_free += page_capacity(p);
	return true;
}

/* Can a page that has no object in use go without breaking a promise? */
static bool page_is_spare(const struct pool *p, const struct pool_page *pg)
{
	return pg->n_used == 0 && p->n_free >= p->n_promised + page_capacity(p);
}

static COLD void page_remove(struct pool *p, struct pool_page *pg)
{
	partial_remove(p, pg);
	p->n_free -= page_capacity(p);
	note_frames(-1);
	frame_free(frame_of(ptr_hpa(pg)));
}

/* There is a free object. */
static inline void *take(struct pool *p)
{
	struct pool_page *pg = p->partial;
	void *obj = pg->free;

	if (obj)
		pg->free = *(void **)obj;
	else
		obj = (u8 *)(pg + 1) + (u64)pg->n_carved++ * p->obj_len;
	if (++pg->n_used == page_capacity(p))
		partial_remove(p, pg);
	p->n_objects++;
	p->n_free--;
	return obj;
}

void *pool_alloc_raw(struct pool *p)
{
	void *obj = NULL;

	assert(p->obj_len <= PAGE_SIZE - sizeof(struct pool_page));
	lock_acquire(&p->lock);
	if (p->n_free > p->n_promised || page_add(p))
		obj = take(p);
	lock_release(&p->lock);
	return obj;
}

void *pool_alloc(struct pool *p)
{
	void *obj = pool_alloc_raw(p);

	return obj ? memset(obj, 0, p->obj_len) : NULL;
}

COLD void *pool_alloc_promised(struct pool *p)
{
	void *obj;

	lock_acquire(&p->lock);
	assert(p->n_promised > 0 && p->n_free > 0);
	p->n_promised--;
	obj = take(p);
	lock_release(&p->lock);
	return memset(obj, 0, p->obj_len);
}

static inline void give(struct pool *p, void *obj)
{
	struct pool_page *pg = (void *)ALIGN_DOWN((u64)obj, PAGE_SIZE);

	assert(pg->pool == p);
	if (pg->n_used == page_capacity(p))
		partial_push(p, pg);
	*(void **)obj = pg->free;
	pg->free = obj;
	pg->n_used--;
	p->n_objects--;
	p->n_free++;
	if (page_is_spare(p, pg))
		page_remove(p, pg);
}

void pool_free(struct pool *p, void *obj)
{
	lock_acquire(&p->lock);
	give(p, obj);
	lock_release(&p->lock);
}

void pool_free_chain(struct pool *p, void *first, size_t link)
{
	lock_acquire(&p->lock);
	for (u8 *obj = first, *next; obj; obj = next) {
		next = *(u8 **)(obj + link);
		give(p, obj);
	}
	lock_release(&p->lock);
}

static void remove_spare(struct pool *p)
{
	struct pool_page *next;

	for (struct pool_page *pg = p->partial; pg; pg = next) {
		next = pg->next;
		if (page_is_spare(p, pg))
			page_remove(p, pg);
	}
}

bool pool_promise(struct pool *p, u64 n)
{
	bool fits = true;

	lock_acquire(&p->lock);
	while (fits && p->n_free < p->n_promised + n)
		fits = page_add(p);
	if (fits)
		p->n_promised += n;
	else
		remove_spare(p);
	lock_release(&p->lock);
	return fits;
}

void pool_unpromise(struct pool *p, u64 n)
{
	lock_acquire(&p->lock);
	assert(p->n_promised >= n);
	p->n_promised -= n;
	remove_spare(p);
	lock_release(&p->lock);
}

void *page_alloc_raw(enum frame_use use)
{
	struct frame *f = frame_alloc(use);

	if (!f)
		return NULL;
	f->class = FRAME_POOL;
	note_frames(1);
	return hpa_ptr(frame_hpa(f));
}

void page_free(void *page)
{
	note_frames(-1);
	frame_free(frame_of(ptr_hpa(page)));
}

void *pages_alloc_raw(u32 order, enum frame_use use)
{
	struct frame *f = frame_alloc_order(order, use);

	if (!f)
		return NULL;
	note_frames((s64)BIT(order));
	for (u32 k = 0; k < 1U << order; k++)
		f[k].class = FRAME_POOL;
	return hpa_ptr(frame_hpa(f));
}

void *pages_alloc(u32 order, enum frame_use use)
{
	u8 *pages = pages_alloc_raw(order, use);

	for (u32 k = 0; pages && k < 1U << order; k++)
		page_zero(pages + k * PAGE_SIZE);
	return pages;
}

void pages_free(void *pages, u32 order)
{
	note_frames(-(s64)BIT(order));
	frame_free_order(frame_of(ptr_hpa(pages)), order);
}
