/* SPDX-License-Identifier: BSD-2-Clause */
/* Traps of Pando itself: expected ones come back as `false`, all others panic. */
#ifndef ARCH_TRAP_H
#define ARCH_TRAP_H

#include "lib/types.h"

/* Registers of the code that trapped, by number; x[0] is unused. */
struct trap_frame {
	u64 x[32];
};

extern char trap_vector[];

/* The end of a trap that nobody expects. */
_Noreturn void trap_fatal(const struct trap_frame *frame);

/* Plain words for an exception cause of scause. */
const char *trap_cause_name(u64 cause);

/*
 * One instruction each that may trap.  `causes`: bit n set = cause n is expected and
 * makes the call return false; any other one is a bug.
 */
bool must_check trap_try_hlvx_hu(u64 gva, u64 *half, u64 causes);
bool must_check trap_try_hgatp(u64 *value, u64 causes);
bool must_check trap_try_stimecmp(u64 *value, u64 causes);
bool must_check trap_try_henvcfg(u64 *value, u64 causes);
bool must_check trap_try_hstateen0(u64 *value, u64 causes);
bool must_check trap_try_vsiselect(u64 *value, u64 causes);
bool must_check trap_try_vlenb(u64 *value, u64 causes);
bool must_check trap_try_cbo_zero(void *block, u64 causes);

#endif
