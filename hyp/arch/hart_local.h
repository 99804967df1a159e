/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What arch keeps for each hart; tp points to it whenever Pando itself runs.
 * HS-mode runs with interrupts off, so the owner needs no protection.
 *
 * Legend: I set before the hart runs, o owner hart only, a atomic.
 */
#ifndef ARCH_HART_LOCAL_H
#define ARCH_HART_LOCAL_H

#include <stdatomic.h>
#include "arch/hart.h"
#include "arch/lock.h"
#include "arch/regs.h"

struct hart_local {
	u8 tls[64];              /* o picolibc's errno lies at tp + 0 */
	u64 recover_causes;      /* o bit n: a trap with cause n goes to recover_pc; 0 is none */
	u64 recover_pc;          /* o cleared by nobody, recover_causes rules */
	u64 spill_t0;            /* o trap.S */
	u64 spill_t1;            /* o trap.S */
	u64 spill_sp;            /* o trap.S */
	u64 stack_top;           /* I */
	u64 emergency_top;       /* I */
	u64 id;                  /* I the machine's name for this hart */
	u32 index;               /* I */
	_Atomic u32 kicked;      /* a a software interrupt is on its way */
	_Atomic u32 online;      /* a set by the hart itself, once */
	u32 n_panics;            /* o panics entered: the second one must not print */
	bool is_guest_ready;     /* o the constants of guest_load() are written */
	const void *units_owner; /* o whose guest_units the hart holds; compared, never followed */
	u32 held;                /* o bit r: a lock of rank r */
	_Atomic u64 contended[LOCK_N_RANKS]; /* a written by the owner */
} __attribute__((aligned(64)));

extern struct hart_local hart_locals[HART_MAX];

static inline struct hart_local *hart_self(void)
{
	struct hart_local *self;

	__asm__("mv %0, tp" : "=r"(self));
	return self;
}

/* Tables of stacks (boot.S), for paging and for the diagnosis of overflows. */
extern u8 boot_stacks[HART_MAX][STACK_SLOT_LEN];

/* Where firmware starts every hart (boot.S), and where boot.S hands over all but the first. */
extern char boot_start[];
_Noreturn void boot_hart_main(struct hart_local *self);

#endif
