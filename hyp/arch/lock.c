// SPDX-License-Identifier: BSD-2-Clause
/*
 * Ticket spinlocks (lock.h).  Each hart keeps the list of locks it holds, in the
 * order taken, which is also ascending rank: so the last one is all that the
 * order check has to look at.
 */
#include "arch/lock.h"

#include "arch/hart_local.h"
#include "arch/panic.h"
#include "arch/boot.h"
#include "lib/assert.h"

static const char *const rank_names[LOCK_N_RANKS] = {
	[LOCK_CTL] = "ctl",
	[LOCK_VMS] = "vms",
	[LOCK_VM] = "vm",
	[LOCK_DEV] = "dev",
	[LOCK_SPACES] = "spaces",
	[LOCK_SPACE] = "space",
	[LOCK_VCPU_FENCE] = "vcpu-fence",
	[LOCK_RUNQ] = "runq",
	[LOCK_VMID] = "vmid",
	[LOCK_REAP] = "reap",
	[LOCK_POOL] = "pool",
	[LOCK_FRAMES] = "frames",
	[LOCK_CONSOLE] = "console",
	[LOCK_LOG] = "log",
};

const char *lock_rank_name(enum lock_rank rank)
{
	return rank < LOCK_N_RANKS && rank_names[rank] != NULL ? rank_names[rank] : "none";
}

static COLD _Noreturn void out_of_order(const struct spinlock *l, const struct spinlock *last)
{
	panic("lock order: %s (%p) wanted while %s (%p) is held",
	      lock_rank_name((enum lock_rank)l->rank), (const void *)l,
	      lock_rank_name((enum lock_rank)last->rank), (const void *)last);
}

/* May this hart take `l` now?  `is_twin`: an equal rank is allowed (lock_pair). */
static inline void check_order(const struct hart_local *self, const struct spinlock *l,
                               bool is_twin)
{
	const struct spinlock *last;

	assert(self->n_held < LOCKS_HELD_MAX);
	if (self->n_held == 0)
		return;
	last = self->held[self->n_held - 1];
	if (__builtin_expect(last->rank >= l->rank, 0) &&
	    !(is_twin && last->rank == l->rank && last < l))
		out_of_order(l, last);
}

static COLD void wait_for_turn(struct hart_local *self, struct spinlock *l, u32 ticket)
{
	u64 n = atomic_load_explicit(&self->contended[l->rank], memory_order_relaxed);

	/* Only the owner writes its counter: a plain store is enough. */
	atomic_store_explicit(&self->contended[l->rank], n + 1, memory_order_relaxed);
	/* Acquire: pairs with the release store in lock_release(). */
	while (atomic_load_explicit(&l->owner, memory_order_acquire) != ticket) {
		/* The holder may be dead. */
		if (panic_is_on() && self->n_panics == 0)
			hart_park();
		hart_relax();
	}
}

static void acquire(struct spinlock *l, bool is_twin)
{
	struct hart_local *self = hart_self();
	u32 ticket;

	check_order(self, l, is_twin);
	ticket = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);
	/* Acquire: pairs with the release store in lock_release(). */
	if (atomic_load_explicit(&l->owner, memory_order_acquire) != ticket)
		wait_for_turn(self, l, ticket);
	self->held[self->n_held++] = l;
}

void lock_acquire(struct spinlock *l)
{
	acquire(l, false);
}

bool lock_try(struct spinlock *l)
{
	struct hart_local *self = hart_self();
	/* Acquire: pairs with the release store in lock_release(); whoever takes the ticket
	 * below got it from a state that was free at this moment. */
	u32 ticket = atomic_load_explicit(&l->owner, memory_order_acquire);

	check_order(self, l, false);
	if (!atomic_compare_exchange_strong_explicit(&l->next, &ticket, ticket + 1,
	                                             memory_order_acquire, memory_order_relaxed))
		return false;
	self->held[self->n_held++] = l;
	return true;
}

void lock_release(struct spinlock *l)
{
	struct hart_local *self = hart_self();
	u32 i = self->n_held;

	while (i > 0 && self->held[i - 1] != l)
		i--;
	assert(i > 0);
	for (; __builtin_expect(i < self->n_held, 0); i++)
		self->held[i - 1] = self->held[i];
	self->n_held--;
	/* Release: pairs with the acquire loads above; only the holder writes `owner`. */
	atomic_store_explicit(&l->owner, atomic_load_explicit(&l->owner, memory_order_relaxed) + 1,
	                      memory_order_release);
}

void lock_pair(struct spinlock *a, struct spinlock *b)
{
	struct spinlock *low = a < b ? a : b;
	struct spinlock *high = a < b ? b : a;

	assert(a->rank == b->rank);
	acquire(low, false);
	if (high != low)
		acquire(high, true);
}

void unlock_pair(struct spinlock *a, struct spinlock *b)
{
	lock_release(a);
	if (a != b)
		lock_release(b);
}

bool lock_is_held(const struct spinlock *l)
{
	const struct hart_local *self = hart_self();
	u32 i;

	for (i = 0; i < self->n_held; i++)
		if (self->held[i] == l)
			return true;
	return false;
}

u64 lock_contended(enum lock_rank rank)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < hart_count(); i++)
		sum += atomic_load_explicit(&hart_locals[i].contended[rank], memory_order_relaxed);
	return sum;
}
