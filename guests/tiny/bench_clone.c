/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A template of a given size, and clones of it that write a given amount: tests/bench measures the calls that make and
 * end them. Before READY the guest writes `pages` pages in each of `regions` regions of 2 MiB. Each copy of it, however
 * made, writes `own_pages` pages in each of `own_regions` of these, says DONE, and then only watches GENERATION, by which
 * its clones and forks find out that they are new. With sleep=1 it stores nothing at all after READY, and sleeps.
 */
#include "guest.h"

const char guest_name[] = "bench_clone";

#define REGION (2UL << 20)

static void write_pages(u64 base, u64 n_regions, u64 n_pages, u64 value)
{
	for (u64 i = 0; i < n_regions; i++)
		for (u64 k = 0; k < n_pages; k++)
			put64(base + i * REGION + k * PAGE, pattern(k, value));
}

void guest_main(void)
{
	u64 base = (free_start() + REGION - 1) & ~(REGION - 1);
	u64 n_regions = guest_arg("regions", 8), n_pages = guest_arg("pages", 512);
	u64 own_regions = guest_arg("own_regions", 1), own_pages = guest_arg("own_pages", 1);
	bool sleeps = guest_arg("sleep", 0);
	u32 generation = UINT32_MAX; /* nobody's: the booted guest, let go on, writes as well */

	check(base + n_regions * REGION <= free_end(), "not enough memory for %lu regions",
	      n_regions);
	write_pages(base, n_regions, n_pages, 0);
	mailbox_put(MB_READY, 1);
	while (sleeps)
		wfi();
	for (;;) {
		u32 now = mailbox_get(MB_GENERATION);
		if (now == generation)
			continue;
		generation = now;
		write_pages(base, own_regions, own_pages, now);
		mailbox_put(MB_DONE, 0);
	}
}
