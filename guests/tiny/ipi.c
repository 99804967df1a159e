/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two harts send each other software interrupts in turn and wait in WFI. An interrupt that is lost when it meets the
 * other side's own clearing of SSIP leaves both asleep for ever; a timer, far away, is there to tell.
 * Arguments: rounds=20000
 */
#include "guest.h"
#include <stdatomic.h>

const char guest_name[] = "ipi";

static _Atomic u64 turn; /* even: the boot hart's */
static u64 rounds, first_id, second_id;

/* Waits in WFI until turn == wanted; woken only by IPIs. */
static void await_turn(u64 wanted)
{
	struct hart *h = this_hart();
	while (atomic_load(&turn) != wanted) {
		csr_clear(sstatus, SSTATUS_SIE);
		if (atomic_load(&turn) != wanted)
			wfi();
		csr_set(sstatus, SSTATUS_SIE);
		check(!h->irqs[IRQ_TIMER], "lost an IPI: hart %lu slept 30 s in round %lu", h->id,
		      wanted / 2);
	}
}

static void play(u64 parity, u64 other)
{
	csr_set(sie, 1UL << IRQ_SOFT | 1UL << IRQ_TIMER);
	csr_set(sstatus, SSTATUS_SIE);
	for (u64 i = 0; i < rounds; i++) {
		if (i % 1024 == 0)
			sbi_set_timer(ticks() + ms(30000));
		await_turn(2 * i + parity);
		atomic_fetch_add(&turn, 1);
		send_ipi(other);
	}
	csr_clear(sstatus, SSTATUS_SIE);
	csr_clear(sie, 1UL << IRQ_TIMER);
}

static void second(void *arg)
{
	(void)arg;
	play(1, first_id);
}

/* The sender's own clear against its own send: an IPI to oneself is never lost. */
static void test_self(void)
{
	struct hart *h = this_hart();
	csr_set(sie, 1UL << IRQ_SOFT);
	for (u32 i = 0; i < 2000; i++) {
		u64 n = h->irqs[IRQ_SOFT];
		csr_clear(sip, 1UL << IRQ_SOFT);
		send_ipi(h->id);
		u64 end = ticks() + ms(5000);
		csr_set(sstatus, SSTATUS_SIE);
		while (h->irqs[IRQ_SOFT] == n)
			check(ticks() < end, "IPI %u to itself was lost", i);
		csr_clear(sstatus, SSTATUS_SIE);
	}
	/* SSIP can also be set by the guest itself. */
	u64 n = h->irqs[IRQ_SOFT];
	csr_set(sip, 1UL << IRQ_SOFT);
	csr_set(sstatus, SSTATUS_SIE);
	csr_clear(sstatus, SSTATUS_SIE);
	check(h->irqs[IRQ_SOFT] == n + 1, "SSIP set by the guest: %lu interrupts",
	      h->irqs[IRQ_SOFT] - n);
}

static void test_masks(void)
{
	struct sbi_ret r = sbi(EID_IPI, 0, 1, 1000, 0, 0, 0);
	check(r.error == SBI_INVALID_PARAM, "IPI to hart 1000: error %ld", r.error);
	r = sbi(EID_IPI, 0, 1UL << 63, 0, 0, 0, 0);
	check(r.error == SBI_INVALID_PARAM, "IPI to hart 63: error %ld", r.error);
	r = sbi(EID_IPI, 0, 2, UINT64_MAX - 1, 0, 0, 0);
	check(r.error != SBI_OK, "IPI with a base near the top was accepted");
	r = sbi(EID_IPI, 0, 0, UINT64_MAX, 0, 0, 0);
	check(r.error == SBI_OK, "IPI to all harts: error %ld", r.error);
	check(csr_read(sip) >> IRQ_SOFT & 1, "IPI to all harts left out the sender");
	csr_clear(sip, 1UL << IRQ_SOFT);
}

void guest_main(void)
{
	rounds = guest_arg("rounds", 20000);
	test_self();
	if (under_pando()) /* firmware differs */
		test_masks();
	first_id = this_hart()->id;
	second_id = other_hart(0);
	check(hart_start(second_id, second, NULL) == SBI_OK, "hart %lu does not start", second_id);
	play(0, second_id);
	await_turn(2 * rounds);
	hart_await(second_id, 1);
}
