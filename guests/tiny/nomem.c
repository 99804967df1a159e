/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Touches every page of a RAM that may be larger than the machine's memory. When that runs out the VM has to stop where
 * it is, harming nobody, and to go on when memory comes back; what it wrote before must still be there at the end.
 */
#include "guest.h"

const char guest_name[] = "nomem";

void guest_main(void)
{
	u64 start = free_start(), end = free_end();
	for (u64 at = start; at < end; at += PAGE) {
		put64(at, pattern(at, 1));
		if (at % (64UL << 20) == 0)
			print("touched %lu MiB", (at - start) >> 20);
	}
	for (u64 at = start; at < end; at += PAGE)
		check(get64(at) == pattern(at, 1), "page 0x%lx lost its content", at);
}
