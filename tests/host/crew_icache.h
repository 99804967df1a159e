/* SPDX-License-Identifier: BSD-2-Clause */
/* The instruction caches of the crew's harts: a line keeps what it has until a fence.i of its hart. */
#ifndef CREW_ICACHE_H
#define CREW_ICACHE_H

#include "lib/types.h"

void icache_reset(void);

/* What hart `hart` fetches from *at. */
u64 icache_fetch(u32 hart, const u64 *at);

/* The guest has written code at *at: it makes all its vCPUs' harts fetch anew. */
void icache_drop(const u64 *at);

#endif
