/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM that is forked while it runs, as often as the test likes. It rewrites its pages without end and knows at each
 * instant what each must hold: from the moment of the fork both sides go their own ways, and neither may ever find a
 * word of the other's. A child knows itself by a new GENERATION and salts what it writes with that.
 * Arguments: pages=200 ms=4000, or less if it is given anything
 */
#include "guest.h"

const char guest_name[] = "fork";

static u64 expected[1024];

void guest_main(void)
{
	u64 n = guest_arg("pages", 200), area = free_start(), length = ms(guest_arg("ms", 4000)),
	    end = ticks() + length;
	u32 generation = machine.mailbox ? mailbox_get(MB_GENERATION) : 0, first = generation;
	u64 n_rounds = 0;
	print("running");
	for (u64 round = 1; goes_on(end); round++) {
		for (u64 i = 0; i < n; i++) {
			u64 at = area + i * PAGE;
			check(get64(at) == expected[i] && get64(at + 4088) == expected[i],
			      "generation %u, round %lu: page %lu holds 0x%lx, not 0x%lx",
			      generation, round, i, get64(at), expected[i]);
			if ((i + round) % 3)
				continue;
			expected[i] = pattern(i, (u64)generation << 32 | round);
			put64(at, expected[i]);
			put64(at + 4088, expected[i]);
		}
		n_rounds++;
		if (!machine.mailbox || mailbox_get(MB_GENERATION) == generation)
			continue;
		generation = mailbox_get(MB_GENERATION);
		print("generation %u comes from %u, clone id %u, in round %lu", generation, first,
		      mailbox_get(MB_CLONE_ID), round);
		first = generation;
		end = ticks() + length;
	}
	print("%lu rounds", n_rounds);
}
