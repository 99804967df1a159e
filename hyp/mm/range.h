/* SPDX-License-Identifier: BSD-2-Clause */
/* Ranges of host-physical memory, as a device tree names them: which parts are free. */
#ifndef MM_RANGE_H
#define MM_RANGE_H

#include "lib/types.h"

/* One past the last byte; an odd device tree may name a range that goes round the end. */
u64 range_end(const struct mem_range *r);

/* Calls fn for each run of whole pages of `ram` that is in none of the `n` reserved areas, until fn says
 * false. */
void range_for_each_run(const struct mem_range *ram, const struct mem_range *reserved, u32 n,
                        bool (*fn)(u64 begin, u64 end));

#endif
