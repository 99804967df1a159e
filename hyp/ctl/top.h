/* SPDX-License-Identifier: BSD-2-Clause */
/* The busiest VMs, or the largest, over and over. */
#ifndef CTL_TOP_H
#define CTL_TOP_H

#include "ctl/command.h"

/* top [memory] [-n N] [-d SECONDS] */
enum err must_check top_run(struct cmd *c);

/* It has the screen: until N times are over, or top_stop(). */
bool top_is_running(void);
void top_stop(void);

/* When top_poll() has something to do: host ticks, or TIME_NEVER. */
u64 top_deadline(void);
void top_poll(void);

#endif
