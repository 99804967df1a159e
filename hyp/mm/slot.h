/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a space holds, 2 MiB at a time: for whoever keeps its memory elsewhere.
 *
 * What counts is what the guest would read.  So of a template every look says the same, whatever frames
 * the pages lie in: pages of zeroes are told from others by their bytes.
 */
#ifndef MM_SLOT_H
#define MM_SLOT_H

#include "mm/space.h"

#define SLOT_WORDS (N_ENTRIES / 64)

struct slot {
	gpa_t gpa;            /* a multiple of 2 MiB */
	bool is_block;        /* in one piece, mapped by one leaf */
	u64 full[SLOT_WORDS]; /* bit i: page i has a byte that is not zero */
	u64 zero[SLOT_WORDS]; /* it is mapped, and all zeroes; none in a block */
};

static inline bool slot_has(const u64 *pages, u32 i)
{
	return pages[i / 64] >> (i % 64) & 1;
}

/* How many pages of `full` or `zero` that is. */
u32 slot_count(const u64 *pages);

/* The first at or after `from` in which something is mapped.  False: there is none. */
bool must_check slot_next(struct space *s, gpa_t from, struct slot *slot);

#endif
