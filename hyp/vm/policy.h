/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VM's owner decides about how Pando treats it.  Set by the bundle, changed
 * by the command `policy`, taken over by clones and fork children; a reset leaves
 * it as it is.  docs/bundle.md says what each word means.
 */
#ifndef VM_POLICY_H
#define VM_POLICY_H

#include "lib/types.h"

/* Guest time over a pause that Pando imposes. */
enum time_policy {
	TIME_CONTINUE, /* stands still, and goes on from there */
	TIME_JUMP,     /* follows the machine's clock: the guest sees how long it was away */
};

/* How many VMs may count on the same memory. */
enum memory_policy {
	MEMORY_OVERCOMMIT, /* a VM may find none left when it writes */
	MEMORY_RESERVE,    /* its worst case is promised to it, or it does not start */
};

/* When a store of the guest finds no frame. */
enum nomem_policy {
	NOMEM_PAUSE, /* it waits, and goes on by itself when frames return */
	NOMEM_KILL,
};

/* Which pages of the VM the merge scanner may give to others, if they hold the same. */
enum dedup_policy {
	DEDUP_WITH_NONE,
	DEDUP_WITH_ZERO, /* zeroes, and what is as in its own template: nothing that a neighbour wrote */
	DEDUP_WITH_FAMILY, /* those of all that descends from the same booted VM */
	DEDUP_WITH_DOMAIN, /* those of all that name the same domain */
};

/* What a bundle that says nothing gets. */
#define DEDUP_POLICY_DEFAULT DEDUP_WITH_FAMILY

/* May the time that a guest's access takes tell whether its page was merged? */
enum secure_policy {
	SECURE_OFF, /* yes: a store to a merged page takes longer */
	SECURE_ON,  /* no: what has not been used for a while is out of reach, merged or not */
};

struct vm_policy {
	u8 time;   /* enum time_policy */
	u8 memory; /* enum memory_policy */
	u8 nomem;  /* enum nomem_policy */
	u8 dedup;  /* enum dedup_policy */
	u8 domain; /* of DEDUP_WITH_DOMAIN: see vm/dedup.h */
	u8 secure; /* enum secure_policy */
};

#endif
