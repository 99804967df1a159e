/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/tell.h"
#include <string.h>
#include "arch/log.h"
#include "ctl/boot.h"
#include "ctl/demo.h"
#include "ctl/fmt.h"
#include "ctl/wire.h"
#include "drv/power.h"

#define NS_PER_S     1000000000UL
#define TELL_AT_ONCE 16U

static bool went_off; /* some VM has, since the last tell_quit() */
static u32 n_failed;  /* VMs that went off otherwise than by shutting down */

static struct fmt since(u64 from, u64 to)
{
	return fmt_ticks(from && to > from ? to - from : 0);
}

/* For programs on the host: every one, as one that does not read loses them by itself. */
static void to_ports(const struct vm *vm, u32 events)
{
	if (events & VM_EV_READY)
		wire_tell(vm, "ready");
	if (events & VM_EV_DONE)
		wire_tell_number(vm, "done", "len", vm->result_len);
	if (events & VM_EV_NOMEM)
		wire_tell(vm, "nomem");
	if (events & VM_EV_OFF)
		wire_tell_text(vm, "off", "reason", vm->off_reason ? vm->off_reason : "stopped");
}

/* A guest may say READY and DONE as often as it likes; the log takes some lines of each at once, then one a second. */
static bool may_log(struct vm *vm)
{
	u32 now = (u32)(time_ticks_to_ns(time_now()) / NS_PER_S);

	if (vm->told_until >= now + TELL_AT_ONCE)
		return false;
	vm->told_until = (u32)u64_max(vm->told_until, now) + 1;
	return true;
}

static void to_log(struct vm *vm, u32 events)
{
	const struct vm_stats *s = &vm->stats;

	if (events & (VM_EV_READY | VM_EV_DONE) && !may_log(vm))
		events &= ~(u32)(VM_EV_READY | VM_EV_DONE);
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

void tell_event(struct vm *vm, u32 events)
{
	to_log(vm, events);
	to_ports(vm, events);
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

void tell_off(const struct vm *vm)
{
	went_off = true;
	n_failed += !has_shut_down(vm);
}

void tell_quit(void)
{
	u32 n_live = 0;

	if (!went_off || !boot_images.quit_when_off)
		return;
	went_off = false;
	vm_for_each(count_live, &n_live);
	if (n_live == 0 && !demo_is_running())
		power_off(n_failed > 0);
}
