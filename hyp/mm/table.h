/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * G-stage tables and blocks, and the counts that hold them.
 *
 * A table is one page (the root: 16 KiB) of entries plus a record.  Its count is
 * the number of parents and spaces that name it.  With count > 1 it is immutable;
 * with count 1 it belongs to the one space above it, under that space's lock.
 *
 * A block is up to 512 frames that live together: contiguous, so that a 2 MiB leaf
 * can map them, or a list.  A level-1 leaf holds one count on it; so does a level-0
 * table whose pieces are its slots.
 */
#ifndef MM_TABLE_H
#define MM_TABLE_H

#include <stdatomic.h>
#include "mm/root.h"
#include "mm/promise.h"
#include "mm/pte.h"

#define BITMAP_WORDS (N_ENTRIES / 64)

struct block {
	_Atomic u32 count;
	u16 n;               /* slots that have a frame */
	bool is_contiguous;  /* then all 512 slots, from `first` on */
	struct frame *first; /* else a list through frame.link.next, by rising slot */
	u64 audit;           /* the audit's own count, and the mark of usage_add() */
};

struct table {
	_Atomic u32 count;
	u8 level;
	bool armed;                 /* a writable leaf may stand at or below */
	u16 lo, hi;                 /* level 2: live entries lie in [lo, hi) */
	u64 *pte;                   /* the page */
	struct block *block;        /* level 0: what its pieces are slots of; one count */
	u64 counted[BITMAP_WORDS];  /* level 0: leaves; level 1: live entries */
	u64 armed_at[BITMAP_WORDS]; /* levels 0, 1: where a writable leaf may stand at or below */
	u64 given[BITMAP_WORDS];    /* level 0: pages that the merge scanner has taken away */
	bool has_given;             /* level 0: it may have a bit there */
	bool has_keepers;        /* level 0: leaves may name frames that the scanner has merged */
	u8 rest;                 /* level 0: passes for which the scanner leaves it alone */
	u8 heat;                 /* level 0: visits in a row that have found most of it written */
	u16 n_dirty;             /* level 0: found so by this visit */
	struct table *reap_next; /* in the reap list, from count 0 on */
	u64 retired;             /* when it got there (mm/tlb.h) */
	u32 audit;               /* the audit's own count, and the mark of usage_add() */
	u32 round;               /* of space_usage(): when the next two were counted */
	u32 n_pages, n_zero;     /* a shared table: mapped at and below, to memory, to zeroes */
};

/* No count-trailing-zeros: without Zbb that is a call.  Tables are mostly full or mostly empty:
 * eight bits at a time are passed over if none is set.  `i` begins at `first`, for bit 0 of `word`. */
#define FOR_EACH_BIT_OF(word, first, i)                                      \
	for (u64 left_ = ((i) = (first), (word)); left_; left_ >>= 1, (i)++) \
		if (!(left_ & 1)) {                                          \
			if (!(left_ & 0xff))                                 \
				left_ >>= 7, (i) += 7;                       \
		} else

#define FOR_EACH_BIT(bitmap, i)                            \
	for (u32 word_ = 0; word_ < BITMAP_WORDS; word_++) \
		FOR_EACH_BIT_OF ((bitmap)[word_], word_ * 64, i)

static inline void bit_set(u64 *bitmap, u32 i)
{
	bitmap[i / 64] |= BIT(i % 64);
}

static inline void bit_clear(u64 *bitmap, u32 i)
{
	bitmap[i / 64] &= ~BIT(i % 64);
}

static inline bool bit_test(const u64 *bitmap, u32 i)
{
	return bitmap[i / 64] >> (i % 64) & 1;
}

/* Its live entries lie in [table_lo, table_hi). */
static inline u32 table_lo(const struct table *t)
{
	return t->level == 2 ? t->lo : 0;
}

static inline u32 table_hi(const struct table *t)
{
	return t->level == 2 ? t->hi : N_ENTRIES;
}

static inline u32 table_n_frames(const struct table *t)
{
	return t->level == 2 ? 1U << ROOT_ORDER : 1;
}

/* Acquire: whoever finds itself alone sees all that former owners did. */
static inline bool table_is_shared(const struct table *t)
{
	return atomic_load_explicit(&t->count, memory_order_acquire) > 1;
}

static inline bool block_is_shared(const struct block *b)
{
	return atomic_load_explicit(&b->count, memory_order_acquire) > 1;
}

static inline void table_get(struct table *t)
{
	atomic_fetch_add_explicit(&t->count, 1, memory_order_relaxed);
}

/* An empty table, count 1.  NULL: no memory for `use`, which here and below may be FRAME_PROMISED:
 * one of those of table_promise() and, but for a root, a promised frame; then it fails only by a test's order. */
struct table *must_check table_alloc(u32 level, enum frame_use use);

/* The table below a table entry, the block behind a level-1 leaf. */
static inline struct table *table_below(u64 pte)
{
	return frame_in(frame_map(), pte_ppn(pte))->link.table;
}

static inline struct block *block_behind(u64 pte)
{
	return frame_in(frame_map(), pte_ppn(pte))->link.block;
}

/* A private copy of a shared table: takes one count on all that it names, nothing in it is
 * writable.  The caller still holds its count on `t`.  NULL: no memory. */
struct table *must_check table_derive(const struct table *t, enum frame_use use);

/* A level-0 table of 512 pieces over the contiguous block `b`, whose count it takes over
 * from the level-1 leaf that the caller replaces by it.  NULL: no memory. */
struct table *must_check table_split(struct block *b, enum frame_use use);

/* A frame's page number where an entry has it.  A shift: the records are as large as a power of two. */
static inline u64 frame_pte(const struct frame *f)
{
	return ((u64)f - frame_map().origin) << (PTE_PPN_SHIFT - 4);
}

/* Sets an entry and keeps the record's bitmaps and bounds true.  The table is the caller's
 * alone.  Counts are the caller's business. */
void table_set(struct table *t, u32 i, u64 pte);

/* The same for a leaf in a level-0 table. */
static inline void table_set_leaf(struct table *t, u32 i, u64 pte)
{
	pte_write(&t->pte[i], pte);
	bit_set(t->counted, i);
}

/* Clears W at and below an armed table; seals level-0 tables that have no block. */
void table_disarm(struct table *t);

/* Drops a count; a table that reaches zero waits for table_reap(). */
void table_put(struct table *t);

/* Frees up to `budget` tables that wait and that every hart has let go of; returns how many.  Harts that have not are
 * kicked out of their guests. */
u32 table_reap(u32 budget);

/* Do some still wait?  May be a moment old. */
bool table_reap_is_wanted(void);

/* All that has been freed so, and what it has cost. */
struct table_reaped {
	u64 n_tables, instret;
};
struct table_reaped table_reaped(void);

/* Every table that waits for table_reap(). */
void table_for_each_dying(void (*fn)(struct table *t, void *arg), void *arg);

/* A block over 512 contiguous frames, count 1; over the list `first` of `n` frames. */
struct block *must_check block_new_contiguous(struct frame *first);
struct block *must_check block_new_listed(struct frame *first, u16 n);
void block_put(struct block *b);

/* A block that `t` alone still uses falls apart: slots in use become counted frames, the rest
 * are freed.  Returns how many were freed.  `t` is the caller's alone. */
u32 table_dissolve(struct table *t);

/* How many slots of its block a level-0 table maps. */
u64 table_n_pieces(const struct table *t);

/* Puts the records of `n_tables` tables aside, and `n_roots` roots as they stand: four frames in one piece.
 * False: no memory, nothing has changed. */
bool must_check table_promise(u32 n_tables, u32 n_roots);
void table_unpromise(u32 n_tables, u32 n_roots);
struct promise table_promised(void); /* all of that; n_frames is not its business */

/* How many records exist, for the audit. */
u64 table_n_records(void);
u64 block_n_records(void);

#endif
