/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames: 4 KiB of host-physical memory with one 16-byte record each.
 *
 * The frame table is one array over all of RAM, indexed by (hpa - base) / 4 KiB.
 * A record says which class the frame belongs to and, for a counted frame, how
 * many leaf entries name it.  Free memory is a buddy system (4 KiB to 2 MiB);
 * in front of it each hart keeps a small cache, so that a break takes no lock.
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H

#include <stdatomic.h>
#include "lib/assert.h"
#include "lib/err.h"
#include "lib/types.h"

enum frame_class {
	FRAME_OWN,     /* Pando's image, frame table, firmware: never handed out */
	FRAME_FREE,    /* in a buddy list, a hart's cache, or inside a larger free block */
	FRAME_COUNTED, /* guest memory; count = leaf entries that name it */
	FRAME_BLOCK,   /* guest memory, a slot of link.block */
	FRAME_TABLE,   /* a page of the G-stage table link.table */
	FRAME_POOL,    /* small objects of Pando (mm/pool.h) or whole frames of its own */
	FRAME_ZERO,    /* the zero frame: immortal, always read-only */
	FRAME_N_CLASSES,
};

struct table;
struct block;

/* What the merge scanner knows of a page (mm/merge.h).  All zero: nothing. */
struct merge_note {
	u32 hash;        /* sampled hash of a page that has not been written since; 0: none */
	u32 domain : 24; /* the hash was made for */
	u32 wait : 7;    /* visits that it is left alone: it was written soon after a merge */
	u32 is_deep : 1; /* the hash is one of all words: others share the sampled one (mm/twin.h) */
};

/* Is there a hash for this domain, and nothing to wait for?  All in one look. */
static inline bool merge_note_is_for(const struct merge_note *n, u32 domain)
{
	u32 word;

	__builtin_memcpy(&word, __builtin_assume_aligned((const u8 *)n + 4, 4), sizeof(word));
	return word << 1 == domain << 1; /* is_deep is the top bit */
}

/* In a count: the frame is a keeper, named by the scanner's index; see frame_make_keeper(). */
#define FRAME_MERGED BIT(31)

/* Where the references of a keeper, which one table may name 512 times, must not come near: no copy of a table
 * is made beyond.  Other frames are named once by a table, and there is no memory for so many. */
#define FRAME_REFS_MAX BIT(30)

struct frame {
	_Atomic u32
		count; /* FRAME_COUNTED: references, and FRAME_MERGED; FRAME_BLOCK: the mark of usage_add() */
	u8 class; /* enum frame_class; changed by the one owner of the frame */
	u8 head;  /* first record of a free run of 2^k frames: k + 1, else 0 */
	u16 slot; /* FRAME_BLOCK: index in the block; FRAME_COUNTED: as above, the mark */
	union {
		struct table *table; /* FRAME_TABLE */
		struct block *block; /* FRAME_BLOCK, first slot of a contiguous block */
		struct frame *next;  /* FRAME_BLOCK of a listed block: the next slot in use */
		struct {
			u32 next, prev; /* free runs, by index */
		} list;
		struct merge_note merge; /* FRAME_COUNTED, slots 1.. of a contiguous block */
	} link;
};
_Static_assert(sizeof(struct frame) == 16, "the frame table costs 0.4 % of memory");

/* What a caller may take.  Nobody else takes what is promised (mm/promise.h). */
enum frame_use {
	FRAME_FOR_GUEST, /* pages, and whatever is made because of a guest: leaves the reserve */
	FRAME_FOR_TABLE, /* a guest's tables, its console's ring: leaves half of the reserve */
	FRAME_FOR_PANDO, /* leaves nothing */
	FRAME_PROMISED,  /* a frame that was promised: it is there */
};

/* Builds the frame table over `ram`, hands out all of it but `reserved`.
 * Returns ERR_NOMEM when what is left makes no sense (< 16 MiB). */
#define FRAME_RANGES_MAX 40U
enum err frame_init(const struct mem_range *ram, u32 n_ram, const struct mem_range *reserved,
                    u32 n_reserved);

/* One frame, contents undefined; class and count are the caller's to set.  NULL: none left. */
struct frame *must_check frame_alloc(enum frame_use use);

/* 2^order frames, naturally aligned (order 0..9); each record's class is FRAME_FREE on return. */
struct frame *must_check frame_alloc_order(u32 order, enum frame_use use);

/* As frame_alloc, 4096 zero bytes; from the hart's stock if it has any. */
struct frame *must_check frame_alloc_zeroed(enum frame_use use);

/* The same from the hart's stock alone, with no merge note; NULL: it has none, or memory is short. */
struct frame *must_check frame_take_zeroed(void);

/* Idle work: zeroes one frame ahead; returns whether there is more of that to do. */
bool frame_zero_ahead(void);

/* Gives back what frame_alloc(_order) returned.  No hart may hold a translation to it. */
void frame_free(struct frame *f);
void frame_free_order(struct frame *f, u32 order);

struct frame *frame_of(hpa_t hpa);

/* The same for a loop over many page numbers that Pando itself wrote into tables: unchecked, and with
 * the frame table's place in one register. */
struct frame_map {
	u64 origin; /* where the record of page number 0 would lie */
};
struct frame_map frame_map(void);

static inline struct frame *frame_in(struct frame_map map, u64 ppn)
{
	return (struct frame *)(map.origin + ppn * sizeof(struct frame)); /* NOLINT: index */
}

hpa_t frame_hpa(const struct frame *f);

/* A frame in use becomes slot `slot` of a block: class, head 0 and slot in one store. */
static inline void frame_set_slot(struct frame *f, u32 slot)
{
	u32 word = FRAME_BLOCK + (slot << 16);

	_Static_assert(offsetof(struct frame, class) == 4 && offsetof(struct frame, slot) == 6,
	               "little-endian: class, head, slot");
	__builtin_memcpy(__builtin_assume_aligned((u8 *)f + 4, 4), &word, sizeof(word));
}

static inline u32 frame_ppn(const struct frame *f)
{
	return (u32)(frame_hpa(f).v >> PAGE_SHIFT);
}

static inline void frame_get(struct frame *f)
{
	atomic_fetch_add_explicit(&f->count, 1, memory_order_relaxed);
}

/* Drops one reference of a counted frame, keeper or not.  True: it was the last, and the frame is the
 * caller's to free. */
static inline bool must_check frame_drop(struct frame *f)
{
	u32 before = atomic_fetch_sub_explicit(&f->count, 1, memory_order_acq_rel);

	assert((u32)(before << 1) != 0);
	if ((u32)(before << 1) != 2)
		return false;
	assert(f->class == FRAME_COUNTED); /* while others hold it, it may go at any moment */
	return true;
}

/* The same, and frees it. */
void frame_put(struct frame *f);

/* Frames that are given back together and follow one another in memory, so that the buddy system is
 * asked once for all of them.  Begins as { 0 }, ends with frame_free_run(). */
struct frame_run {
	struct frame *first;
	u32 n;
};
void frame_free_run(struct frame_run *run);

/* As frame_free(), by way of `run`.  It grows at both ends: a stock that was filled in rising order is used
 * up in falling order. */
static inline void frame_free_into(struct frame_run *run, struct frame *f)
{
	if (f != run->first + run->n) {
		if (run->n && f + 1 != run->first)
			frame_free_run(run);
		run->first = f;
	}
	run->n++;
}

/* As frame_put(), by way of `run`. */
static inline void frame_put_into(struct frame_run *run, struct frame *f)
{
	if (frame_drop(f))
		frame_free_into(run, f);
}

/* Are all frames that guests may have gone? Cheap, and may be a moment old. */
bool frame_is_short(void);

/* Promises `n` frames beyond all that others may take: FRAME_PROMISED finds them, from then on and on
 * every hart.  False: there are not so many. */
bool must_check frame_promise(u64 n);
/* `n` of them have been taken, or are not wanted any more. */
void frame_unpromise(u64 n);
u64 frame_n_promised(void);

/* What this hart was refused last.  Could it be had now, after `n_before` frames for others? */
struct frame_want {
	enum frame_use use;
	u32 order;
};
struct frame_want frame_wanted(void);
bool frame_can_have(struct frame_want want, u64 n_before);
/*
 * A keeper is a frame whose bytes cannot change, even if one leaf alone names it, so that the merge
 * scanner may find it through its index and add a reference.  It ends when its last user frees it, or
 * asks for it back: frame_take_keeper() makes a keeper of count 1 that user's own, unless the scanner was
 * first (get_keeper() in merge.c).
 */
static inline void frame_make_keeper(struct frame *f)
{
	atomic_fetch_or_explicit(&f->count, FRAME_MERGED, memory_order_release);
}

static inline bool frame_is_keeper(const struct frame *f)
{
	return atomic_load_explicit(&f->count, memory_order_relaxed) & FRAME_MERGED;
}

static inline bool must_check frame_take_keeper(struct frame *f)
{
	u32 alone = FRAME_MERGED | 1;

	return atomic_compare_exchange_strong_explicit(&f->count, &alone, 1, memory_order_acquire,
	                                               memory_order_relaxed);
}

/* References of a counted frame. */
static inline u32 frame_refs(const struct frame *f)
{
	return atomic_load_explicit(&f->count, memory_order_acquire) & ~(u32)FRAME_MERGED;
}

/* This hart's stock goes back to the common lists (before a large allocation is given up). */
void frame_flush_cache(void);

/* `delta` more frames are kept ready by others of this floor, and count as free. */
void frame_note_pooled(s64 delta);
u64 frame_n_pooled(void);

/* Free frames now, per-hart caches included: exact when nothing allocates meanwhile. */
u64 frame_n_free(void);
u64 frame_n_for_guests(void); /* what guests can get now, or after space_relieve() */
u64 frame_n_listed(void);     /* free frames that every hart can get at this moment */
u64 frame_n_cached(u32 hart); /* free frames that only this hart can get at this moment */
u64 frame_n_total(void);      /* frames that were handed to frame_init as usable */

/* Every record of the frame table, in address order. */
void frame_for_each(void (*fn)(struct frame *f, void *arg), void *arg);

/* Frames of each class, counted by a walk over the frame table. */
void frame_count_classes(u64 n[FRAME_N_CLASSES]);

/* Test hooks: the n-th allocation from now (1 = next) fails, or it and all that follow; 0: none. */
void frame_fail_after(u64 n);
void frame_fail_from(u64 n);

#endif
