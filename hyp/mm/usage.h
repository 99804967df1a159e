/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose memory is whose: of one space, and of all of them together.
 */
#ifndef MM_USAGE_H
#define MM_USAGE_H

#include "mm/frame.h"
#include "mm/space.h"

/* What one space reaches. */
struct space_usage {
	u64 private_frames; /* counted frames and block slots that only this space reaches */
	u64 loose_frames; /* of these, what a write may yet have to copy: keepers, and hidden pages */
	u64 shared_frames;   /* mapped, but reached by others too */
	u64 merged_frames;   /* the same, since the merge scanner found them equal */
	u64 zero_pages;      /* mappings of the zero frame */
	u64 retained_frames; /* slots of its own blocks that no table maps */
	u64 table_frames;    /* frames of tables that this space alone holds (root = 4) */
};

/* By a walk over the tables that it alone reaches.  Not by two harts at once. */
void space_usage(struct space *s, struct space_usage *u);

/*
 * The same for many: usage_round(), then each space.  What lies below a shared table is counted once a
 * round, so that a thousand clones are not a thousand walks over what they share.  Within a round nothing
 * may be shared anew (freeze, clone, fork, reset).
 */
void usage_round(void);
void space_usage_next(struct space *s, struct space_usage *u);
void space_usage_locked(struct space *s, struct space_usage *u); /* its lock is held */

/* All memory that spaces have, each frame in one figure only. */
struct usage_sum {
	u64 private_frames;  /* reached by one space */
	u64 shared_frames;   /* reached by more than one, counted once */
	u64 retained_frames; /* slots of blocks that nothing maps any more */
	u64 table_frames;
};

/*
 * A count of all spaces, for which the machine must be quiet as for an audit: begin, then each space once,
 * in any order and to whichever sum, then what destroyed spaces have left, then end.  A frame goes to
 * the sum of the first space that reaches it; spaces of one family go to one sum, since the slots of a
 * block are counted against the block.  `n` gets the frames of each class, by the frame table.
 */
void usage_begin(u64 n[FRAME_N_CLASSES]);
void usage_add(struct space *s, struct usage_sum *sum);
void usage_add_dying(struct usage_sum *sum);
void usage_end(void);

/* Frames of records (FRAME_POOL), by those who hand them out: pools, what is kept ready, the scanner's index. */
u64 usage_n_records(void);

#endif
