/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recounts everything from all spaces and compares, item by item, with the
 * records: counts of tables, frames and blocks, writable leaves, classes, free
 * frames.  The machine must be quiet: no vCPU running, no other command.
 */
#ifndef MM_AUDIT_H
#define MM_AUDIT_H

#include "lib/types.h"

struct audit_result {
	u64 spaces, tables, frames, blocks; /* how much was looked at */
	u64 faults;                         /* disagreements; 0 is what must hold */
	char first[160];                    /* the first disagreement, in words */
};

/* Frees first what waits to be freed.  Needs no memory. */
void audit_run(struct audit_result *r);

#endif
