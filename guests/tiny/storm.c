/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All clones write the same pages at once, again and again, and each must keep its own: the breaks of one shared table
 * and of the same shared frames meet from every hart.
 * Arguments: pages=64 rounds=30
 */
#include "guest.h"

const char guest_name[] = "storm";

void guest_main(void)
{
	u64 n = guest_arg("pages", 64), rounds = guest_arg("rounds", 30), area = free_start();
	for (u64 i = 0; i < n; i++)
		for (u64 at = 0; at < PAGE; at += 8)
			put64(area + i * PAGE + at, pattern(i, at));
	u32 id = mailbox_ready();
	for (u64 round = 0; round < rounds; round++) {
		for (u64 k = 0; k < n; k++) {
			u64 i = (k * 5 + round) % n, at = round % 512 * 8;
			check(round || get64(area + i * PAGE) == pattern(i, 0),
			      "page %lu before its first write", i);
			put64(area + i * PAGE + at, pattern(id, round << 32 | i));
		}
		for (u64 i = 0; i < n; i++)
			for (u64 r = 0; r <= round; r++)
				check(get64(area + i * PAGE + r * 8) == pattern(id, r << 32 | i),
				      "clone %u: page %lu lost the write of round %lu", id, i, r);
	}
	for (u64 i = 0; i < n; i++)
		for (u64 at = rounds * 8; at < PAGE; at += 8)
			check(get64(area + i * PAGE + at) == pattern(i, at),
			      "clone %u: page %lu changed at %lu", id, i, at);
	mailbox_put(MB_DONE, 64);
}
