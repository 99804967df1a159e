/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hart state management: statuses, error codes, what a started hart finds in its registers, suspend of both kinds, and
 * all harts that start, stop and wake one another at once.
 * Arguments: rounds=300
 */
#include "guest.h"
#include <stdatomic.h>

const char guest_name[] = "hsm";

enum { START, STOP, STATUS, SUSPEND };
enum { STARTED, STOPPED, START_PENDING, STOP_PENDING, SUSPENDED };
#define SUSPEND_RETENTIVE     0UL
#define SUSPEND_NON_RETENTIVE 0x80000000UL

static _Atomic u64 runs[MAX_HARTS];
static _Atomic u32 woken;
static _Atomic u32 is_over; /* the crowd: nobody starts anybody any more */

static struct sbi_ret hsm(u64 fid, u64 a0, u64 a1, u64 a2)
{
	return sbi(EID_HSM, fid, a0, a1, a2, 0, 0);
}

static void expect(const char *what, struct sbi_ret r, long error)
{
	check(r.error == error, "%s: error %ld, not %ld", what, r.error, error);
}

static void note_run(void *arg)
{
	struct hart *h = this_hart();
	check(h == arg, "a1 of a started hart");
	check(csr_read(satp) == 0, "satp of a started hart is 0x%lx", csr_read(satp));
	check(!(csr_read(sstatus) & SSTATUS_SIE), "a started hart has interrupts on");
	atomic_fetch_add(&runs[h->id % MAX_HARTS], 1);
}

static void test_errors(u64 self, u64 other)
{
	expect("status of a hart that is not there", hsm(STATUS, 1000, 0, 0), SBI_INVALID_PARAM);
	expect("status of hart -1", hsm(STATUS, UINT64_MAX, 0, 0), SBI_INVALID_PARAM);
	expect("start of a hart that is not there", hsm(START, 1000, (u64)image_start, 0),
	       SBI_INVALID_PARAM);
	expect("start of itself", hsm(START, self, (u64)image_start, 0), SBI_ALREADY_AVAILABLE);
	expect("start at an address with no memory", hsm(START, other, 0x0a000000, 0),
	       SBI_INVALID_ADDRESS);
	expect("start at a wild address", hsm(START, other, 1UL << 60, 0), SBI_INVALID_ADDRESS);
	expect("unknown function", hsm(99, 0, 0, 0), SBI_NOT_SUPPORTED);
	expect("suspend of a reserved type", hsm(SUSPEND, 0x1000, 0, 0), SBI_INVALID_PARAM);
	struct sbi_ret r = hsm(STATUS, self, 0, 0);
	check(r.error == SBI_OK && r.value == STARTED, "own status %lu, error %ld", r.value,
	      r.error);
	r = hsm(STATUS, other, 0, 0);
	check(r.error == SBI_OK && r.value == STOPPED, "status of a stopped hart %lu, error %ld",
	      r.value, r.error);
}

static void test_start_stop(u64 other)
{
	struct hart *h = hart_at(other);
	for (u32 i = 0; i < 20; i++) {
		check(hart_start(other, note_run, h) == SBI_OK, "start of hart %lu, round %u",
		      other, i);
		hart_await(other, STOPPED);
		check(atomic_load(&runs[other % MAX_HARTS]) == i + 1,
		      "hart %lu ran %lu times, not %u", other,
		      atomic_load(&runs[other % MAX_HARTS]), i + 1);
	}
}

static void sleeper(void *arg)
{
	(void)arg;
	csr_set(sie, 1UL << IRQ_SOFT);
	struct sbi_ret r = hsm(SUSPEND, SUSPEND_RETENTIVE, 0, 0);
	check(r.error == SBI_OK, "retentive suspend: error %ld", r.error);
	check(csr_read(sip) >> IRQ_SOFT & 1, "woken from suspend with nothing pending");
	csr_clear(sip, 1UL << IRQ_SOFT);
	atomic_fetch_add(&woken, 1);
}

static void woke_up(void *arg)
{
	check(this_hart() == arg, "a1 after a non-retentive suspend");
	atomic_fetch_add(&woken, 1);
}

extern char hart_entry[];
static void deep_sleeper(void *arg)
{
	struct hart *h = this_hart();
	csr_set(sie, 1UL << IRQ_SOFT);
	h->fn = woke_up;
	h->arg = h;
	hsm(SUSPEND, SUSPEND_NON_RETENTIVE, (u64)hart_entry, (u64)h);
	fail("a non-retentive suspend returned, arg %p", arg);
}

static void test_suspend(u64 other, void (*fn)(void *), const char *what)
{
	atomic_store(&woken, 0);
	check(hart_start(other, fn, NULL) == SBI_OK, "start for %s", what);
	u64 end = ticks() + ms(5000);
	while (hsm(STATUS, other, 0, 0).value != SUSPENDED)
		check(ticks() < end, "%s: state %lu", what, hsm(STATUS, other, 0, 0).value);
	delay_ms(30);
	check(!atomic_load(&woken), "%s: woken by nothing", what);
	long e = hsm(START, other, (u64)hart_entry, 0).error;
	check(e == SBI_ALREADY_AVAILABLE || e == SBI_INVALID_PARAM,
	      "start of a suspended hart: error %ld", e);
	send_ipi(other);
	hart_await(other, STOPPED);
	check(atomic_load(&woken) == 1, "%s: woken %u times", what, atomic_load(&woken));
}

/* Each hart, again and again, starts whichever of the others are stopped, then stops itself; the boot hart stays. */
static void crowd(void *arg)
{
	struct hart *h = this_hart();
	(void)arg;
	u64 seed = h->id * 77 + ticks() + 1;
	atomic_fetch_add(&runs[h->id % MAX_HARTS], 1);
	for (u32 i = 0; i < 10 && !atomic_load(&is_over); i++) {
		u64 id = machine.hart_id[random_next(&seed) % machine.n_harts];
		struct hart *o = &h[(long)(id % MAX_HARTS) - (long)(h->id % MAX_HARTS)];
		o->fn = crowd;
		long e = hsm(START, id, (u64)hart_entry, (u64)o).error;
		check(e == SBI_OK || e == SBI_ALREADY_AVAILABLE || e == SBI_INVALID_PARAM,
		      "start of hart %lu by %lu: error %ld", id, h->id, e);
	}
}

static void test_crowd(u64 rounds)
{
	u64 self = this_hart()->id, end = ticks() + ms(60000);
	for (u32 i = 0; i < machine.n_harts; i++)
		hart_at(machine.hart_id[i])->fn = crowd;
	for (u64 round = 0; round < rounds; round++)
		for (u32 i = 0; i < machine.n_harts; i++)
			if (machine.hart_id[i] != self)
				hsm(START, machine.hart_id[i], (u64)hart_entry,
				    (u64)hart_at(machine.hart_id[i]));
	for (u32 i = 0; i < machine.n_harts; i++) {
		u64 id = machine.hart_id[i];
		/* It has been started; with more vCPUs than harts its first turn may still be to come. */
		while (id != self && atomic_load(&runs[id % MAX_HARTS]) == 0 && ticks() < end)
			delay_ms(1);
		check(id == self || atomic_load(&runs[id % MAX_HARTS]) > 0, "hart %lu never ran",
		      id);
		check(ticks() < end, "a minute for %lu rounds", rounds);
	}
	/* By itself it dies down only by luck. */
	atomic_store(&is_over, 1);
	for (u32 i = 0; i < machine.n_harts; i++)
		if (machine.hart_id[i] != self)
			hart_await(machine.hart_id[i], STOPPED);
}

void guest_main(void)
{
	u64 self = this_hart()->id, other = other_hart(0);
	if (under_pando()) /* firmware's answers to nonsense differ */
		test_errors(self, other);
	test_start_stop(other);
	test_suspend(other, sleeper, "retentive suspend");
	if (under_pando()) /* OpenSBI 1.5 loses the opaque argument */
		test_suspend(other, deep_sleeper, "non-retentive suspend");
	test_crowd(guest_arg("rounds", 300));
}
