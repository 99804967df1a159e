/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Harts of the machine, by index 0 .. n-1 (not by hart id, which may be sparse).
 *
 * Each floor keeps its per-hart data in an array of HART_MAX, indexed by
 * hart_index(); arch itself keeps the hart id, the stack and the trap state.
 * HS-mode runs with interrupts off, so per-hart data of the running hart needs
 * no further protection.
 */
#ifndef ARCH_HART_H
#define ARCH_HART_H

#include "lib/types.h"

#define HART_MAX 8U

/* Index of the running hart; O(1), read from tp. */
u32 hart_index(void);

/* How many harts Pando runs on: one, until main.c has started the others. */
u32 hart_count(void);

/* Machine hart id of hart `index`, as firmware names it. */
u64 hart_id(u32 index);

/* Sends a software interrupt to hart `index`: it leaves its guest, or wakes from
 * hart_wait().  Cheap to repeat; harmless to a hart that is already in HS-mode. */
void hart_kick(u32 index);

/* Waits (WFI) until any enabled interrupt is pending.  May return early. */
void hart_wait(void);

/* A pause inside a spin loop. */
void hart_relax(void);

/* Which HS interrupts are pending on this hart; acknowledges the software one. */
enum hart_event {
	HART_EV_KICK = 1,  /* software interrupt: another hart wants attention */
	HART_EV_TIMER = 2, /* the deadline of timer_set() has passed */
	HART_EV_EXT = 4,   /* an external interrupt of the machine is pending */
};

/* Set of enum hart_event; clears SSIP *before* it returns, so that work queued
 * before the kick is seen by whoever drains afterwards. */
u32 hart_events(void);

/* What the machine offers; filled once at boot from the device tree and by probing. */
struct machine {
	bool has_sstc;
	bool has_svinval;
	bool has_zicbom;
	bool has_zicboz;
	bool has_smstateen;
	bool has_siselect; /* hstateen0 closes it to guests, but not on every machine that has one */
	bool has_svadu;
	bool has_fp;
	bool has_vector;
	bool has_zba, has_zbb, has_zbs;
	bool isolation_strong; /* the machine does not write A/D bits into G-stage read-only pages */
	u32 cbom_block_len, cboz_block_len; /* bytes */
	u32 vlenb;                          /* bytes of a vector register; 0: none */
	u32 vmid_bits;
	u64 timebase_hz;
};
extern struct machine machine;

#endif
