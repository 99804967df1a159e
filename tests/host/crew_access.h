/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the scheduler (crew.c) and the accesses of the memory core (crew_access.c). */
#ifndef CREW_ACCESS_H
#define CREW_ACCESS_H

#include "lib/types.h"

/* All that the hart has stored becomes visible. */
void access_drain(u32 hart);

/* `weight` steps nearer to the end of this hart's turn. */
void crew_tick(u32 weight);
u32 crew_self(void);
bool crew_is_running(void);

/* Does `at` lie in some hart's stack? */
bool crew_is_stack(const void *at);

#endif
