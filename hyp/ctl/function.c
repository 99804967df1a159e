/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions: their table, and the VMs that wait for their calls.
 *
 * VMs are made ahead when a call has ended, not when it comes: on a machine with one hart
 * a clone that is made between a call and its VM's first instruction would be part of the call.
 *
 * They go as far as NEXT: what their guest has to do in a new clone is done when the call comes, and its time
 * stands still there.  A template whose clones end before they get work is not cloned on for ever: after a few of
 * them in a row nothing is made ahead until a call has succeeded, or the function is set anew.
 */
#include "ctl/function.h"
#include <stdio.h>
#include <string.h>
#include "ctl/call.h"
#include "ctl/turn.h"
#include "lib/assert.h"
#include "mm/pool.h"

#define SPOILT_MAX    8U
#define MADE_PER_POLL 2U
#define SPARE_PART    16U /* of memory: if no more than that is free, nothing is made ahead */

TAILQ_HEAD(function_list, function);

static struct pool records = POOL_INIT("functions", struct function, FRAME_FOR_GUEST);
static struct function_list functions = TAILQ_HEAD_INITIALIZER(functions);
static u32 n_functions;
static bool is_wanting; /* some function may lack VMs */
static struct turn making;

struct function *function_find(const char *name)
{
	struct function *f;

	TAILQ_FOREACH (f, &functions, link)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

void function_get(struct function *f)
{
	f->refs++;
}

void function_put(struct function *f)
{
	if (--f->refs > 0)
		return;
	assert(!f->is_listed && f->n_idle == 0 && f->n_running == 0 && f->n_waiting == 0);
	writeset_forget(&f->writeset);
	pool_free(&records, f);
}

/* VMs that wait */

static void take_out(struct function *f, struct vm *vm)
{
	TAILQ_REMOVE(&f->idle, vm, idle);
	f->n_idle--;
}

static void drop_idle(struct function *f)
{
	struct vm *vm;

	while ((vm = TAILQ_FIRST(&f->idle)) != NULL) {
		take_out(f, vm);
		function_drop_vm(vm);
	}
}

void function_drop_vm(struct vm *vm)
{
	vm->function = NULL;
	vm->call = NULL;
	if (atomic_load(&vm->state) == VM_TEMPLATE)
		vm->is_functions = false;
	else
		vm_kill(vm);
	vm_put(vm);
}

/* Before it goes: what it will want. */
static void copy_ahead(const struct function *f, struct vm *vm)
{
	if (f->policy.copies_ahead && writeset_is_learned(&f->writeset))
		vm->n_ahead = writeset_copy(&f->writeset, vm);
}

void function_learn(struct function *f, struct vm *vm)
{
	if (f->policy.copies_ahead && vm->template == f->template && !vm->has_served)
		writeset_learn(&f->writeset, vm);
}

static enum err make_vm(struct function *f, struct vm **out)
{
	enum err e;

	if (f->template == NULL)
		return ERR_STATE;
	e = vm_clone(f->template, out);
	if (e != ERR_OK)
		return e;
	vm_get(*out);
	(*out)->function = f;
	(*out)->is_functions = true;
	return ERR_OK;
}

bool function_drop_idle(void)
{
	struct function *f;
	bool any = false;

	TAILQ_FOREACH (f, &functions, link) {
		any |= f->n_idle > 0;
		drop_idle(f);
	}
	return any;
}

/* In the state in which it was put aside. */
static bool is_as_left(const struct vm *vm)
{
	u32 state = atomic_load(&vm->state);

	return vm->is_going ? state == VM_RUNNING : state == VM_NEW || state == VM_PAUSED;
}

/* One that `mode` may have: the last, or the first. */
static struct vm *find_idle(const struct function *f, enum call_mode mode)
{
	struct vm *first = TAILQ_FIRST(&f->idle);

	if (mode == CALL_KEEP)
		return TAILQ_LAST(&f->idle, vm_idle_list);
	return first != NULL && first->has_served ? NULL : first;
}

enum err function_take_vm(struct function *f, enum call_mode mode, struct vm **out, bool *is_warm)
{
	enum err e;

	while ((*out = find_idle(f, mode)) != NULL) {
		take_out(f, *out);
		*is_warm = is_as_left(*out);
		if (*is_warm && !(*out)->is_going)
			copy_ahead(f, *out);
		if (*is_warm)
			return ERR_OK;
		function_drop_vm(*out); /* somebody has frozen, paused or resumed it */
	}
	*is_warm = false;
	e = make_vm(f, out);
	if ((e == ERR_NOMEM || e == ERR_RESERVE) && function_drop_idle()) {
		space_relieve();
		e = make_vm(f, out);
	}
	if (e == ERR_OK)
		copy_ahead(f, *out);
	return e == ERR_RESERVE ? ERR_NOMEM : e;
}

/* Behind those of its kind: the first has waited longest, and is most likely ready. */
static void put_in(struct function *f, struct vm *vm, bool has_served)
{
	struct vm *next = TAILQ_LAST(&f->idle, vm_idle_list), *before = NULL;

	vm->call = NULL;
	vm->has_served = has_served;
	f->n_idle++;
	while (!has_served && next != NULL && next->has_served) {
		before = next;
		next = TAILQ_PREV(next, vm_idle_list, idle);
	}
	if (before != NULL)
		TAILQ_INSERT_BEFORE(before, vm, idle);
	else
		TAILQ_INSERT_TAIL(&f->idle, vm, idle);
}

void function_keep_vm(struct function *f, struct vm *vm, bool has_served)
{
	vm->has_served = has_served;
	if (f->is_listed && vm->template == f->template && f->n_idle < f->policy.max &&
	    is_as_left(vm))
		put_in(f, vm, has_served);
	else
		function_drop_vm(vm);
	is_wanting |= !has_served;
}

void function_vm_is_off(struct vm *vm)
{
	struct function *f = vm->function;

	take_out(f, vm);
	function_drop_vm(vm);
	f->n_spoilt++;
	is_wanting = true;
}

void function_want_vms(struct function *f)
{
	is_wanting |= f->n_idle < f->policy.n_warm;
}

/* Those that are under way come first. */
static bool is_memory_short(void)
{
	return frame_n_for_guests() < frame_n_total() / SPARE_PART;
}

/* True: one was made. */
static bool make_ahead(struct function *f)
{
	struct vm *vm;

	if (f->n_idle >= f->policy.n_warm || f->n_spoilt >= SPOILT_MAX || is_memory_short() ||
	    make_vm(f, &vm) != ERR_OK)
		return false;
	put_in(f, vm, false);
	return true;
}

/* New ones, and those that have been reset: up to `n` of them go as far as NEXT; how many. */
static u32 set_going(struct function *f, u32 n)
{
	u32 done = 0;
	struct vm *vm;

	TAILQ_FOREACH (vm, &f->idle, idle) {
		if (done == n || vm->has_served)
			break;
		/* If somebody has done something to it, whoever takes it will see. */
		if (vm->is_going || !is_as_left(vm))
			continue;
		copy_ahead(f, vm);
		vm->is_going = vm_run(vm) == ERR_OK;
		done++;
	}
	return done;
}

u64 function_deadline(void)
{
	return is_wanting ? making.next : TIME_NEVER;
}

void function_poll(void)
{
	struct function *f;
	u32 n = 0;

	if (!is_wanting || !turn_begin(&making))
		return;
	TAILQ_FOREACH (f, &functions, link) {
		while (n < MADE_PER_POLL && make_ahead(f))
			n++;
		n += set_going(f, MADE_PER_POLL);
	}
	is_wanting = n >= MADE_PER_POLL;
	turn_end(&making, is_wanting);
}

/* The table */

static struct function *new_function(const char *name)
{
	struct function *f = pool_alloc(&records);

	if (f == NULL)
		return NULL;
	snprintf(f->name, sizeof(f->name), "%s", name);
	TAILQ_INIT(&f->idle);
	TAILQ_INIT(&f->queue);
	f->refs = 1;
	f->is_listed = true;
	TAILQ_INSERT_TAIL(&functions, f, link);
	n_functions++;
	return f;
}

static void set_template(struct function *f, struct vm *template)
{
	if (f->template == template)
		return;
	drop_idle(f);
	writeset_forget(&f->writeset);
	if (f->template != NULL)
		vm_put(f->template);
	f->template = template;
	if (template != NULL)
		vm_get(template);
}

enum err function_set(const char *name, struct vm *template, const struct function_policy *p)
{
	struct function *f = function_find(name);

	if (atomic_load(&template->state) != VM_TEMPLATE)
		return ERR_STATE;
	if (f == NULL && n_functions == FUNCTIONS_MAX)
		return ERR_LIMIT;
	if (f == NULL)
		f = new_function(name);
	if (f == NULL)
		return ERR_NOMEM;
	/* VMs that have served calls are not what a fresh call is to get. */
	if (f->policy.mode != p->mode)
		drop_idle(f);
	set_template(f, template);
	f->policy = *p;
	while (f->n_idle > u64_max(p->n_warm, p->mode == CALL_FRESH ? 0 : p->max)) {
		struct vm *vm = TAILQ_FIRST(&f->idle);

		take_out(f, vm);
		function_drop_vm(vm);
	}
	f->n_spoilt = 0;
	is_wanting = true;
	call_start_waiting();
	return ERR_OK;
}

void function_remove(struct function *f)
{
	TAILQ_REMOVE(&functions, f, link);
	n_functions--;
	f->is_listed = false;
	set_template(f, NULL);
	call_fail_waiting(f, ERR_ABSENT);
	function_put(f);
}

void function_for_each(void (*fn)(struct function *f, void *arg), void *arg)
{
	struct function *f;

	TAILQ_FOREACH (f, &functions, link)
		fn(f, arg);
}

void function_killed(struct vm *vm)
{
	struct function *f, *next;

	if (vm->function != NULL && vm->call == NULL) {
		take_out(vm->function, vm);
		function_drop_vm(vm);
	}
	for (f = TAILQ_FIRST(&functions); f != NULL; f = next) {
		next = TAILQ_NEXT(f, link);
		if (f->template != vm)
			continue;
		set_template(f, NULL);
		call_fail_waiting(f, ERR_STATE);
	}
}
