/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where time goes: of a vCPU, and of a hart.
 *
 * A vCPU's time in a hart runs from vcpu_load() to vcpu_unload(); what of that is not
 * the guest's is the hypervisor's, on this vCPU's behalf.  So nothing is counted per exit
 * but the time in the guest.
 */
#ifndef VM_ACCOUNT_H
#define VM_ACCOUNT_H

#include "lib/types.h"

struct vcpu;

/* By the hart that does it. */
void account_load(struct vcpu *v);
void account_unload(struct vcpu *v);

/* hart_wait(). */
void account_wait(void);

/* In ticks, up to now. */
struct vcpu_time {
	u64 guest, hypervisor;
};

/* From any hart that runs no vCPU: one that is in its guest is made to leave it, or it would count
 * from its last exit on only. */
struct vcpu_time account_vcpu(struct vcpu *v);

struct hart_time {
	u64 vcpus,
		idle; /* ticks, up to now: with a vCPU, and waiting; the rest is Pando's own work */
	u64 exits;    /* of vCPUs that have left it again */
};
struct hart_time account_hart(u32 hart);

/* All exits of a vCPU, and those that no hart has been given yet. */
u64 account_exits(const struct vcpu *v);
u64 account_new_exits(const struct vcpu *v);

#endif
