/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ticket spinlocks with a rank.
 *
 * THE lock order is the enum below: a hart may take a lock only if its rank is
 * higher than that of every lock it holds; asserted at run time.  Two locks of
 * one rank only through lock_pair(), lower address first.  HS-mode runs with
 * interrupts off, so there is nothing to disable.  No lock is held across guest
 * entry.  Contended acquisitions are counted per rank.  A lock keeps its rank as a bit, as
 * a hart does with those that it holds: an acquisition compares two numbers.
 *
 * `holder` is a plain field, though one hart may read it (lock_is_held) while another
 * writes: a hart compares it with itself alone, which it alone ever stores there, and
 * an aligned word is written whole.  So no other hart's write changes the answer.  An
 * atomic store would cost each acquisition and release an AMO.
 */
#ifndef ARCH_LOCK_H
#define ARCH_LOCK_H

#include <stdatomic.h>
#include "lib/types.h"

enum lock_rank {
	LOCK_CTL = 1,    /* the one command or job that runs now */
	LOCK_VMS,        /* list and names of VMs */
	LOCK_VM,         /* life cycle of one VM */
	LOCK_DEV,        /* device state of one VM */
	LOCK_SCAN,       /* the one hart that runs the merge scanner */
	LOCK_DISSOLVE,   /* the one hart that looks for blocks to dissolve */
	LOCK_SPACES,     /* list of spaces (audit) */
	LOCK_SPACE,      /* tables of one guest-physical space */
	LOCK_VCPU_FENCE, /* fences queued for one vCPU */
	LOCK_RUNQ,       /* run and timer queue of one hart, and the state of vCPUs at home there */
	LOCK_VMID,       /* VMID allocation */
	LOCK_REAP,       /* tables and blocks that wait to be freed */
	LOCK_POOL,       /* one pool of small objects */
	LOCK_FRAMES,     /* the buddy lists */
	LOCK_CONSOLE,    /* the machine's UART */
	LOCK_LOG,        /* the log ring */
	LOCK_N_RANKS,
};

struct spinlock {
	_Atomic u32 next;  /* ticket to hand out; 32 bits, what amoadd.w can do */
	_Atomic u32 owner; /* ticket being served */
	u32 rank_bit;      /* BIT(enum lock_rank) */
	void *holder;      /* for assertions: the hart that has it; NULL: none */
};

#define LOCK_INIT(rank)                     \
	{                                   \
		.rank_bit = (u32)BIT(rank), \
	}

static inline void lock_init(struct spinlock *l, enum lock_rank rank)
{
	*l = (struct spinlock)LOCK_INIT(rank);
}

static inline enum lock_rank lock_rank(const struct spinlock *l)
{
	return (enum lock_rank)__builtin_ctz(l->rank_bit);
}

void lock_acquire(struct spinlock *l);
bool lock_try(struct spinlock *l);
void lock_release(struct spinlock *l);

/* Two locks of one rank, in address order; `a` may equal `b`. */
void lock_pair(struct spinlock *a, struct spinlock *b);
void unlock_pair(struct spinlock *a, struct spinlock *b);

/* Is `l` taken by the running hart? For assertions. */
bool lock_is_held(const struct spinlock *l);

/* How often an acquisition of this rank had to wait, over all harts. */
u64 lock_contended(enum lock_rank rank);

const char *lock_rank_name(enum lock_rank rank);

#endif
