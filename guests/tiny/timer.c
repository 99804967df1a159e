/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time and timers, through SBI and, where the device tree offers sstc, through stimecmp: time never goes back, a
 * deadline fires neither early nor very late, one in the past fires at once, "infinity" never, a new deadline takes
 * the old one's interrupt away, and one timer fires many times in a row.
 */
#include "guest.h"

const char guest_name[] = "timer";

#define NEVER UINT64_MAX
static void (*set)(u64 deadline);
static const char *how;

static void set_sbi(u64 deadline)
{
	sbi_set_timer(deadline);
}

static void set_sstc(u64 deadline)
{
	csr_write(0x14d, deadline);
}

static void test_monotonic(void)
{
	u64 last = ticks();
	for (u32 i = 0; i < 20000; i++) {
		u64 now = ticks();
		check(now >= last, "time went back from %lu to %lu", last, now);
		last = now;
	}
	u64 start = ticks();
	delay_ms(20);
	check(ticks() - start >= ms(20), "%lu ticks in 20 ms", ticks() - start);
}

/* Waits for one timer interrupt in WFI; the time at which it was taken. */
static u64 await_interrupt(u64 limit_ms)
{
	struct hart *h = this_hart();
	u64 n = h->irqs[IRQ_TIMER], end = ticks() + ms(limit_ms);
	csr_set(sie, 1UL << IRQ_TIMER);
	while (h->irqs[IRQ_TIMER] == n) {
		csr_clear(sstatus, SSTATUS_SIE);
		if (h->irqs[IRQ_TIMER] == n)
			wfi();
		csr_set(sstatus, SSTATUS_SIE);
		check(ticks() < end, "%s: no timer interrupt in %lu ms", how, limit_ms);
	}
	csr_clear(sstatus, SSTATUS_SIE);
	check(h->irqs[IRQ_TIMER] == n + 1, "%s: %lu interrupts for one deadline", how,
	      h->irqs[IRQ_TIMER] - n);
	return ticks();
}

static void test_deadlines(void)
{
	for (u32 i = 0; i < 50; i++) {
		u64 deadline = ticks() + ms(1) * (i % 5);
		set(deadline);
		u64 taken = await_interrupt(5000);
		check(taken >= deadline, "%s: fired %lu ticks early", how, deadline - taken);
		set(NEVER);
	}
}

static void test_past(void)
{
	static const u64 past[] = { 0, 1, 12345 };
	for (u32 i = 0; i < 4; i++) {
		set(i < 3 ? past[i] : ticks() - 1);
		u64 end = ticks() + ms(1000);
		while (!timer_pending())
			check(ticks() < end, "%s: a deadline in the past does not fire", how);
		await_interrupt(1000);
		set(NEVER);
		check(!timer_pending(), "%s: pending after the deadline was moved to infinity",
		      how);
	}
}

static void test_infinity(void)
{
	static const u64 far[] = { NEVER, NEVER - 1, 1UL << 63, 1UL << 62, (1UL << 32) * 1000000 };
	struct hart *h = this_hart();
	for (u32 i = 0; i < sizeof far / sizeof far[0]; i++) {
		u64 n = h->irqs[IRQ_TIMER];
		set(far[i]);
		csr_set(sie, 1UL << IRQ_TIMER);
		csr_set(sstatus, SSTATUS_SIE);
		delay_ms(15);
		csr_clear(sstatus, SSTATUS_SIE);
		check(h->irqs[IRQ_TIMER] == n && !timer_pending(), "%s: deadline 0x%lx fired", how,
		      far[i]);
	}
}

/* Replacing a near deadline by a far one in time cancels it; a pending one goes with the new deadline. */
static void test_cancel(void)
{
	csr_clear(sie, 1UL << IRQ_TIMER);
	set(ticks() + ms(200));
	set(NEVER);
	delay_ms(250);
	check(!timer_pending(), "%s: a cancelled deadline fired", how);
	set(ticks());
	delay_ms(10);
	check(timer_pending(), "%s: not pending 10 ms after its deadline", how);
	csr_clear(sip, 1UL << IRQ_TIMER);
	check(timer_pending(), "%s: STIP can be cleared by hand", how);
	set(ticks() + ms(10000));
	check(!timer_pending(), "%s: still pending after a new deadline", how);
	set(NEVER);
}

static void tick(struct hart *h, u64 irq)
{
	(void)h;
	(void)irq;
	set(ticks() + ms(1));
}

/* A kernel's tick: rearmed in the handler while the hart computes. */
static void test_tick(void)
{
	struct hart *h = this_hart();
	u64 n = h->irqs[IRQ_TIMER], start = ticks();
	h->irq_fn = tick;
	csr_set(sie, 1UL << IRQ_TIMER);
	set(ticks() + ms(1));
	csr_set(sstatus, SSTATUS_SIE);
	while (h->irqs[IRQ_TIMER] < n + 100)
		check(ticks() - start < ms(20000), "%s: %lu ticks in 20 s", how,
		      h->irqs[IRQ_TIMER] - n);
	csr_clear(sstatus, SSTATUS_SIE);
	h->irq_fn = NULL;
	set(NEVER);
	check(ticks() - start >= ms(99), "%s: 100 ticks of 1 ms took %lu us", how,
	      (ticks() - start) / 10);
}

static void test_all(void)
{
	test_monotonic();
	test_deadlines();
	test_past();
	test_infinity();
	test_cancel();
	test_tick();
}

void guest_main(void)
{
	how = "SBI";
	set = set_sbi;
	test_all();
	if (machine.has_sstc) {
		how = "stimecmp";
		set = set_sstc;
		test_all();
		set_sstc(1234);
		check(csr_read(0x14d) == 1234, "stimecmp reads back 0x%lx", csr_read(0x14d));
		sbi_set_timer(NEVER);
		check(!timer_pending(), "SBI's timer and stimecmp are two");
	}
}
