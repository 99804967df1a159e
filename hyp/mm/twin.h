/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages hold the same.
 *
 * A page is hashed by a few of its words, where each domain looks at others; the index names
 * candidates by that, and they are compared in full.  One caller at a time: the merge scanner.
 */
#ifndef MM_TWIN_H
#define MM_TWIN_H

#include "mm/frame.h"

void twin_init(u64 seed);

/* Test hook: hashes are cut down to these bits, so that different pages collide. */
void twin_weaken_hash(u32 mask);

/* Never 0. */
u32 twin_hash(const struct frame *f, u32 domain);

bool twin_is_equal(const struct frame *a, const struct frame *b);

enum twin {
	TWIN_NONE,
	TWIN_SELF,    /* none, and f is listed already */
	TWIN_PRIVATE, /* some other space's own page, or this one's; f is listed in its place */
	TWIN_KEEPER,  /* *keeper, with one more count */
};

/* Looks for a page that is equal to f, whose hash is in its record, and lists f. */
enum twin twin_find(struct frame *f, u32 domain, struct frame **keeper);

/* A keeper that is equal to f, with one more count.  NULL: there is none. */
struct frame *twin_find_keeper(const struct frame *f, u32 hash, u32 domain);

#endif
