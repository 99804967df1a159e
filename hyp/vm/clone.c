/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Freeze, clone, fork, reset of a whole VM: its space (mm does the work), its
 * vCPUs, its devices.
 *
 * Prepare may fail and touches nobody: a record with vCPUs (vm_alloc).  Commit
 * cannot fail: one more reference to a frozen root, and a copy of what lies in
 * the two kinds of records.  What a child does not take over: what its parent
 * waits for from control (READY, frames, pause), queued VS-stage fences (it has
 * no translations yet: last_hart = 0 flushes them at its first load), counters.
 *
 * Guest time never goes back.  With the time policy "continue" it stands still
 * from the freeze on, and goes on from there when a clone runs; with "jump" the
 * clone sees how long the template lay in the freezer.  A timer that was armed or
 * due at the freeze is armed or due in the clone, since deadlines are in guest
 * time; there is one deadline, so an hour brings one interrupt, not a storm.
 */
#include "lib/assert.h"
#include "vm/admission.h"
#include "vm/device.h"
#include "vm/sched.h"
#include "vm/vector.h"
#include <string.h>

/* Holds that are the guest's own and so belong to its state. */
#define HOLDS_OF_GUEST (HOLD_STOPPED | HOLD_WORK)

#define STATES_ALIVE (BIT(VM_NEW) | BIT(VM_RUNNING) | BIT(VM_PAUSED))

/* No template's file may use up what is left for others. */
#define GENERATIONS_FROM_MAX ((u32)INT32_MAX)

static _Atomic u32 last_generation;

void vm_generations_from(u32 n)
{
	u32 last = atomic_load(&last_generation);

	while (last < n && n <= GENERATIONS_FROM_MAX)
		if (atomic_compare_exchange_weak(&last_generation, &last, n))
			return;
}

static void stop_waiting(struct vm *vm)
{
	for (u32 i = 0; i < vm->n_vcpus; i++)
		nomem_forget(vm->vcpu[i]);
}

static enum err freeze(struct vm *vm, bool compact)
{
	struct time_cost start;

	if (vm_quiesce(vm, STATES_ALIVE) != ERR_OK)
		return ERR_STATE;
	start = time_cost_now();
	stop_waiting(vm);
	if (compact)
		scan_compact(&vm->space);
	vm->is_compact = compact;
	space_freeze(&vm->space);
	atomic_store(&vm->state, VM_TEMPLATE);
	vm->stats.freeze = time_cost_since(start);
	lock_release(&vm->lock);
	return ERR_OK;
}

enum err vm_freeze(struct vm *vm)
{
	return freeze(vm, false);
}

enum err vm_freeze_compact(struct vm *vm)
{
	return freeze(vm, true);
}

/* One more, in text: nothing is divided, and most often just the last digit changes. */
static void count_clone(struct vm *parent)
{
	u32 i = parent->number_len;

	parent->n_clones_made++;
	while (i > 0 && parent->number[i - 1] == '9')
		parent->number[--i] = '0';
	if (i > 0) {
		parent->number[i - 1]++;
		return;
	}
	assert(parent->number_len < VM_NUMBER_LEN);
	parent->number[parent->number_len++] = '0';
	parent->number[0] = '1';
}

/* "linux" and 17 make "linux.17"; what does not fit is taken from the template's name. */
static void name_child(struct vm *child, const struct vm *parent)
{
	u32 n = (u32)u64_min(parent->name_len, VM_NAME_LEN - 2 - parent->number_len);

	COPY_WORDS(child->name, parent->name);
	child->name[n++] = '.';
	for (u32 i = 0; i < parent->number_len; i++)
		child->name[n++] = parent->number[i];
	child->name[n] = 0;
	child->name_len = n;
}

static u64 read_quiet(const _Atomic u64 *p)
{
	return atomic_load_explicit(p, memory_order_relaxed);
}

static u32 read_quiet32(const _Atomic u32 *p)
{
	return atomic_load_explicit(p, memory_order_relaxed);
}

/* `from` does not run; `to` does not either, or has never run: locks order their fields, which
 * are atomic for the sake of those that run. */
static void copy_vcpu(struct vcpu *to, const struct vcpu *from)
{
	u32 holds = read_quiet32(&from->holds) & HOLDS_OF_GUEST;

	COPY_WORDS_IN_LINE(to->regs, from->regs);
	COPY_WORDS_IN_LINE(to->csrs, from->csrs);
	COPY_WORDS_IN_LINE(to->units.fp, from->units.fp);
	if (from->units.vector.v != NULL)
		vector_copy(&to->units.vector, &from->units.vector);
	atomic_init(&to->raise, read_quiet(&from->raise));
	atomic_init(&to->requests, read_quiet32(&from->requests) & ~(u32)VREQ_RESCHED);
	atomic_init(&to->holds, holds | HOLD_PAUSED);
	atomic_init(&to->hsm, read_quiet32(&from->hsm));
	to->in_wfi = from->in_wfi;
	to->soft_deadline = from->soft_deadline;
	to->last_hart = 0;
	to->n_fences = 0;
}

/* All but the space.  Both VMs are quiet; dev_lock of `from` is not needed: nothing changes it.
 * Nor is that of `to` if nobody has heard of it yet. */
static void copy_state(struct vm *to, const struct vm *from)
{
	assert(to->n_vcpus == from->n_vcpus);
	to->frozen_time = from->frozen_time;
	to->time_delta = from->time_delta;
	do
		to->generation = atomic_fetch_add(&last_generation, 1) + 1;
	while (to->generation == from->generation); /* of a template's file, by chance */
	for (u32 i = 0; i < to->n_vcpus; i++)
		copy_vcpu(to->vcpu[i], from->vcpu[i]);
	device_clone(to, from);
}

/* The part of a commit that clone and fork share; parent->lock is held. */
static void commit_child(struct vm *child, struct vm *parent)
{
	count_clone(parent);
	child->clone_id = parent->n_clones_made;
	name_child(child, parent);
	child->ram = parent->ram;
	child->window = parent->window;
	child->policy = parent->policy;
	copy_state(child, parent);
}

/* `*cost`, in its stats: what the call has cost since `start`. */
static void finish_child(struct vm *child, struct time_cost start, struct time_cost *cost)
{
	/* Its name may be taken after 2^32 clones, or if a long one was cut: no reason to fail. */
	enum err e = vm_list(child, false);

	assert(e == ERR_OK);
	child->stats.created = start.ticks;
	*cost = time_cost_since(start);
}

enum err vm_clone(struct vm *template, struct vm **out)
{
	struct time_cost start = time_cost_now();
	struct vm *child = vm_alloc(template->n_vcpus);

	if (child == NULL)
		return ERR_NOMEM;
	lock_acquire(&template->lock);
	if (atomic_load(&template->state) != VM_TEMPLATE) {
		lock_release(&template->lock);
		vm_free(child);
		return ERR_STATE;
	}
	space_clone(&child->space, &template->space);
	if (template->policy.memory == MEMORY_RESERVE && admission_take(child) != ERR_OK) {
		lock_release(&template->lock);
		vm_free(child);
		return ERR_RESERVE;
	}
	vm_get(template);
	child->template = template;
	commit_child(child, template);
	lock_release(&template->lock);
	finish_child(child, start, &child->stats.clone);
	*out = child;
	return ERR_OK;
}

enum err vm_fork(struct vm *parent, struct vm **out)
{
	struct time_cost start = time_cost_now(), hold;
	struct vm *child = vm_alloc(parent->n_vcpus);
	enum err e;

	if (child == NULL)
		return ERR_NOMEM;
	e = admission_seek_fork(parent, child);
	if (e != ERR_OK) {
		vm_free(child);
		return e;
	}
	hold = time_cost_now();
	if (vm_quiesce(parent, BIT(VM_RUNNING) | BIT(VM_PAUSED)) != ERR_OK) {
		vm_free(child);
		return ERR_STATE;
	}
	e = admission_renew(parent, 2);
	if (e == ERR_OK) {
		space_fork(&child->space, &parent->space);
		commit_child(child, parent);
	}
	if (atomic_load(&parent->state) == VM_RUNNING)
		vm_go_on(parent);
	parent->stats.stall = time_cost_since(hold);
	lock_release(&parent->lock);
	if (e != ERR_OK) {
		vm_free(child);
		return e;
	}
	finish_child(child, start, &child->stats.fork);
	*out = child;
	return ERR_OK;
}

enum err vm_reset(struct vm *vm)
{
	struct time_cost start = time_cost_now();
	bool was_paused;
	enum err e;

	if (vm->template == NULL)
		return ERR_STATE;
	e = admission_seek(vm, 1);
	if (e != ERR_OK)
		return e;
	if (vm_quiesce(vm, STATES_ALIVE | BIT(VM_OFF)) != ERR_OK)
		return ERR_STATE;
	e = admission_renew(vm, 1);
	if (e != ERR_OK) {
		if (atomic_load(&vm->state) == VM_RUNNING)
			vm_go_on(vm);
		lock_release(&vm->lock);
		return e;
	}
	/* What control has not heard of yet is over, above all that the VM is to be killed. */
	atomic_fetch_and(&vm->events, VM_EV_OUTPUT);
	was_paused = atomic_load(&vm->state) == VM_PAUSED || atomic_load(&vm->state) == VM_NEW;
	stop_waiting(vm);
	for (u32 i = 0; i < vm->n_vcpus; i++)
		vm->vcpu[i]->has_begun = false;
	space_reset(&vm->space, &vm->template->space);
	lock_acquire(&vm->dev_lock);
	copy_state(vm, vm->template);
	lock_release(&vm->dev_lock);
	vm->off_reason = NULL;
	vm->result_len = 0;
	/* It starts anew: what it does from now on is measured from now. */
	vm->stats.created = start.ticks;
	vm->stats.first_entry = vm->stats.ready = vm->stats.done = 0;
	vm->stats.run_instret = 0;
	ZERO_WORDS(vm->stats.mark);
	if (!was_paused)
		vm_go_on(vm);
	vm->stats.reset = time_cost_since(start);
	lock_release(&vm->lock);
	return ERR_OK;
}
