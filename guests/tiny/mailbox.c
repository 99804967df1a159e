/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers of the mailbox that need no second side: the wall clock, STATUS and MARK.
 * Argument: after=SECONDS since 1970, a moment at most a day before the run; 0: the machine has no clock.
 */
#include "guest.h"

const char guest_name[] = "mailbox";

#define DAY      86400UL
#define NS_PER_S 1000000000UL

struct store {
	u64 reg, value;
	bool is_wide;
};

static void do_store(u64 arg)
{
	const struct store *s = (const struct store *)arg;

	if (s->is_wide)
		put64(machine.mailbox + s->reg, s->value);
	else
		put32(machine.mailbox + s->reg, s->value);
}

static void refuses(u64 reg, u64 value, bool is_wide)
{
	struct store s = { reg, value, is_wide };

	check(catch_s(do_store, (u64)&s), "0x%lx took 0x%lx", reg, value);
	expect_trap("a value that a register does not know", C_STORE_ACCESS, machine.mailbox + reg,
	            1);
}

static u64 clock_ns(void)
{
	u64 s = get64(machine.mailbox + MB_CLOCK), ns = get64(machine.mailbox + MB_CLOCK_NS);

	check(ns < NS_PER_S, "%lu ns in a second", ns);
	return s * NS_PER_S + ns;
}

static void test_clock(u64 after)
{
	u64 begin = ticks(), first = clock_ns(), now, passed;

	if (after == 0) {
		check(first == 0 && clock_ns() == 0, "a clock where there is none");
		return;
	}
	check(first / NS_PER_S >= after && first / NS_PER_S < after + DAY, "it is %lu, not %lu",
	      first / NS_PER_S, after);
	for (now = first; now < first + 20000000; now = clock_ns())
		check(now >= first, "the clock goes back");
	passed = (ticks() - begin) * (NS_PER_S / machine.timebase);
	check(now - first <= passed, "%lu ns by the clock, %lu by the counter", now - first,
	      passed);
	(void)mailbox_get(MB_CLOCK);
	now = get32(machine.mailbox + MB_CLOCK_NS);
	delay_ms(2);
	check(get32(machine.mailbox + MB_CLOCK_NS) == now,
	      "CLOCK_NS does not keep what CLOCK latched");
}

void guest_main(void)
{
	check(mailbox_get(MB_VERSION) == 2, "version %u", mailbox_get(MB_VERSION));
	test_clock(guest_arg("after", 0));
	for (u32 status = 0; status < 4; status++)
		mailbox_put(MB_STATUS, status);
	refuses(MB_STATUS, 4, false);
	mailbox_put(MB_MARK, 1);
	mailbox_put(MB_MARK, 2);
	refuses(MB_MARK, 0, false);
	refuses(MB_MARK, 3, false);
	put64(machine.mailbox + MB_STATUS, 2UL << 32);
	refuses(MB_STATUS, 3UL << 32, true);
	check(mailbox_get(MB_STATUS) == 0 && mailbox_get(MB_MARK) == 0, "write-only registers");
	check(get32(machine.mailbox + 0x3c) == 0, "0x3c");
}
