/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each VM remembers whether it was paused from here, so that nobody else's pause
 * ends early.  Between the two calls no VM comes or goes: only commands do that.
 */
#include "ctl/still.h"
#include "vm/vm.h"

static bool pause_one(struct vm *vm, void *arg)
{
	(void)arg;
	vm->is_stilled = atomic_load(&vm->state) == VM_RUNNING;
	if (vm->is_stilled)
		vm_pause(vm);
	return true;
}

/* One that went off before it could be paused stays off. */
static bool resume_one(struct vm *vm, void *arg)
{
	if (vm->is_stilled && atomic_load(&vm->state) == VM_PAUSED && vm_run(vm) != ERR_OK)
		cmd_printf(arg, "%s: stays paused\n", vm->name);
	return true;
}

void still_begin(void)
{
	vm_for_each(pause_one, NULL);
}

void still_end(struct cmd *c)
{
	vm_for_each(resume_one, c);
}
