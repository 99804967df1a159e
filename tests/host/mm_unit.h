/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the memory core share: the headers, one region, stores and loads of words. */
#ifndef MM_UNIT_H
#define MM_UNIT_H

#include "fake.h"
#include "mm/audit.h"
#include "mm/copy.h"
#include "mm/pool.h"
#include "mm/space.h"
#include "mm/table.h"
#include "mm/usage.h"
#include "unit.h"

#define RAM 0x80000000UL /* where the guests' memory begins */

/* A machine whose last hart is kept out of guests; the free frames of the start are remembered. */
void mm_start(u32 mib, u32 n_harts);

/* All spaces are gone: the audit is clean and every frame is back. */
void mm_end(void);

/* The audit must be clean, and the usage figures must agree.  Runs on the last hart. */
void mm_audit(void);

/* What all spaces reach, by one count of everything, by the figures of each, and by the frame table. */
void mm_usage(void);

/* Every hart lets go, all that is kept ready is given up; returns the free frames. */
u64 mm_settle(void);

/* A space with `mib` MiB of memory at RAM. */
void mm_space(struct space *s, u64 mib);

/* One 8-byte word, through the guest of `s` on hart `h`, with all faults that this takes. */
void mm_store(u32 h, struct space *s, u64 gpa, u64 value);
u64 mm_load(u32 h, struct space *s, u64 gpa);

/* A machine of four harts with a template of two pages in two tables, and its clone. */
#define MM_PAGE(n) (RAM + (n)*PAGE_SIZE)
void mm_family(struct space *template, struct space *clone);
void mm_end_family(struct space *template, struct space *clone);

/* Fences of one kind that hart `h` has executed; the hgatp that it has loaded. */
u32 mm_fences(u32 h, enum fake_fence kind);
u64 mm_hgatp(u32 h);

/* The valid leaf that maps gpa, 0 if none. */
u64 mm_leaf(const struct space *s, u64 gpa);

/* Takes frames until no more can be had, and gives them back. */
u64 mm_eat(enum frame_use use, u64 limit);
void mm_uneat(void);
void mm_uneat_some(u64 n);

#endif
