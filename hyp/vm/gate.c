/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gate of a new clone (gate.h).
 *
 * The bits HOLD_GATE are the gate's state; gate_open() clears all of them, gate_try()
 * the one of a vCPU whose own timer says that it has waited long enough.  That timer
 * is the one it would sleep with (sched.c), which it does not need while it is held.
 */
#include "vm/gate.h"
#include "arch/hart.h"
#include "arch/time.h"
#include "vm/sched.h"
#include "vm/vm.h"

void gate_close(struct vm *vm, struct vcpu *leader)
{
	vm->gate.leader = leader;
	atomic_store_explicit(&vm->gate.check, TIME_NEVER, memory_order_relaxed);
	/* Parked in the mailbox's NEXT it would never come to the interrupt: it loads NEXT again. */
	atomic_fetch_and(&leader->holds, ~(u32)HOLD_WORK);
	for (u32 i = 0; i < vm->n_vcpus; i++)
		if (vm->vcpu[i] != leader)
			atomic_fetch_or(&vm->vcpu[i]->holds, HOLD_GATE);
}

void gate_open(struct vm *vm)
{
	for (u32 i = 0; i < vm->n_vcpus; i++)
		if (atomic_load(&vm->vcpu[i]->holds) & HOLD_GATE)
			vcpu_unhold(vm->vcpu[i], HOLD_GATE);
}

static u64 next_check(void)
{
	return time_now() + time_ns_to_ticks(GATE_LOOK_NS);
}

void gate_start(struct vm *vm)
{
	if (vm->gate.leader == NULL)
		return;
	vm->gate.until = vm->gate.leader->guest_ticks + time_ns_to_ticks(GATE_NS);
	atomic_store(&vm->gate.check, next_check());
	/* Each queues its timer. */
	for (u32 i = 0; i < vm->n_vcpus; i++)
		if (atomic_load(&vm->vcpu[i]->holds) & HOLD_GATE)
			sched_wake(vm->vcpu[i], false);
}

void gate_go_on(struct vm *vm)
{
	/* Or a sibling might ask before the leader has been woken, and find it asleep. */
	if (vm->gate.leader != NULL && atomic_load(&vm->gate.check) != TIME_NEVER)
		atomic_store(&vm->gate.check, next_check());
}

u64 gate_deadline(const struct vcpu *v)
{
	return atomic_load(&v->vm->gate.check);
}

bool gate_try(struct vcpu *v)
{
	struct vm *vm = v->vm;
	struct vcpu *leader = vm->gate.leader;
	u32 state = atomic_load(&leader->state);

	if (state == SCHED_ASLEEP || leader->guest_ticks >= vm->gate.until) {
		atomic_fetch_and(&v->holds, ~(u32)HOLD_GATE);
		return true;
	}
	atomic_store(&vm->gate.check, next_check());
	/* It may be alone on its hart and never leave the guest, and only then is its time counted. */
	if (state == SCHED_RUNNING)
		hart_kick(atomic_load(&leader->home));
	return false;
}
