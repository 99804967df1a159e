/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control: what one hart at a time does between guests on behalf of people.
 *
 * Everything on this floor runs under LOCK_CTL, which ctl_poll() takes by trying:
 * a hart that does not get it leaves the work to the one that has it.  The
 * polling hart runs no vCPU meanwhile.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "lib/types.h"

/* Once at boot, when all floors are up: reads the bundle, boots what it names, starts the
 * shell.  A bundle that is missing or broken is one clear line, and the machine goes off. */
void ctl_init(void);

/* run_ops.poll: console input, guest output, events, the demo's next step. */
void ctl_poll(void);

/* run_ops.wanted: a few loads. */
bool ctl_wanted(void);

/* When ctl_poll() is to be called even if nothing happens: host ticks, or TIME_NEVER. */
u64 ctl_deadline(void);

#endif
