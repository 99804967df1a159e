/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VM records: birth, the list, states, death.
 *
 * A record lives as long as somebody holds a reference: the list until the VM is
 * killed, each clone of it (it may want to go back), the event list, and whoever
 * has looked it up.  No vCPU holds one: vm_kill() waits until none is in a hart
 * before it gives up the list's.
 *
 * A state changes under vm->lock only, and so does the end of HOLD_PAUSED.  So
 * "no vCPU is in a hart", once seen with the lock held after that hold was set,
 * stays true until the lock is released; vm_quiesce() returns in that state.  It
 * waits without the lock, as the vCPU that it waits for may want the lock to stop
 * its own VM.
 */
#include "lib/assert.h"
#include "mm/pool.h"
#include "vm/sched.h"
#include "vm/vector.h"
#include "vm/vm.h"
#include <stdio.h>
#include <string.h>

_Static_assert(VM_NEW == 0 && VM_UNLISTED == 0, "what a record's zeroes mean");

TAILQ_HEAD(vm_list_head, vm);

static struct spinlock list_lock = LOCK_INIT(LOCK_VMS);
static struct vm_list_head vms = TAILQ_HEAD_INITIALIZER(vms); /* VM_NAMED, by id */
static struct vm_list_head nameless = TAILQ_HEAD_INITIALIZER(nameless);
static u32 n_vms, last_id;
static struct time_cost last_kill; /* list_lock */
static struct pool vcpu_pool = POOL_INIT("vcpu", struct vcpu, FRAME_FOR_GUEST);

static void init_vcpu(struct vcpu *v, struct vm *vm, u32 id)
{
	v->vm = vm;
	v->id = id;
	atomic_init(&v->requests, 0);
	atomic_init(&v->holds, HOLD_PAUSED);
	atomic_init(&v->in_guest, false);
	v->is_loaded = v->has_begun = false;
	v->last_hart = 0;
	v->units.vector.v = NULL;
	lock_init(&v->fence_lock, LOCK_VCPU_FENCE);
	v->n_fences = 0;
	ZERO_WORDS(v->exits);
	v->guest_ticks = v->loaded.sum = v->exits_noted = 0;
	sched_add(v);
}

static struct vm *alloc_record(void)
{
	struct vm *vm = page_alloc_raw(FRAME_FOR_GUEST);

	return vm == NULL && space_relieve() ? page_alloc_raw(FRAME_FOR_GUEST) : vm;
}

static struct vcpu *alloc_vcpu(struct vm *vm, u32 id)
{
	struct vcpu *v;

	if (id == 0)
		return &vm->boot_vcpu;
	v = pool_alloc_raw(&vcpu_pool);
	return v == NULL && space_relieve() ? pool_alloc_raw(&vcpu_pool) : v;
}

static void free_vcpu(struct vcpu *v)
{
	sched_remove(v);
	nomem_forget(v);
	if (v->units.vector.v != NULL)
		vector_free(&v->units.vector);
	if (v->id != 0)
		pool_free(&vcpu_pool, v);
}

static bool add_vcpu(struct vm *vm)
{
	struct vcpu *v = alloc_vcpu(vm, vm->n_vcpus);

	if (v == NULL)
		return false;
	init_vcpu(v, vm, vm->n_vcpus);
	vm->vcpu[vm->n_vcpus++] = v;
	return !machine.has_vector || vector_alloc(&v->units.vector);
}

struct vm *vm_alloc(u32 n_vcpus)
{
	struct vm *vm = alloc_record();

	if (vm == NULL)
		return NULL;
	ZERO_WORDS_IN_LINE(&vm->state, offsetof(struct vm, vcpu) - offsetof(struct vm, state));
	atomic_init(&vm->refs, 1);
	lock_init(&vm->lock, LOCK_VM);
	lock_init(&vm->dev_lock, LOCK_DEV);
	vm->space.root = NULL;
	vm->n_vcpus = 0;
	while (vm->n_vcpus < n_vcpus) {
		if (!add_vcpu(vm)) {
			vm_free(vm);
			return NULL;
		}
	}
	return vm;
}

void vm_free(struct vm *vm)
{
	assert(vm->listing == VM_UNLISTED);
	for (u32 i = 0; i < vm->n_vcpus; i++)
		free_vcpu(vm->vcpu[i]);
	if (vm->space.root != NULL)
		space_fini(&vm->space);
	if (vm->console.ring != NULL)
		pages_free(vm->console.ring, 0);
	page_free(vm);
}

/* The number at the start of `text`, and what follows it; 0: none, or beyond all of ours. */
static u32 parse_number(const char *text, const char **rest)
{
	u32 n = 0;

	for (; *text >= '0' && *text <= '9'; text++) {
		if (n > UINT32_MAX / 10 - 1)
			return 0;
		n = n * 10 + (u32)(*text - '0');
	}
	*rest = text;
	return n;
}

/* "#5" is 5; anything else 0, which is no id. */
static u32 parse_id(const char *name)
{
	const char *rest = "";
	u32 id = *name == '#' ? parse_number(name + 1, &rest) : 0;

	return *rest == 0 ? id : 0;
}

static struct vm *lookup_locked(const char *name)
{
	struct vm *vm;
	u32 id = parse_id(name);

	TAILQ_FOREACH (vm, &vms, link) {
		if (id != 0 ? vm->id == id : strcmp(vm->name, name) == 0)
			return vm;
	}
	return NULL;
}

/* The highest number among clones, and clones of clones, of a VM called `name`. */
static u32 last_number_locked(const char *name)
{
	size_t len = strlen(name);
	u32 last = 0;
	struct vm *vm;

	TAILQ_FOREACH (vm, &vms, link) {
		const char *rest;

		if (strncmp(vm->name, name, len) == 0 && vm->name[len] == '.')
			last = (u32)u64_max(last, parse_number(vm->name + len + 1, &rest));
	}
	return last;
}

/* Its next clone has the number after `n`. */
static void count_from(struct vm *vm, u32 n)
{
	vm->n_clones_made = n;
	if (n != 0)
		vm->number_len = (u32)snprintf(vm->number, VM_NUMBER_LEN, "%u", n);
}

enum err vm_list(struct vm *vm, bool is_new_name)
{
	enum err e = ERR_OK;

	lock_acquire(&list_lock);
	if (is_new_name && lookup_locked(vm->name) != NULL) {
		e = ERR_EXISTS;
	} else {
		vm->id = ++last_id;
		if (is_new_name)
			count_from(vm, last_number_locked(vm->name));
		TAILQ_INSERT_TAIL(&vms, vm, link);
		vm->listing = VM_NAMED;
		n_vms++;
	}
	lock_release(&list_lock);
	return e;
}

static void take_name(struct vm *vm)
{
	lock_acquire(&list_lock);
	TAILQ_REMOVE(&vms, vm, link);
	TAILQ_INSERT_TAIL(&nameless, vm, link);
	vm->listing = VM_NAMELESS;
	n_vms--;
	lock_release(&list_lock);
}

/* The last reference has gone, and only killed VMs lose it. */
static void unlist(struct vm *vm)
{
	lock_acquire(&list_lock);
	assert(vm->listing == VM_NAMELESS);
	TAILQ_REMOVE(&nameless, vm, link);
	vm->listing = VM_UNLISTED;
	lock_release(&list_lock);
}

static void hold_all(struct vm *vm, u32 holds)
{
	for (u32 i = 0; i < vm->n_vcpus; i++)
		vcpu_hold(vm->vcpu[i], holds);
}

static void wait_all_stopped(struct vm *vm)
{
	for (u32 i = 0; i < vm->n_vcpus; i++)
		sched_wait_stopped(vm->vcpu[i]);
}

/* Holds all; true: some vCPU is still in a hart.  One that is not cannot get into one any more. */
static bool pause_all(struct vm *vm)
{
	bool is_any_running = false;

	for (u32 i = 0; i < vm->n_vcpus; i++) {
		struct vcpu *v = vm->vcpu[i];

		atomic_fetch_or(&v->holds, HOLD_PAUSED);
		atomic_fetch_or(&v->requests, VREQ_RESCHED);
		is_any_running |= sched_hold(v);
	}
	return is_any_running;
}

enum err vm_quiesce(struct vm *vm, u32 states)
{
	for (;;) {
		lock_acquire(&vm->lock);
		if ((states & BIT(atomic_load(&vm->state))) == 0) {
			lock_release(&vm->lock);
			return ERR_STATE;
		}
		if (!pause_all(vm))
			break;
		lock_release(&vm->lock);
		wait_all_stopped(vm);
	}
	if (atomic_load(&vm->state) == VM_RUNNING && !atomic_load(&vm->time_waits))
		vm->frozen_time = time_now() + vm->time_delta;
	return ERR_OK;
}

/* Guest time never goes back: not even if this hart's clock is a tick behind the one that was read at the standstill. */
static void restart_time(struct vm *vm)
{
	u64 delta = vm->frozen_time - time_now();

	if (vm->policy.time == TIME_CONTINUE || (s64)(vm->time_delta - delta) < 0)
		vm->time_delta = delta;
}

/* Has some vCPU work to do as soon as a hart is free? */
static bool is_any_ready(const struct vm *vm)
{
	for (u32 i = 0; i < vm->n_vcpus; i++) {
		const struct vcpu *v = vm->vcpu[i];

		if ((atomic_load(&v->holds) & ~(u32)HOLD_PAUSED) == 0 &&
		    (!v->in_wfi || vcpu_has_interrupt(v)))
			return true;
	}
	return false;
}

/* Every vCPU that is started waits for frames, or in the mailbox for work: none runs before there is some. */
static bool is_out_of_work(const struct vm *vm)
{
	u32 any = 0;

	for (u32 i = 0; i < vm->n_vcpus; i++) {
		u32 holds = atomic_load(&vm->vcpu[i]->holds);

		if ((holds & (HOLD_NOMEM | HOLD_WORK | HOLD_STOPPED)) == 0)
			return false;
		any |= holds;
	}
	return (any & (HOLD_NOMEM | HOLD_WORK)) != 0;
}

void vm_wait(struct vm *vm)
{
	assert(lock_is_held(&vm->lock));
	if (atomic_load(&vm->state) != VM_RUNNING || atomic_load(&vm->time_waits))
		return;
	vm->frozen_time = time_now() + vm->time_delta;
	/* First this, then the look.  A sibling is woken first, without vm->lock, and then loaded: so either it is seen
	 * here, or vcpu_load() sees that time waits, and comes to the lock. */
	atomic_store(&vm->time_waits, true);
	if (!is_out_of_work(vm))
		atomic_store(&vm->time_waits, false);
}

static void begin_time(struct vm *vm)
{
	if (!atomic_load_explicit(&vm->time_waits, memory_order_relaxed))
		return;
	restart_time(vm);
	atomic_store_explicit(&vm->time_waits, false, memory_order_release);
}

/* Siblings may have their first turn on several harts at once; who stops the VM meanwhile waits for
 * this vCPU. */
void vm_begin_time(struct vm *vm)
{
	if (vm->n_vcpus == 1) {
		begin_time(vm);
		return;
	}
	lock_acquire(&vm->lock);
	begin_time(vm);
	lock_release(&vm->lock);
}

/* A thousand clones that start at once wait for a hart.  That wait is one that Pando imposes, so
 * guest time stands still over it, too: no timer is due before the guest has done anything. */
void vm_go_on(struct vm *vm)
{
	assert(lock_is_held(&vm->lock));
	restart_time(vm);
	atomic_store(&vm->time_waits,
	             vm->policy.time == TIME_CONTINUE && (is_any_ready(vm) || is_out_of_work(vm)));
	gate_go_on(vm);
	atomic_store(&vm->state, VM_RUNNING);
	for (u32 i = 0; i < vm->n_vcpus; i++)
		vcpu_unhold(vm->vcpu[i], HOLD_PAUSED);
}

enum err vm_run(struct vm *vm)
{
	u64 start = time_instret();
	u32 state;

	lock_acquire(&vm->lock);
	state = atomic_load(&vm->state);
	if (state == VM_NEW || state == VM_PAUSED)
		vm_go_on(vm);
	if (state == VM_NEW)
		vm->stats.run_instret = time_instret() - start;
	lock_release(&vm->lock);
	return state == VM_NEW || state == VM_PAUSED ? ERR_OK : ERR_STATE;
}

void vm_pause(struct vm *vm)
{
	if (vm_quiesce(vm, BIT(VM_RUNNING)) != ERR_OK)
		return;
	atomic_store(&vm->state, VM_PAUSED);
	lock_release(&vm->lock);
}

void vm_kill(struct vm *vm)
{
	struct time_cost start = time_cost_now();
	bool is_dying;

	lock_acquire(&vm->lock);
	is_dying = atomic_exchange(&vm->state, VM_DYING) == VM_DYING;
	if (!is_dying)
		hold_all(vm, HOLD_PAUSED);
	lock_release(&vm->lock);
	if (is_dying)
		return;
	wait_all_stopped(vm);
	for (u32 i = 0; i < vm->n_vcpus; i++)
		nomem_forget(vm->vcpu[i]);
	take_name(vm);
	vm_put(vm);
	lock_acquire(&list_lock);
	last_kill = time_cost_since(start);
	lock_release(&list_lock);
}

struct time_cost vm_last_kill(void)
{
	struct time_cost cost;

	lock_acquire(&list_lock);
	cost = last_kill;
	lock_release(&list_lock);
	return cost;
}

void vm_stop_with(struct vm *vm, const char *reason, u32 events)
{
	u32 state;

	lock_acquire(&vm->lock);
	state = atomic_load(&vm->state);
	if (state == VM_RUNNING || state == VM_PAUSED) {
		atomic_store(&vm->state, VM_OFF);
		vm->off_reason = reason;
		hold_all(vm, HOLD_PAUSED);
		vm_post_event(vm, VM_EV_OFF | events);
	}
	lock_release(&vm->lock);
}

void vm_stop(struct vm *vm, const char *reason)
{
	vm_stop_with(vm, reason, 0);
}

struct vm *vm_find(const char *name)
{
	struct vm *vm;

	lock_acquire(&list_lock);
	vm = lookup_locked(name);
	if (vm != NULL)
		vm_get(vm);
	lock_release(&list_lock);
	return vm;
}

void vm_describe_current(char *buf, size_t len)
{
	const struct vcpu *v = vcpu_current();

	buf[0] = 0;
	if (v != NULL)
		snprintf(buf, len, "%s, vCPU %u", v->vm->name, v->id);
}

void vm_get(struct vm *vm)
{
	atomic_fetch_add(&vm->refs, 1);
}

/* A loop, as the end of a clone may be the end of its template, a thousand deep. */
void vm_put(struct vm *vm)
{
	while (vm != NULL && atomic_fetch_sub(&vm->refs, 1) == 1) {
		struct vm *template = vm->template;

		unlist(vm);
		vm_free(vm);
		vm = template;
	}
}

u32 vm_count(void)
{
	u32 n;

	lock_acquire(&list_lock);
	n = n_vms;
	lock_release(&list_lock);
	return n;
}

/* The first VM after `vm` (NULL: of all) with a reference; drops the one on `vm`. */
static struct vm *next_vm(struct vm *vm)
{
	struct vm *next;

	lock_acquire(&list_lock);
	if (vm != NULL && vm->listing == VM_NAMED) {
		next = TAILQ_NEXT(vm, link);
	} else {
		/* It was killed meanwhile; ids grow along the list. */
		next = TAILQ_FIRST(&vms);
		while (next != NULL && vm != NULL && next->id < vm->id)
			next = TAILQ_NEXT(next, link);
	}
	if (next != NULL)
		vm_get(next);
	lock_release(&list_lock);
	vm_put(vm);
	return next;
}

void vm_for_each(bool (*fn)(struct vm *vm, void *arg), void *arg)
{
	struct vm *vm = next_vm(NULL);

	while (vm != NULL && fn(vm, arg))
		vm = next_vm(vm);
	vm_put(vm);
}

/* Its last reference may be going at this moment: then it is not to be had any more. */
static bool get_unless_gone(struct vm *vm)
{
	u32 refs = atomic_load(&vm->refs);

	while (refs != 0)
		if (atomic_compare_exchange_weak(&vm->refs, &refs, refs + 1))
			return true;
	return false;
}

/* As next_vm(), over what was killed.  `vm` keeps its place, since its reference does. */
static struct vm *next_retained(struct vm *vm)
{
	struct vm *next;

	lock_acquire(&list_lock);
	next = vm != NULL ? TAILQ_NEXT(vm, link) : TAILQ_FIRST(&nameless);
	while (next != NULL && !(next->space.frozen && get_unless_gone(next)))
		next = TAILQ_NEXT(next, link);
	lock_release(&list_lock);
	vm_put(vm);
	return next;
}

void vm_for_each_retained(bool (*fn)(struct vm *vm, void *arg), void *arg)
{
	struct vm *vm = next_retained(NULL);

	while (vm != NULL && fn(vm, arg))
		vm = next_retained(vm);
	vm_put(vm);
}
