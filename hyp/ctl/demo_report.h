/* SPDX-License-Identifier: BSD-2-Clause */
/* What the demo has measured, and how it is judged and shown. */
#ifndef CTL_DEMO_REPORT_H
#define CTL_DEMO_REPORT_H

#include "ctl/bundle.h"
#include "mm/audit.h"
#include "mm/frame.h"

struct demo_clone {
	struct vm *vm; /* holds a reference */
	u32 number;    /* 1 .. n; what it computes depends on it */
	bool is_done, is_right;
};

struct demo {
	u32 n; /* clones wanted */
	u32 n_made, n_done, n_right;
	struct vm *template;             /* holds a reference */
	struct demo_clone *clone;        /* n */
	u64 *sample;                     /* n, for one column at a time */
	u64 frames_before, frames_after; /* free frames */
	u64 boot_ticks;
	const char *failure; /* NULL: none so far */
};

/* Memory for n clones' rows; zeroes all of `d`. */
enum err must_check demo_alloc(struct demo *d, u32 n);
void demo_free(struct demo *d);

/* Compares the result in the clone's window (64 hex digits) with the bundle's. */
void demo_check_result(struct demo *d, struct demo_clone *c, const struct bundle_demo *expect);

/* The result table, while all VMs are still there. */
void demo_report_work(struct demo *d);

/* Which clones have not answered. */
void demo_report_missing(const struct demo *d);

/* Memory after the end, and the verdict: true is PASS. */
bool must_check demo_report_end(const struct demo *d, const struct audit_result *audit);

#endif
