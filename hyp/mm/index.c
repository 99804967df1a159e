// SPDX-License-Identifier: BSD-2-Clause
/*
 * Buckets of four entries, found by the low bits of the hash or, where that one is full, by others, in chunks of up to
 * 2 MiB.  The number of buckets is a power of two.  When what is in use and still true, and what
 * found no place, is more than half of all slots, index_tidy() makes as many as it takes.
 */
#include "mm/index.h"

#include "arch/page.h"
#include "arch/phys.h"

#define BUCKETS_PER_PAGE_LOG2 7U
#define CHUNK_LOG2            INDEX_CHUNK_LOG2
#define FIRST_LOG2            (BUCKETS_PER_PAGE_LOG2 + 2U)
#define N_CHUNKS              64U /* 16 M entries: 64 GiB of distinct pages */
#define LAST_LOG2             (CHUNK_LOG2 + 6U)

_Static_assert(sizeof(struct index_bucket) << BUCKETS_PER_PAGE_LOG2 == PAGE_SIZE, "");
_Static_assert(sizeof(struct index_bucket) << CHUNK_LOG2 == BLOCK_SIZE,
               "the largest piece there is");

struct index {
	struct index_bucket *chunk[N_CHUNKS];
	u32 log2; /* of the number of buckets; 0: none */
};

#define PLENTY 8U /* times what an index takes must be free for guests */

static struct index now;
static bool is_new;
static bool is_wanted; /* somebody has looked for a bucket, and there was none */
static u64 n_entered;  /* in empty slots since the last tidy: no less than are in use */
static u64 n_crowded;  /* put in place of a true one since then, or not at all */

static u32 chunk_order(const struct index *x)
{
	return (x->log2 < CHUNK_LOG2 ? x->log2 : CHUNK_LOG2) - BUCKETS_PER_PAGE_LOG2;
}

static u32 n_chunks(const struct index *x)
{
	return x->log2 <= CHUNK_LOG2 ? x->log2 != 0 : 1U << (x->log2 - CHUNK_LOG2);
}

static struct index_bucket *bucket_of(const struct index *x, u32 hash)
{
	u32 i = hash & (u32)(BIT(x->log2) - 1);

	return &x->chunk[i >> CHUNK_LOG2][i & (BIT(CHUNK_LOG2) - 1)];
}

void index_init(void)
{
	now = (struct index){ .log2 = 0 };
	n_entered = n_crowded = 0;
	is_wanted = is_new = false;
}

/* An odd number of rotated bits: the second bucket of pages that share the first is another for each. */
static u32 second(u32 hash)
{
	return (hash >> 16 | hash << 16) * 0x9e3779b1U;
}

struct index_bucket *index_bucket(u32 hash, u32 nth)
{
	if (now.log2)
		return bucket_of(&now, nth ? second(hash) : hash);
	is_wanted = true;
	return NULL;
}

bool index_is_new(void)
{
	return is_new;
}

struct index_view index_view(void)
{
	return (struct index_view){ now.log2 ? now.chunk : NULL, (u32)(BIT(now.log2) - 1) };
}

u64 index_bytes(void)
{
	return now.log2 ? sizeof(struct index_bucket) << now.log2 : 0;
}

static bool is_true(const struct index_slot *s)
{
	const struct frame *f = frame_in(frame_map(), s->ppn);

	return s->hash && s->ppn != INDEX_DEEPER && f->link.merge.hash == s->hash &&
	       (f->class == FRAME_COUNTED || f->class == FRAME_BLOCK);
}

/* Worth more than another: an empty one nothing, one that has changed little, a keeper most.  That pages differ is worth
 * as much as a page, until the index is tidied. */
static u32 worth(const struct index_slot *s)
{
	if (s->hash == 0)
		return 0;
	if (s->ppn == INDEX_DEEPER)
		return 2;
	if (!is_true(s))
		return 1;
	return frame_is_keeper(frame_in(frame_map(), s->ppn)) ? 3 : 2;
}

static struct index_slot *least_of(struct index_bucket *b)
{
	struct index_slot *least = &b->slot[0];

	for (u32 k = 1; k < INDEX_SLOTS; k++)
		if (worth(&b->slot[k]) < worth(least))
			least = &b->slot[k];
	return least;
}

void index_put(u32 hash, struct frame *f)
{
	struct index_slot *least = least_of(index_bucket(hash, 0)), *other;

	if (worth(least) > 1) {
		other = least_of(index_bucket(hash, 1));
		least = worth(other) < worth(least) ? other : least;
	}
	n_crowded += worth(least) > 1;
	if (worth(least) == 3)
		return;
	n_entered += least->hash == 0;
	*least = (struct index_slot){ hash, frame_ppn(f) };
}

static void free_chunks(struct index *x)
{
	for (u32 k = 0; k < n_chunks(x); k++)
		if (x->chunk[k])
			frame_free_order(frame_of(ptr_hpa(x->chunk[k])), chunk_order(x));
	*x = (struct index){ .log2 = 0 };
}

static bool alloc_chunks(struct index *x, u32 log2)
{
	*x = (struct index){ .log2 = log2 };
	if (frame_n_for_guests() < PLENTY * (sizeof(struct index_bucket) << log2) / PAGE_SIZE)
		return false;
	for (u32 k = 0; k < n_chunks(x); k++) {
		struct frame *f = frame_alloc_order(chunk_order(x), FRAME_FOR_GUEST);

		if (!f) {
			free_chunks(x);
			return false;
		}
		x->chunk[k] = hpa_ptr(frame_hpa(f));
		for (u32 i = 0; i < 1U << chunk_order(x); i++) {
			f[i].class = FRAME_POOL;
			page_zero((u8 *)x->chunk[k] + i * PAGE_SIZE);
		}
	}
	return true;
}

typedef void (*slot_fn)(struct index_slot *s, u64 *n);

static u64 for_each_slot(struct index *x, slot_fn fn)
{
	u64 n = 0;

	for (u64 i = 0; x->log2 && i < BIT(x->log2); i++) {
		struct index_bucket *b = bucket_of(x, (u32)i);

		for (u32 k = 0; k < INDEX_SLOTS; k++)
			if (b->slot[k].hash)
				fn(&b->slot[k], &n);
	}
	return n;
}

static void drop_if_untrue(struct index_slot *s, u64 *n)
{
	if (is_true(s))
		(*n)++;
	else
		s->hash = 0;
}

static void enter_again(struct index_slot *s, u64 *n)
{
	(void)n; /* index_put() counts */
	index_put(s->hash, frame_in(frame_map(), s->ppn));
}

/* More than half of all slots?  Then many a bucket has no room for what belongs there. */
static bool is_much(u64 n, u32 log2)
{
	return 2 * n >= INDEX_SLOTS * BIT(log2);
}

void index_tidy(void)
{
	u32 log2 = now.log2 ? now.log2 : FIRST_LOG2;
	u64 n_homeless = n_crowded, n = n_entered + n_homeless;
	struct index bigger, old = now;

	n_crowded = 0;
	is_new = false;
	if (now.log2 ? !is_much(n, log2) : !is_wanted)
		return;
	n_entered = for_each_slot(&now, drop_if_untrue);
	for (n = n_entered + n_homeless; log2 < LAST_LOG2 && is_much(n, log2); log2++)
		continue;
	if (log2 == now.log2 || !alloc_chunks(&bigger, log2))
		return;
	is_new = now.log2 == 0;
	now = bigger;
	n_entered = 0;
	for_each_slot(&old, enter_again);
	free_chunks(&old);
}

void index_drop(void)
{
	free_chunks(&now);
	index_init();
}
