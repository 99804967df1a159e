/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the hart loop meets control.
 *
 * ctl_wanted() runs at every guest exit of every hart: it looks at a few words and
 * takes no lock; while one hart polls, the others are told that there is nothing
 * to do.  Work that arrives as the poller leaves is seen by the hart that made
 * it, at its next exit, and by the poller before it goes idle.
 */
#include "ctl/attach.h"
#include "ctl/boot.h"
#include "ctl/ctl.h"
#include "ctl/demo.h"
#include "ctl/event.h"
#include "ctl/shell.h"
#include "ctl/top.h"
#include "ctl/view.h"
#include "ctl/wire.h"
#include "drv/console.h"

static struct spinlock ctl_lock = LOCK_INIT(LOCK_CTL);
static _Atomic bool is_polling;

#define INPUT_PER_POLL 64U
#define POLLS_MAX      2U

void ctl_init(void)
{
	lock_acquire(&ctl_lock);
	log_set_sink(shell_log);
	boot_bundle();
	shell_start();
	lock_release(&ctl_lock);
}

u64 ctl_deadline(void)
{
	u64 jobs = u64_min(demo_deadline(), top_deadline());

	return u64_min(u64_min(jobs, view_deadline()), u64_min(wire_deadline(), event_deadline()));
}

bool ctl_wanted(void)
{
	u64 deadline;

	if (atomic_load_explicit(&is_polling, memory_order_relaxed))
		return false;
	if (console_has_input() || wire_wanted() || vm_has_events() || shell_needs_refresh())
		return true;
	deadline = ctl_deadline();
	return deadline != TIME_NEVER && time_now() >= deadline;
}

static void poll_once(void)
{
	int c;

	atomic_store(&is_polling, true);
	for (u32 i = 0; i < INPUT_PER_POLL && (c = console_getc()) >= 0; i++)
		shell_key((char)c);
	wire_poll();
	wire_flush();
	event_take_all();
	view_poll(); /* this and the next after the events: a guest's output comes with one */
	attach_poll();
	demo_poll();
	top_poll();
	shell_refresh();
	wire_flush();
	atomic_store(&is_polling, false);
}

/* The hart that takes the ports' interrupts leaves bytes that come meanwhile to us, and may sleep then. */
void ctl_poll(void)
{
	for (u32 i = 0; i < POLLS_MAX && (i == 0 || wire_wanted()); i++) {
		if (!lock_try(&ctl_lock))
			return;
		poll_once();
		lock_release(&ctl_lock);
	}
}
