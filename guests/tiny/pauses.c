/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest with a tick of 4 ms sees of being frozen and paused. It says how far time has gone over READY, and the
 * longest step between two looks at the clock while it counts its ticks; the host knows what they should be. Time must
 * never go back, and no tick that was missed is made up for.
 * Argument: ms=500, the length of the count.
 */
#include "guest.h"

const char guest_name[] = "pauses";

#define TICK_MS 4UL

static u64 n_ticks;

static void tick(struct hart *h, u64 irq)
{
	(void)h;
	(void)irq;
	n_ticks++;
	sbi_set_timer(ticks() + ms(TICK_MS));
}

void guest_main(void)
{
	u64 frozen, last, start, longest = 0, length = ms(guest_arg("ms", 500)), n_max;

	this_hart()->irq_fn = tick;
	csr_set(sie, 1UL << IRQ_TIMER);
	sbi_set_timer(ticks() + ms(TICK_MS));
	csr_set(sstatus, SSTATUS_SIE);
	print("ready");
	frozen = ticks();
	n_ticks = 0;
	mailbox_ready();
	start = last = ticks();
	check(start >= frozen, "time went back from %lu to %lu", frozen, start);
	check(n_ticks <= 2, "%lu ticks at the first instruction", n_ticks);
	print("away %lu ms", (start - frozen) / ms(1));
	n_ticks = 0;
	for (u64 end = start + length, now; last < end; last = now) {
		now = ticks();
		check(now >= last, "time went back from %lu to %lu", last, now);
		if (now - last > longest)
			longest = now - last;
		/* What it was away does not count. */
		if (now - last > ms(100))
			end += now - last;
	}
	n_max = length / ms(TICK_MS) + 2;
	check(n_ticks <= n_max && n_ticks >= n_max / 4, "%lu ticks, at most %lu expected", n_ticks,
	      n_max);
	print("longest step %lu ms", longest / ms(1));
}
