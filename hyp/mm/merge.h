/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The merge scanner: equal pages become one frame again; see docs/dedup.md.
 *
 * It visits what one space alone reaches (what is shared is immutable, and merged
 * already), one level-0 table at a time, under that space's lock.  A page counts as
 * a candidate when its D bit has stayed clear since the last visit.
 *
 * scan.c goes round all spaces and keeps to a budget; merge.c judges and changes the pages of one
 * table; twin.c finds pages that hold the same, with an index (index.c); hide.c has frames for secure mode.
 */
#ifndef MM_MERGE_H
#define MM_MERGE_H

#include "mm/frame.h"

struct space;
struct table;

/* What may be done to the pages of a space. */
enum dedup {
	DEDUP_OFF,
	DEDUP_ZERO, /* zeroed pages become the zero frame; pages that are as in the template, its own again */
	DEDUP_MERGE, /* and equal pages of one domain become one frame */
};

#define MERGE_DOMAIN_MAX ((1U << 24) - 1)

struct merge_policy {
	enum dedup dedup;
	u32 domain;     /* 1 .. MERGE_DOMAIN_MAX: spaces that may share frames with each other */
	bool is_secure; /* an access takes as long to a merged page as to another (mm/hide.h) */
};

/* What has been done since boot; pages, except where it says otherwise. */
struct merge_stats {
	u64 passes;         /* rounds over all spaces that were finished */
	u64 visited;        /* entries looked at */
	u64 dirty;          /* of these: written since the last visit */
	u64 unique;         /* of these: no twin */
	u64 resting;        /* of these: left alone, since they broke before */
	u64 zero;           /* became the zero frame */
	u64 back;           /* as in the template again, and its own again */
	u64 kept;           /* became keepers: their twins are to come */
	u64 merged;         /* gave up their frame for a keeper */
	u64 hidden;         /* had no twin, and were hidden as if: secure mode */
	u64 raced;          /* written between the first look and the write protection */
	u64 broken;         /* written again after one of the above */
	u64 split;          /* 2 MiB blocks split, since enough of them would merge */
	u64 ticks, instret; /* spent */
};

/* Once at boot, after space_init_all(): on, with nothing known.  The words of a page that its hash samples are
 * drawn from `seed`. */
void scan_init(u64 seed);

/* On or off for all.  Off stops the scanning and breaks nothing apart. */
void scan_switch(bool on);
bool scan_is_on(void);

/* Permille of a hart that it may use while no hart is idle: 0 .. 1000. */
void scan_set_rate(u32 permille);
u32 scan_rate(void);

/* Splits blocks whatever they hold, when they have not been written for a pass: finds all there is to find. */
void scan_split_always(bool always);
bool scan_splits_always(void);

void scan_stats(struct merge_stats *st);

/* Idle work: the next piece of a pass, if it is time for one.  Returns whether there is more now. */
bool scan_idle(void);

/* The same on a hart that has guests to run, as far as the budget allows. */
void scan_busy(void);

/* Host ticks at which scan_busy() wants to be called; TIME_NEVER: not at all. */
u64 scan_deadline(void);

/* A whole pass, now, on this hart. */
void scan_once(void);

/* What may be done to the pages of a space, from now on.  What has been merged stays so; but if it leaves a domain
 * nobody there finds anything of it any more. */
void scan_set_policy(struct space *s, struct merge_policy p);

/* The scanner does not look at a space that has no page of its own yet: nothing of it can be known to others.  Until its
 * next policy. */
void scan_spare(struct space *s);

/* Memory is short: gives up what the scanner only has to go faster. */
void scan_relieve(void);

/* All pages of a space whose vCPUs stand still, as if none were dirty: before a freeze. */
void scan_compact(struct space *s);

/* What the merged pages save at this moment: one frame each.  No space may change meanwhile, as for an audit. */
struct merge_saved {
	u64 zero, back; /* given up for the zero frame; for a slot of the template */
	u64 merged;     /* for a keeper */
};
void merge_saved(struct merge_saved *m);

/* How many frames scan_unmerge() may want. */
u64 scan_n_given(struct space *s);

/* Gives a space frames of its own for all that the scanner has taken away from it.  ERR_NOMEM: they do not fit;
 * nothing has changed. */
enum err must_check scan_unmerge(struct space *s);

/*
 * Between the files of the scanner.
 */

/* How pages are looked at. */
struct merge_visit {
	struct space *s;
	struct table *t; /* level 0, the space's alone */
	u32 i;           /* where to begin; where to go on afterwards */
	bool cold;       /* D bits do not matter: nobody writes */
};

/* Looks at the entries of a table and changes what can be merged, up to a batch at a time.  Returns whether
 * the table has more.  Space lock held. */
bool merge_table(struct merge_visit *v, struct merge_stats *st);

/* Would enough of a block that is the space's alone merge, so that it is worth splitting? */
bool merge_wants_split(const struct space *s, struct frame *first);

#endif
