/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages hold the same.
 *
 * A page is hashed by a few of its words, where each domain looks at others; the index names
 * candidates by that, and they are compared in full.  Pages that differ, and not in these words, share a hash:
 * as soon as two are found, the index says so in their place, and all of them go by a hash of
 * all words from then on.  One caller at a time: the merge scanner.
 */
#ifndef MM_TWIN_H
#define MM_TWIN_H

#include "mm/frame.h"

void twin_init(u64 seed);

/* Test hook: hashes are cut down to these bits, so that different pages collide. */
void twin_weaken_hash(u32 mask);

/* What a page that has not been looked at since it was written begins with. */
struct merge_note twin_note(const struct frame *f, u32 domain);

/* All words. */
bool twin_is_equal(const struct frame *a, const struct frame *b);

enum twin {
	TWIN_NONE,
	TWIN_SELF,    /* none, and f is listed already */
	TWIN_PRIVATE, /* some other space's own page, or this one's; f is listed in its place */
	TWIN_KEEPER,  /* *keeper, with one more count */
};

/* Looks for a page that is equal to f, whose note is in its record, and lists f. */
enum twin twin_find(struct frame *f, struct frame **keeper);

/* A keeper that is equal to f, with one more count; the note for a copy of f.  NULL: there is none. */
struct frame *twin_find_keeper(const struct frame *f, u32 domain, struct merge_note *n);

/* Lists a keeper, which cannot end meanwhile, if it is not. */
void twin_list_keeper(struct frame *f);

#endif
