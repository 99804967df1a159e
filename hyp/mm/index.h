/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The merge scanner's index: frames by the hash of their contents.
 *
 * A hash table of small buckets.  An entry is a hint: its frame may have been
 * written, freed and used for something else since.  Whoever finds one has to ask
 * the frame's record, and to compare the bytes.  One caller at a time.
 */
#ifndef MM_INDEX_H
#define MM_INDEX_H

#include "mm/frame.h"

#define INDEX_SLOTS 4U

struct index_slot {
	u32 hash; /* 0: empty */
	u32 ppn;  /* page number of the frame */
};

struct index_bucket {
	struct index_slot slot[INDEX_SLOTS];
};

/* Once at boot: empty. */
void index_init(void);

/* The bucket for `hash`; NULL: there is no index (no memory yet). */
struct index_bucket *index_bucket(u32 hash);

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

	return &v.chunk[i >> INDEX_CHUNK_LOG2][i & (BIT(INDEX_CHUNK_LOG2) - 1)];
}

/* Enters a frame: in an empty slot of the bucket, or that of a frame that has changed, or, unless all
 * four are keepers, that of one that is none. */
void index_put(struct index_bucket *b, u32 hash, struct frame *f);

/* Between two passes: makes room if the index is nearly full, drops what is out of date.  Leaves it as it
 * is if there is no memory. */
void index_tidy(void);

/* Gives all its memory back. */
void index_drop(void);

u64 index_bytes(void);

#endif
