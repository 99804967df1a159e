/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/job.h"
#include "arch/time.h"

#define PAUSE_NS 1000000UL

static TAILQ_HEAD(, job) jobs = TAILQ_HEAD_INITIALIZER(jobs);
static u64 next_turn;

void job_add(struct job *j)
{
	TAILQ_INSERT_TAIL(&jobs, j, link);
}

void job_remove(struct job *j)
{
	TAILQ_REMOVE(&jobs, j, link);
}

/* One piece of the one that has waited longest. */
void job_poll(void)
{
	struct job *j = TAILQ_FIRST(&jobs);

	if (j == NULL || time_now() < next_turn)
		return;
	job_remove(j);
	if (j->step(j))
		job_add(j);
	next_turn = time_now() + time_ns_to_ticks(PAUSE_NS);
}

u64 job_deadline(void)
{
	return TAILQ_EMPTY(&jobs) ? TIME_NEVER : next_turn;
}
