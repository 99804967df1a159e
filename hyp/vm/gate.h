/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gate of a new clone: who it is comes first.
 *
 * A clone, a fork child and a reset VM have a new identity, and their guest learns of
 * it by an interrupt.  Until it has served that, its vCPUs still hold the random state
 * of the template.  So the vCPU that takes the interrupt, the leader, runs first, and
 * its siblings are held (HOLD_GATE) until the guest has served it.
 *
 * The wait is bounded: a guest may have its reasons not to take the interrupt.  It
 * ends when the leader has spent GATE_NS in the guest since it first ran, or is found asleep by
 * a look every GATE_LOOK_NS.  Not by the clock: on a crowded machine the leader's first turn may be
 * late.  And not soon: on a crowded host, time in the guest goes on while QEMU's thread waits for a CPU.
 */
#ifndef VM_GATE_H
#define VM_GATE_H

#include "vm/vcpu.h"

#define GATE_NS      1000000000UL
#define GATE_LOOK_NS 50000000UL

/* Legend: that of struct vm, of which it is a part. */
struct vm_gate {
	struct vcpu *leader; /* m: NULL: never was closed */
	u64 until;           /* m: of leader->guest_ticks: opens then */
	_Atomic u64 check;   /* a: host ticks of the next look; TIME_NEVER: it has not run yet */
};

/* The vCPUs of a quiet VM, but `leader`, wait for the gate. */
void gate_close(struct vm *vm, struct vcpu *leader);

/* The interrupt has been served.  From any hart; dev_lock may be held. */
void gate_open(struct vm *vm);

/* The VM is about to run for the first time, or again: the bound is counted from here.  No lock
 * of a run queue is held. */
void gate_start(struct vm *vm);
void gate_go_on(struct vm *vm);

/* Host ticks at which to ask again for a vCPU that is held by the gate alone. */
u64 gate_deadline(const struct vcpu *v);

/* Asked at that time: lets v through if the bound is reached.  False: wait for another deadline. */
bool gate_try(struct vcpu *v);

#endif
