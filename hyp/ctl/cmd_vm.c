/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands that make, change and end VMs.
 */
#include <string.h>
#include "ctl/event.h"
#include "ctl/figure.h"
#include "ctl/fmt.h"
#include "ctl/names.h"
#include "ctl/vms.h"
#include "ctl/wire.h"

#define NAMES_TOLD 64U /* of many clones, to programs */

/* The N of "-n N": as many as there are frames, since each VM takes one at least. */
static enum err take_count(struct cmd *c, u64 *n)
{
	return cmd_take_count(c, frame_n_total(), n);
}

/* One more, which runs; `told`: by name. */
static enum err clone_one(struct cmd *c, struct vm *template, struct vm **vm, bool told,
                          struct time_cost *sum)
{
	enum err e = vm_clone(template, vm);

	if (e != ERR_OK)
		return e;
	sum->ticks += (*vm)->stats.clone.ticks;
	sum->instret += (*vm)->stats.clone.instret;
	if (told)
		json_string(c->json, NULL, (*vm)->name);
	wire_tell_text(*vm, "cloned", "parent", template->name);
	return vm_run(*vm);
}

static enum err run_clone(struct cmd *c)
{
	struct vm *template, *vm = NULL;
	struct time_cost sum = { 0 };
	u64 n = 1, n_made = 0;
	enum err e = take_count(c, &n);

	if (e != ERR_OK)
		return e;
	if (c->n_args != 1)
		return cmd_fail(c, ERR_INVAL, "usage: clone TEMPLATE [-n N]");
	e = cmd_take_vm(c, c->arg[0], &template);
	if (e != ERR_OK)
		return e;
	json_array(c->json, "vms");
	while (n_made < n && e == ERR_OK) {
		e = clone_one(c, template, &vm, n_made < NAMES_TOLD, &sum);
		n_made += e == ERR_OK;
	}
	json_end_array(c->json);
	json_u64(c->json, "n", n_made);
	if (e == ERR_OK)
		cmd_printf(c, "%s: %lu started, the last is %s\n", template->name, n, vm->name);
	else
		cmd_fail(c, e, "%s: clone %lu of %lu: %s", template->name, n_made + 1, n,
		         e == ERR_STATE ? "not a template; freeze it first" : name_of_err(e));
	figure_cost(c->json, NULL, sum);
	vm_put(template);
	return e;
}

static void is_frozen(struct cmd *c, const struct vm *vm, struct time_cost cost)
{
	figure_cost(c->json, NULL, cost);
	wire_tell(vm, "frozen");
}

static enum err freeze(struct cmd *c, struct vm *vm)
{
	struct time_cost cost = time_cost_now();
	enum err e = vm_freeze(vm);

	if (e != ERR_OK)
		return e;
	cost = time_cost_since(cost);
	cmd_printf(c, "%s: a template after %s\n", vm->name, fmt_ticks(cost.ticks).s);
	is_frozen(c, vm, cost);
	return ERR_OK;
}

/* Pages that gave up their frame. */
static u64 n_given_up(void)
{
	struct merge_stats st;

	scan_stats(&st);
	return st.zero + st.back + st.merged;
}

static enum err freeze_compact(struct cmd *c, struct vm *vm)
{
	struct time_cost cost = time_cost_now();
	u64 before = n_given_up();
	enum err e;

	if (vm->policy.dedup == DEDUP_WITH_NONE)
		return cmd_fail(c, ERR_STATE, "%s: its policy is dedup=off", vm->name);
	if (vm->policy.secure == SECURE_ON)
		return cmd_fail(c, ERR_STATE,
		                "%s: its policy is secure=on, its clones would copy what they read",
		                vm->name);
	e = vm_freeze_compact(vm);
	if (e != ERR_OK)
		return e;
	cost = time_cost_since(cost);
	cmd_printf(c, "%s: a template after %s, %s smaller\n", vm->name, fmt_ticks(cost.ticks).s,
	           fmt_bytes((n_given_up() - before) * PAGE_SIZE).s);
	figure_frames(c->json, "saved", n_given_up() - before);
	is_frozen(c, vm, cost);
	return ERR_OK;
}

static enum err run_freeze(struct cmd *c)
{
	bool compact = cmd_take_flag(c, "--compact");

	if (c->n_args != 1)
		return cmd_fail(c, ERR_INVAL, "usage: freeze VM [--compact]");
	return cmd_on_vm(c, compact ? freeze_compact : freeze);
}

static enum err fork_vm(struct cmd *c, struct vm *vm)
{
	struct vm *child;
	enum err e = vm_fork(vm, &child);

	if (e == ERR_OK)
		e = vm_run(child);
	if (e != ERR_OK)
		return e;
	cmd_printf(c, "%s: forked %s\n", vm->name, child->name);
	json_array(c->json, "vms");
	json_string(c->json, NULL, child->name);
	json_end_array(c->json);
	json_u64(c->json, "n", 1);
	figure_cost(c->json, NULL, child->stats.fork);
	figure_cost(c->json, "stall", vm->stats.stall);
	wire_tell_text(child, "cloned", "parent", vm->name);
	return ERR_OK;
}

static enum err run_fork(struct cmd *c)
{
	return cmd_on_vm(c, fork_vm);
}

static enum err reset(struct cmd *c, struct vm *vm)
{
	enum err e;

	if (vm->template == NULL)
		return cmd_fail(c, ERR_STATE, "%s: has no template to go back to", vm->name);
	e = vm_reset(vm);
	if (e == ERR_OK)
		figure_cost(c->json, NULL, vm->stats.reset);
	return e;
}

static enum err run_reset(struct cmd *c)
{
	return cmd_on_vm(c, reset);
}

static enum err pause_vm(struct cmd *c, struct vm *vm)
{
	if (atomic_load(&vm->state) != VM_RUNNING)
		return cmd_fail(c, ERR_STATE, "%s: does not run", vm->name);
	vm_pause(vm);
	return ERR_OK;
}

static enum err run_pause(struct cmd *c)
{
	return cmd_on_vm(c, pause_vm);
}

/* Out of a pause, and past READY if it waits there for a freeze. */
static enum err resume(struct cmd *c, struct vm *vm)
{
	u32 state = atomic_load(&vm->state);

	(void)c;
	if (state != VM_PAUSED && state != VM_RUNNING)
		return ERR_STATE;
	lock_acquire(&vm->lock);
	vm->hold_at_ready = false;
	lock_release(&vm->lock);
	for (u32 i = 0; i < vm->n_vcpus; i++)
		vcpu_unhold(vm->vcpu[i], HOLD_READY);
	return state == VM_PAUSED ? vm_run(vm) : ERR_OK;
}

static enum err run_resume(struct cmd *c)
{
	return cmd_on_vm(c, resume);
}

static enum err kill(struct cmd *c, struct vm *vm)
{
	(void)c;
	event_kill(vm);
	return ERR_OK;
}

static bool kill_each(struct vm *vm, void *arg)
{
	(void)arg;
	event_kill(vm);
	return true;
}

static enum err run_kill(struct cmd *c)
{
	if (strcmp(c->arg[0], "all") != 0)
		return cmd_on_vm(c, kill);
	vm_for_each(kill_each, NULL);
	return ERR_OK;
}

static const struct command commands[] = {
	{ "vms", "[NAME] [-s]", "all VMs, or NAME and what descends from it; -s: how many", 0, 2,
	  vms_run },
	{ "vcpus", "[VM]", "what the vCPUs do", 0, 1, vcpus_run },
	{ "freeze", "VM [--compact]",
	  "make a VM a template: it never runs again; --compact: merge its equal pages first", 1, 2,
	  run_freeze },
	{ "clone", "TEMPLATE [-n N]", "start new VMs where the template was frozen", 1, 3,
	  run_clone },
	{ "fork", "VM", "split a running VM in two", 1, 1, run_fork },
	{ "reset", "VM", "put a clone back to its template's state", 1, 1, run_reset },
	{ "pause", "VM", "stop a VM for a while", 1, 1, run_pause },
	{ "resume", "VM", "let a paused VM, or one that waits at READY, go on", 1, 1, run_resume },
	{ "kill", "VM|all", "end a VM; its memory goes with its last user", 1, 1, run_kill },
};

const struct command_group cmd_vm = { "VMs", commands, ARRAY_LEN(commands) };
