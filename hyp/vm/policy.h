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

struct vm_policy {
	u8 time; /* enum time_policy */
};

#endif
