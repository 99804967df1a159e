/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Promises: memory that a space may still take and that nobody else can have.
 *
 * A space that is reserved holds a promise of all that its worst case still needs:
 * every page of its memory private, and the tables for that.  Each frame that it
 * takes comes off the promise.  Between two events that share its tables anew
 * (clone, fork, reset) a page, or a table, is taken at most once; so the promise
 * covers the rest of the worst case at any time.  Such an event needs the whole
 * promise anew, since all that has been taken may have to be copied.
 *
 * Single frames are promised by number (frame.c keeps so many free), a root and
 * the records of tables by being put aside.
 */
#ifndef MM_PROMISE_H
#define MM_PROMISE_H

#include "lib/err.h"
#include "lib/types.h"

struct space;

struct promise {
	u64 n_frames; /* pages, and tables of levels 0 and 1 */
	u32 n_tables; /* records of tables, the root's too */
	u32 n_roots;
};

/* Promises what the worst case of `s` still needs, before or while it runs.  ERR_NOMEM: nothing has changed.
 * No space's lock held; here and below. */
enum err must_check promise_make(struct space *s);

/* While it still runs: looks for what promise_renew() will want, so that it need not.  ERR_NOMEM. */
enum err must_check promise_seek(struct space *s, u32 n);

/* Before a reset (`n` = 1) or a fork (2: the child takes half) of a reserved space that stands still: the whole
 * promise anew.  Of any other space: nothing to do.  ERR_NOMEM. */
enum err must_check promise_renew(struct space *s, u32 n);

/* It may run out of memory from now on.  A freeze and a death do the same. */
void promise_end(struct space *s);

/* Frames of the worst case of `s`, all in all. */
u64 promise_worst(const struct space *s);

/*
 * Between the files of this floor, with the space's lock held.
 */

void promise_end_locked(struct space *s);

/* A reserved space has taken frames, or a table with its record. */
void promise_spend_frames(struct space *s, u64 n);
void promise_spend_table(struct space *s, u32 level);

/* The child stands where its parent does: half of what promise_renew() has got is the child's. */
void promise_share(struct space *child, struct space *parent);

#endif
