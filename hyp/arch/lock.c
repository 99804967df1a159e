// SPDX-License-Identifier: BSD-2-Clause
/*
 * Ticket spinlocks (lock.h).  Each hart keeps the set of ranks that it holds, one
 * bit each: the order is kept if that number is smaller than the new lock's bit.
 */
#include "arch/lock.h"

#include "arch/hart_local.h"
#include "arch/panic.h"
#include "arch/boot.h"
#include "lib/assert.h"

static const char *const rank_names[LOCK_N_RANKS] = {
	[LOCK_CTL] = "ctl",       [LOCK_VMS] = "vms",       [LOCK_VM] = "vm",
	[LOCK_DEV] = "dev",       [LOCK_SCAN] = "scan",     [LOCK_DISSOLVE] = "dissolve",
	[LOCK_SPACES] = "spaces", [LOCK_SPACE] = "space",   [LOCK_VCPU_FENCE] = "vcpu-fence",
	[LOCK_RUNQ] = "runq",     [LOCK_VMID] = "vmid",     [LOCK_REAP] = "reap",
	[LOCK_POOL] = "pool",     [LOCK_FRAMES] = "frames", [LOCK_CONSOLE] = "console",
	[LOCK_LOG] = "log",
};

const char *lock_rank_name(enum lock_rank rank)
{
	return rank < LOCK_N_RANKS && rank_names[rank] != NULL ? rank_names[rank] : "none";
}

static COLD _Noreturn void out_of_order(const struct spinlock *l, u32 held)
{
	u32 highest = LOCK_N_RANKS - 1;

	while (highest > 0 && (held & BIT(highest)) == 0)
		highest--;
	panic("lock order: %s (%p) wanted while %s is held", lock_rank_name(lock_rank(l)),
	      (const void *)l, lock_rank_name((enum lock_rank)highest));
}

/* The ticket is served: `l` is this hart's.  `ranks`: all that it holds now. */
static inline void take(struct hart_local *self, struct spinlock *l, u32 ranks)
{
	l->holder = self;
	self->held = ranks;
}

/* Takes it as well, so that its caller ends in a jump to it, and saves no registers on the way where
 * nobody waits. */
static COLD void wait_for_turn(struct hart_local *self, struct spinlock *l, u32 ranks, u32 ticket)
{
	_Atomic u64 *count = &self->contended[lock_rank(l)];

	/* Only the owner writes its counter: a plain store is enough. */
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
	                      memory_order_relaxed);
	/* Acquire: pairs with the release store in lock_release(). */
	while (atomic_load_explicit(&l->owner, memory_order_acquire) != ticket) {
		/* The holder may be dead. */
		if (panic_is_on() && self->n_panics == 0)
			hart_park();
		hart_relax();
	}
	take(self, l, ranks);
}

static inline void acquire(struct hart_local *self, struct spinlock *l, u32 ranks)
{
	u32 ticket = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);

	/* Acquire: pairs with the release store in lock_release(). */
	if (__builtin_expect(atomic_load_explicit(&l->owner, memory_order_acquire) != ticket, 0))
		wait_for_turn(self, l, ranks, ticket);
	else
		take(self, l, ranks);
}

void lock_acquire(struct spinlock *l)
{
	struct hart_local *self = hart_self();
	u32 ranks = self->held, bit = l->rank_bit;

	if (__builtin_expect(ranks >= bit, 0))
		out_of_order(l, ranks);
	acquire(self, l, ranks | bit);
}

bool lock_try(struct spinlock *l)
{
	struct hart_local *self = hart_self();
	/* Acquire: pairs with the release store in lock_release(); whoever takes the ticket
	 * below got it from a state that was free at this moment. */
	u32 ticket = atomic_load_explicit(&l->owner, memory_order_acquire);

	if (self->held >= l->rank_bit)
		out_of_order(l, self->held);
	if (!atomic_compare_exchange_strong_explicit(&l->next, &ticket, ticket + 1,
	                                             memory_order_acquire, memory_order_relaxed))
		return false;
	take(self, l, self->held | l->rank_bit);
	return true;
}

void lock_release(struct spinlock *l)
{
	struct hart_local *self = hart_self();

	assert(l->holder == self);
	l->holder = NULL;
	self->held ^= l->rank_bit;
	/* Release: pairs with the acquire loads above. */
	atomic_fetch_add_explicit(&l->owner, 1, memory_order_release);
}

void lock_pair(struct spinlock *a, struct spinlock *b)
{
	struct hart_local *self = hart_self();

	assert(a->rank_bit == b->rank_bit);
	lock_acquire(a < b ? a : b);
	if (a != b)
		acquire(self, a < b ? b : a, self->held);
}

void unlock_pair(struct spinlock *a, struct spinlock *b)
{
	lock_release(a);
	if (a == b)
		return;
	hart_self()->held |= b->rank_bit; /* one bit for both */
	lock_release(b);
}

bool lock_is_held(const struct spinlock *l)
{
	return l->holder == hart_self();
}

u64 lock_contended(enum lock_rank rank)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < hart_count(); i++)
		sum += atomic_load_explicit(&hart_locals[i].contended[rank], memory_order_relaxed);
	return sum;
}
