/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events go to whoever waits for them: calls, the demo, answers that wait for a VM; the rest
 * becomes log lines.
 */
#include "ctl/await.h"
#include "ctl/call.h"
#include "ctl/demo.h"
#include "ctl/event.h"
#include "ctl/job.h"
#include "ctl/tell.h"
#include "ctl/view.h"
#include "ctl/wire.h"

/* A guest on another hart may post faster than its events are told; the keyboard comes in between. */
#define EVENTS_PER_POLL 32U

/* Only the vCPU that stored READY waits by itself; its siblings would see it as stuck. */
static void stand_still(struct vm *vm, u32 events)
{
	if (events & VM_EV_READY && vm->hold_at_ready && vm->template == NULL)
		vm_pause(vm);
}

/* Nothing can move any more for want of memory: one VM gives way. */
static void judge(void)
{
	struct vm *victim = nomem_victim();

	if (!victim)
		return;
	nomem_kill(victim, "killed: every VM that could run waits for memory");
	vm_put(victim);
}

u64 event_deadline(void)
{
	u64 jobs = u64_min(await_deadline(), job_deadline());

	return u64_min(call_deadline(), u64_min(nomem_deadline(), jobs));
}

void event_kill(struct vm *vm)
{
	if (!vm->is_functions)
		wire_tell(vm, "killed");
	vm_get(vm); /* the list's reference may be the last */
	vm_kill(vm);
	(void)demo_event(vm, VM_EV_OFF); /* what the demo makes of it is the same */
	await_killed(vm);
	call_killed(vm);
	vm_put(vm);
}

static void tell(struct vm *vm, u32 events)
{
	view_poll(); /* the guest's last words come before what is said about it */
	if (!demo_event(vm, events)) {
		stand_still(vm, events);
		tell_event(vm, events);
	}
	await_event(vm, events);
	if (events & VM_EV_OFF)
		tell_off(vm);
}

void event_take_all(void)
{
	struct vm *vm;
	u32 events;

	judge();
	await_poll();
	job_poll();
	for (u32 i = 0; i < EVENTS_PER_POLL && (vm = vm_take_event(&events)) != NULL; i++) {
		if (!call_event(vm, events))
			tell(vm, events);
		if (events & VM_EV_NOMEM)
			function_drop_idle();
		if (events & VM_EV_KILL)
			event_kill(vm);
		vm_put(vm);
	}
	call_poll();
	tell_quit();
}
