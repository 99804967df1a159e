/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events become log lines, and steps of the demo.  A machine whose bundle says
 * quit-when-off is turned off when its last VM has gone off, with an exit code
 * that says whether every guest ended of its own will.
 */
#include <string.h>
#include "arch/log.h"
#include "ctl/boot.h"
#include "ctl/demo.h"
#include "ctl/event.h"
#include "ctl/fmt.h"
#include "ctl/view.h"
#include "drv/power.h"

/* A guest on another hart may post faster than its events are told; the keyboard comes in between. */
#define EVENTS_PER_POLL 32U

static u32 n_failed; /* VMs that went off otherwise than by shutting down */

static struct fmt since(u64 from, u64 to)
{
	return fmt_ticks(from && to > from ? to - from : 0);
}

static void say(const struct vm *vm, u32 events)
{
	const struct vm_stats *s = &vm->stats;

	if (events & VM_EV_READY)
		log_info("%s: ready after %s%s", vm->name, since(s->created, s->ready).s,
		         vm->hold_at_ready ? "; it waits for freeze or resume" : "");
	if (events & VM_EV_DONE)
		log_info("%s: done after %s, result of %u bytes", vm->name,
		         since(s->created, s->done).s, vm->result_len);
	if (events & VM_EV_NOMEM)
		log_warn("%s: waits for memory", vm->name);
	if (events & VM_EV_OFF)
		log_info("%s: off: %s", vm->name, vm->off_reason ? vm->off_reason : "stopped");
}

/* Only the vCPU that stored READY waits by itself; its siblings would see it as stuck. */
static void stand_still(struct vm *vm, u32 events)
{
	if (events & VM_EV_READY && vm->hold_at_ready && vm->template == NULL)
		vm_pause(vm);
}

static bool has_shut_down(const struct vm *vm)
{
	return vm->off_reason &&
	       (strcmp(vm->off_reason, "shut down") == 0 || strcmp(vm->off_reason, "reboot") == 0);
}

static bool count_live(struct vm *vm, void *arg)
{
	u32 state = atomic_load(&vm->state);

	*(u32 *)arg += state == VM_NEW || state == VM_RUNNING || state == VM_PAUSED;
	return true;
}

static void quit_when_off(void)
{
	u32 n_live = 0;

	vm_for_each(count_live, &n_live);
	if (n_live == 0 && !demo_is_running())
		power_off(n_failed > 0);
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
	return nomem_deadline();
}

void event_take_all(void)
{
	bool went_off = false;
	struct vm *vm;
	u32 events;

	judge();
	for (u32 i = 0; i < EVENTS_PER_POLL && (vm = vm_take_event(&events)) != NULL; i++) {
		view_poll(); /* the guest's last words come before what is said about it */
		if (!demo_event(vm, events)) {
			stand_still(vm, events);
			say(vm, events);
		}
		if (events & VM_EV_OFF) {
			went_off = true;
			n_failed += !has_shut_down(vm);
		}
		if (events & VM_EV_KILL)
			vm_kill(vm);
		vm_put(vm);
	}
	if (went_off && boot_images.quit_when_off)
		quit_when_off();
}
