/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Work of a command that takes long: control does it in pieces, between other things, and leaves its
 * hart to guests for as long in between.
 */
#ifndef CTL_JOB_H
#define CTL_JOB_H

#include <sys/queue.h>
#include "lib/types.h"

struct job {
	TAILQ_ENTRY(job) link;
	/* A piece of it, 1 ms or so.  False: it is done, and the record may be gone. */
	bool (*step)(struct job *j);
};

void job_add(struct job *j);
void job_remove(struct job *j); /* before it is done */

void job_poll(void);
u64 job_deadline(void); /* host ticks */

#endif
