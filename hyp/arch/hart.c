// SPDX-License-Identifier: BSD-2-Clause
/*
 * Harts by index: bring-up, kick, wait.
 *
 * A kick is the flag `kicked` and one software interrupt.  hart_kick() sets the
 * flag and calls the firmware only if it was clear; hart_events() clears SSIP,
 * *then* the flag, *then* returns, and its caller looks for work.  So whoever
 * finds the flag set knows that this hart has still to look, and whoever finds
 * it clear sends an interrupt that nobody will take back.
 */
#include "arch/hart.h"
#include "arch/boot.h"
#include "arch/csr.h"
#include "arch/firmware.h"
#include "arch/hart_local.h"
#include "arch/log.h"
#include "arch/paging.h"
#include "arch/panic.h"

_Static_assert(offsetof(struct hart_local, recover_causes) == HART_RECOVER_CAUSES, "");
_Static_assert(offsetof(struct hart_local, recover_pc) == HART_RECOVER_PC, "");
_Static_assert(offsetof(struct hart_local, spill_t0) == HART_SPILL_T0, "");
_Static_assert(offsetof(struct hart_local, spill_t1) == HART_SPILL_T1, "");
_Static_assert(offsetof(struct hart_local, spill_sp) == HART_SPILL_SP, "");
_Static_assert(offsetof(struct hart_local, stack_top) == HART_STACK_TOP, "");
_Static_assert(offsetof(struct hart_local, emergency_top) == HART_EMERGENCY_TOP, "");
_Static_assert(offsetof(struct hart_local, id) == HART_ID, "");
_Static_assert(sizeof(struct hart_local) == HART_LOCAL_LEN, "");
_Static_assert(HART_MAX == 8, "boot.S has stacks for as many");

#define SIE_BITS (BIT(IRQ_S_SOFT) | BIT(IRQ_S_TIMER) | BIT(IRQ_S_EXT))

struct hart_local hart_locals[HART_MAX];
struct machine machine;

static u32 n_present = 1;
/* Of these, started: nothing counts on a hart that firmware refuses. */
static _Atomic u32 n_harts = 1;
static void (*start_entry)(void);

static void hart_setup(u32 index, u64 id)
{
	struct hart_local *h = &hart_locals[index];
	u8 *slot = boot_stacks[index];

	h->index = index;
	h->id = id;
	h->stack_top = (u64)slot + STACK_GUARD_LEN + STACK_LEN;
	h->emergency_top = (u64)slot + STACK_SLOT_LEN;
}

void hart_init_boot(u64 id)
{
	hart_setup(0, id);
	atomic_store(&hart_locals[0].online, 1);
	csr_write(sie, SIE_BITS);
}

void hart_set_ids(const u64 *ids, u32 n)
{
	u32 i;

	for (i = 1; i < n && i < HART_MAX; i++)
		hart_setup(i, ids[i]);
	n_present = n < HART_MAX ? n : HART_MAX;
}

/* Where boot.S hands over a hart other than the first. */
_Noreturn void boot_hart_main(struct hart_local *self)
{
	paging_enable();
	csr_write(sie, SIE_BITS);
	/* Firmware has dropped the interrupts of kicks that came until now.  Acquire: as in hart_events(). */
	atomic_exchange_explicit(&self->kicked, 0, memory_order_acq_rel);
	/* The others wait for its windows before it has any, and VMs get it for their home. */
	atomic_store(&n_harts, self->index + 1);
	/* Pairs with the acquire in start_one(). */
	atomic_store_explicit(&self->online, 1, memory_order_release);
	start_entry();
	hart_park();
}

static bool start_one(struct hart_local *h)
{
	s64 error = firmware_hart_start(h->id, (u64)boot_start, 0);

	if (error != 0) {
		log_warn("hart %lu does not start (SBI error %ld), going on without it", h->id,
		         error);
		return false;
	}
	/* Pairs with the release in boot_hart_main(): what the hart set up is visible. */
	while (atomic_load_explicit(&h->online, memory_order_acquire) == 0)
		continue;
	return true;
}

void hart_start_all(void (*entry)(void))
{
	u32 n = 1;

	start_entry = entry;
	for (u32 i = 1; i < n_present; i++) {
		/* A hart that was refused leaves its place to the next one. */
		hart_setup(n, hart_locals[i].id);
		if (start_one(&hart_locals[n]))
			n++;
	}
}

u32 hart_index(void)
{
	return hart_self()->index;
}

u32 hart_count(void)
{
	/* Relaxed: who does not see a hart yet does not see what it has done either. */
	return atomic_load_explicit(&n_harts, memory_order_relaxed);
}

u64 hart_id(u32 index)
{
	return hart_locals[index].id;
}

void hart_kick(u32 index)
{
	struct hart_local *h = &hart_locals[index];

	/* Release: work queued before the kick is seen after the exchange in hart_events(). */
	if (atomic_exchange_explicit(&h->kicked, 1, memory_order_acq_rel) == 0)
		firmware_send_ipi(h->id);
}

void hart_relax(void)
{
	/* PAUSE (Zihintpause): a hint, a plain fence where the machine does not know it. */
	__asm__ volatile(".insn i 0x0f, 0, x0, x0, 0x010" ::: "memory");
}

void hart_wait(void)
{
	__asm__ volatile("wfi" ::: "memory");
}

u32 hart_events(void)
{
	u64 pending = csr_read(sip);
	u32 events = 0;

	if (pending & BIT(IRQ_S_SOFT)) {
		csr_clear(sip, BIT(IRQ_S_SOFT));
		events |= HART_EV_KICK;
	}
	/* Acquire: pairs with the exchange in hart_kick(). */
	if (atomic_exchange_explicit(&hart_self()->kicked, 0, memory_order_acq_rel) != 0)
		events |= HART_EV_KICK;
	if (pending & BIT(IRQ_S_TIMER))
		events |= HART_EV_TIMER;
	if (pending & BIT(IRQ_S_EXT))
		events |= HART_EV_EXT;
	if (panic_is_on())
		hart_park();
	return events;
}

_Noreturn void hart_park(void)
{
	csr_write(sie, 0);
	for (;;)
		hart_wait();
}
