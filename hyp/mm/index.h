/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The merge scanner's index: frames by the hash of their contents.
 *
 * A hash table of small buckets; who finds no room in the one goes to a second one.  An entry is a hint: its frame may have been
 * written, freed and used for something else since.  Whoever finds one has to ask
 * the frame's record, and to compare the bytes.  One caller at a time.
 */
#ifndef MM_INDEX_H
#define MM_INDEX_H

#include "mm/frame.h"

#define INDEX_SLOTS 4U

#define INDEX_DEEPER \
	0U /* in place of a page number: pages with this hash differ, look for them by a hash of all words */

struct index_slot {
	u32 hash; /* 0: empty */
	u32 ppn;  /* page number of the frame */
};

struct index_bucket {
	struct index_slot slot[INDEX_SLOTS];
};

/* Once at boot: empty. */
void index_init(void);

/* The bucket for `hash`, nth 0, or the second one, nth 1, which is of interest if the first one is full; NULL: there
 * is no index (no memory yet). */
struct index_bucket *index_bucket(u32 hash, u32 nth);

static inline bool index_is_full(const struct index_bucket *b)
{
	return b->slot[0].hash && b->slot[1].hash && b->slot[2].hash && b->slot[3].hash;
}

/* The same for a loop over many pages, in which nothing is entered; chunk NULL: there is no index. */
struct index_view {
	struct index_bucket *const *chunk;
	u32 mask;
};
struct index_view index_view(void);

#define INDEX_CHUNK_LOG2 16U /* buckets: 2 MiB */

static inline const struct index_bucket *index_at(struct index_view v, u32 hash)
{
	u32 i = hash & v.mask;

	const struct index_bucket *chunk = v.chunk[i >> INDEX_CHUNK_LOG2];

	return chunk + (i & (BIT(INDEX_CHUNK_LOG2) - 1));
}

/* Enters a frame: in an empty slot, or that of a frame that has changed, or, unless all are keepers, that of one
 * that is none.  There is an index. */
void index_put(u32 hash, struct frame *f);

/* Has it been made in this pass, so that it knows nothing of what was merged before? */
bool index_is_new(void);

/* Between two passes: makes room if the index is nearly full, drops what is out of date.  Leaves it as it
 * is if memory is short.  Takes as long as it takes to clear the new one and to enter all of the old one; that
 * is seldom enough not to be done piece by piece. */
void index_tidy(void);

/* Gives all its memory back. */
void index_drop(void);

u64 index_bytes(void);

#endif
