/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the merge scanner share. */
#ifndef MERGE_UNIT_H
#define MERGE_UNIT_H

#include "mm_unit.h"

#define SCANNER 3U /* the hart that scans; the others run guests */
#define SETTLED \
	6U /* passes: D cleared, looked at, entered in the index, kept, merged, and one to spare */

/* A machine of four harts with two spaces of domain 1; both end, and every frame is back. */
void merge_start(struct space *a, struct space *b);
void merge_end(struct space *a, struct space *b);

/* 8 MiB at RAM. */
void merge_space(struct space *s, u32 domain);

/* Passes over everything, by the scanner's hart. */
void merge_passes(u32 n);
struct merge_stats merge_stats_now(void);

/* What MM_PAGE(page) is mapped to, and how. */
struct frame *merge_frame(const struct space *s, u32 page);
u64 merge_kind(const struct space *s, u32 page);

/* Have these two pages one frame? */
bool merge_is_one(const struct space *s, u32 i, const struct space *t, u32 k);

#endif
