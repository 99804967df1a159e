/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A storm: many clones write the same pages at once. Each says in its result how many instructions a break has cost it
 * on average, and looks at all of its pages twice: then, and when the others have had time to write theirs.
 * Arguments: pages=64 rest=2000 (ms between the two looks)
 */
#include "guest.h"
#include <stdio.h>

const char guest_name[] = "bench_storm";

static u64 area, n_pages;

static void look(u32 id)
{
	for (u64 i = 0; i < n_pages; i++) {
		check(get64(area + i * PAGE) == pattern(id, i), "clone %u: page %lu is not its own",
		      id, i);
		for (u64 at = 8; at < PAGE; at += 8)
			check(get64(area + i * PAGE + at) == pattern(i, at),
			      "clone %u: page %lu changed at %lu", id, i, at);
	}
}

void guest_main(void)
{
	area = free_start();
	n_pages = guest_arg("pages", 64);
	for (u64 i = 0; i < n_pages; i++)
		for (u64 at = 0; at < PAGE; at += 8)
			put64(area + i * PAGE + at, pattern(i, at));
	u32 id = mailbox_ready();
	u64 before = csr_read(instret);
	for (u64 i = 0; i < n_pages; i++)
		put64(area + i * PAGE, pattern(id, i));
	u64 cost = csr_read(instret) - before;
	look(id);
	mailbox_put(MB_DONE, (u32)sprintf((char *)machine.window, "%lu", cost / n_pages));
	sbi_set_timer(ticks() + ms(guest_arg("rest", 2000)));
	csr_set(sie, 1UL << IRQ_TIMER);
	wfi();
	look(id);
}
