// SPDX-License-Identifier: BSD-2-Clause
/* Promises: made, spent, shared, ended; see promise.h and docs/memory.md. */
#include "mm/promise.h"

#include "lib/assert.h"
#include "mm/space.h"
#include "mm/table.h"
#include "mm/usage.h"

#define GIB_SHIFT 30U

/* Level-1 tables over a space's regions: GiB slots, each counted once. */
static u32 n_middle_tables(const struct space *s)
{
	u64 end = 0; /* regions rise */
	u32 n = 0;

	for (u32 k = 0; k < s->n_regions; k++) {
		const struct region *r = &s->region[k];
		u64 first = u64_max(r->base.v >> GIB_SHIFT, end);

		end = ((r->base.v + r->len - 1) >> GIB_SHIFT) + 1;
		n += (u32)(end - first);
	}
	return n;
}

static struct promise whole(const struct space *s)
{
	u64 len = 0;
	u32 n;

	for (u32 k = 0; k < s->n_regions; k++)
		len += s->region[k].len;
	n = (u32)(len / BLOCK_SIZE) + n_middle_tables(s);
	return (struct promise){ .n_frames = len / PAGE_SIZE + n, .n_tables = n + 1, .n_roots = 1 };
}

u64 promise_worst(const struct space *s)
{
	struct promise p = whole(s);

	return p.n_frames + p.n_roots * BIT(ROOT_ORDER);
}

/* What the worst case needs beyond what the space alone holds.  Its lock is held. */
static struct promise rest(struct space *s)
{
	struct promise p = whole(s);
	struct space_usage u;

	if (table_is_shared(s->root))
		return p;
	space_usage_locked(s, &u);
	u.table_frames -= BIT(ROOT_ORDER);
	p.n_frames -= u.private_frames - u.loose_frames + u.table_frames;
	p.n_tables -= (u32)u.table_frames + 1;
	p.n_roots = 0;
	return p;
}

static bool take(const struct promise *p)
{
	if (!frame_promise(p->n_frames))
		return false;
	if (table_promise(p->n_tables, p->n_roots))
		return true;
	frame_unpromise(p->n_frames);
	return false;
}

static void give_back(const struct promise *p)
{
	frame_unpromise(p->n_frames);
	table_unpromise(p->n_tables, p->n_roots);
}

static struct promise minus(const struct promise *a, const struct promise *b)
{
	return (struct promise){ a->n_frames - b->n_frames, a->n_tables - b->n_tables,
		                 a->n_roots - b->n_roots };
}

static struct promise times(u32 n, const struct promise *p)
{
	return (struct promise){ n * p->n_frames, n * p->n_tables, n * p->n_roots };
}

static bool raise_to(struct space *s, const struct promise *target)
{
	struct promise more = minus(target, &s->promise);

	if (!take(&more))
		return false;
	s->promise = *target;
	s->use = FRAME_PROMISED;
	return true;
}

/* What has become its own because others are gone need not be promised as well. */
static void trim(struct space *s, void *arg)
{
	(void)arg;
	lock_acquire(&s->lock);
	if (s->use == FRAME_PROMISED) {
		struct promise need = rest(s), spare = minus(&s->promise, &need);

		give_back(&spare);
		s->promise = need;
	}
	lock_release(&s->lock);
}

static void look_for_more(void)
{
	(void)space_relieve();
	space_for_each(trim, NULL);
}

enum err promise_make(struct space *s)
{
	bool done = false;

	for (u32 tries = 0; !done && tries < 2; tries++) {
		struct promise target;

		if (tries > 0)
			look_for_more();
		lock_acquire(&s->lock);
		assert(!s->frozen);
		target = rest(s);
		done = s->use == FRAME_PROMISED || raise_to(s, &target);
		lock_release(&s->lock);
	}
	return done ? ERR_OK : ERR_NOMEM;
}

/* Could it be raised now? */
static bool is_there(struct space *s, const struct promise *target)
{
	struct promise more;
	bool can;

	lock_acquire(&s->lock);
	more = minus(target, &s->promise);
	can = take(&more);
	if (can)
		give_back(&more);
	lock_release(&s->lock);
	return can;
}

enum err promise_seek(struct space *s, u32 n)
{
	struct promise w, target;

	if (s->use != FRAME_PROMISED)
		return ERR_OK;
	w = whole(s);
	target = times(n, &w);
	if (is_there(s, &target))
		return ERR_OK;
	look_for_more();
	return is_there(s, &target) ? ERR_OK : ERR_NOMEM;
}

enum err promise_renew(struct space *s, u32 n)
{
	struct promise w, target;
	bool done = false;

	if (s->use != FRAME_PROMISED)
		return ERR_OK;
	w = whole(s);
	target = times(n, &w);
	for (u32 tries = 0; !done && tries < 2; tries++) {
		if (tries > 0)
			look_for_more();
		lock_acquire(&s->lock);
		done = raise_to(s, &target);
		lock_release(&s->lock);
	}
	return done ? ERR_OK : ERR_NOMEM;
}

void promise_end_locked(struct space *s)
{
	if (s->use != FRAME_PROMISED)
		return;
	give_back(&s->promise);
	s->promise = (struct promise){ 0 };
	s->use = FRAME_FOR_GUEST;
}

void promise_end(struct space *s)
{
	lock_acquire(&s->lock);
	promise_end_locked(s);
	lock_release(&s->lock);
}

void promise_spend_frames(struct space *s, u64 n)
{
	assert(s->promise.n_frames >= n);
	s->promise.n_frames -= n;
	frame_unpromise(n);
}

void promise_spend_table(struct space *s, u32 level)
{
	s->promise.n_tables--;
	if (level == 2)
		s->promise.n_roots--;
	else
		promise_spend_frames(s, 1);
}

void promise_share(struct space *child, struct space *parent)
{
	if (parent->use != FRAME_PROMISED)
		return;
	child->promise = whole(parent);
	parent->promise = minus(&parent->promise, &child->promise);
	child->use = FRAME_PROMISED;
}
