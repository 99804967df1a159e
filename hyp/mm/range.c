// SPDX-License-Identifier: BSD-2-Clause
#include "mm/range.h"

u64 range_end(const struct mem_range *r)
{
	return r->base.v + r->len < r->base.v ? ALIGN_DOWN(UINT64_MAX, PAGE_SIZE)
	                                      : r->base.v + r->len;
}

/* Where the area of `area` that covers or follows `addr` first begins; *skip is its end. */
static u64 next_reserved(u64 addr, const struct mem_range *area, u32 n, u64 *skip)
{
	u64 begin = UINT64_MAX;

	for (u32 k = 0; k < n; k++) {
		u64 first = ALIGN_DOWN(area[k].base.v, PAGE_SIZE);
		u64 end = ALIGN_UP(range_end(&area[k]), PAGE_SIZE);

		if (end > addr && first < begin) {
			begin = first;
			*skip = end;
		}
	}
	return begin;
}

void range_for_each_run(const struct mem_range *ram, const struct mem_range *reserved, u32 n,
                        bool (*fn)(u64 begin, u64 end))
{
	u64 at = ALIGN_UP(ram->base.v, PAGE_SIZE);
	u64 end = ALIGN_DOWN(range_end(ram), PAGE_SIZE);

	while (at < end) {
		u64 skip = end, stop = u64_min(next_reserved(at, reserved, n, &skip), end);

		if (stop > at && !fn(at, stop))
			return;
		at = stop == end ? end : u64_max(skip, at);
	}
}
