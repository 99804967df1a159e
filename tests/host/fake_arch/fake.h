/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arch floor of host tests.
 *
 * Up to HART_MAX fake harts, of which `fake_hart` runs.  Each has CSRs by name and
 * a TLB that is as lazy as the architecture allows: it keeps every translation,
 * table pointer and absent entry it has ever walked, tagged by VMID, until a fence drops
 * just what that fence must drop.  So a fence that is missing, or names the wrong
 * address or VMID, shows as a guest that reads stale memory.
 */
#ifndef FAKE_H
#define FAKE_H

#include "arch/hart.h"
#include "arch/lock.h"
#include "lib/types.h"

struct space;

extern u32 fake_hart;            /* index of the hart that runs */
extern u32 fake_n_harts;         /* what hart_count() says */
extern u64 fake_time;            /* what time_now() says; a test advances it */
extern u64 fake_time_step;       /* by how much each look at it advances it */
extern u64 fake_timer[HART_MAX]; /* what timer_set() asked for */
extern u32 fake_n_logged;        /* lines that were logged */
extern u32 fake_events;          /* what hart_events() says next, then cleared */

/* A machine with `mib` MiB of RAM and `n_harts`, memory and spaces initialised. */
void fake_machine(u32 mib, u32 n_harts);

/* Called by hart_kick() with the hart that is kicked; default: counts, and if that hart is
 * in a guest it leaves it. */
extern void (*fake_on_kick)(u32 hart);
extern u32 fake_n_kicks[HART_MAX];

/* Called after each release of a lock: a moment when any other hart may take it. */
extern void (*fake_on_release)(const struct spinlock *l);

/* What happens while the hart waits in hart_wait(). */
extern void (*fake_on_wait)(void);

/* For tests in which the harts really take turns (crew.h); default: nothing, and it is an error to wait. The first is
 * called before each lock, fence, kick and CSR that others can notice: earlier stores are visible by then. The second
 * when the hart cannot go on before another has run. The third before a page-table walk reads `table`. */
extern void (*fake_on_step)(void);
extern void (*fake_on_blocked)(void);
extern void (*fake_on_walk)(hpa_t table);

/* Locks of this rank keep nobody out. */
extern u32 fake_rank_without_effect;

/* The locks that the running hart holds: one bit for each, and rarely one for two. */
u64 fake_locks_held(void);

/* An access through a leaf without A, or a store without D, faults instead of setting it. */
extern bool fake_traps_on_d;

/* Called at each look at the clock: a moment when others may do anything that needs no lock of this hart's. */
extern void (*fake_on_clock)(void);

/* Called when two pages have been compared, or one with zeroes: a moment when others may write them. */
extern void (*fake_on_compare)(void);

/* Fences executed so far by each hart, by kind, and of the last its operands and the hart's hgatp. */
enum fake_fence {
	FAKE_GVMA_ALL,
	FAKE_GVMA_VMID,
	FAKE_GVMA_GPA,
	FAKE_VVMA_ALL,
	FAKE_VVMA_ASID,
	FAKE_VVMA_GVA,
	FAKE_VVMA_GVA_ASID,
	FAKE_FENCE_I,
	FAKE_N_FENCES,
};
extern u32 fake_n_fences[HART_MAX][FAKE_N_FENCES];
extern u64 fake_fence_addr, fake_fence_id, fake_fence_hgatp;

/* Hart `h` enters / leaves a guest of `s` (a window, as around vcpu_enter()). */
void fake_enter(u32 h, struct space *s, u32 vcpu_id);
void fake_enter_again(u32 h, struct space *s); /* the vCPU is loaded already */
void fake_leave(u32 h);
bool fake_is_in_guest(u32 h);

/* One access of a hart that is in a guest: the byte's address, or NULL for a guest page fault. */
u8 *fake_access(u32 h, u64 gpa, bool is_store);
u8 *fake_fetch(u32 h, u64 gpa); /* it wants X */

/* A walk for gpa that hart `h` does of its own accord, as hardware may at any time, in HS-mode too; it remembers what
 * it finds. Every table that it reads must still be one. */
void fake_speculate(u32 h, u64 gpa);

/* Enter, access, take faults until it succeeds, leave.  NULL: the fault could not be resolved. */
u8 *fake_touch(u32 h, struct space *s, u64 gpa, bool is_store);

/* A small generator; fake_seed() takes PANDO_SEED from the environment or `fallback`, and prints it. */
u64 fake_seed(u64 fallback);
u64 fake_random(void);

#endif
