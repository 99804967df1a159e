/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the hart loop meets control.
 *
 * ctl_wanted() runs at every guest exit of every hart: it looks at a few words and
 * takes no lock.  While one hart polls, the others are told that there is nothing to
 * do, now or later: with a deadline that is due they would leave their guests again
 * and again for nothing.  What they post meanwhile is seen by the poller when it has
 * said that it polls no more, and looks at ctl_deadline() for its own timer.
 *
 * All other deadlines are the poller's to look at: lists that they stand in change
 * under the lock only.
 */
#include "ctl/attach.h"
#include "ctl/boot.h"
#include "ctl/ctl.h"
#include "ctl/demo.h"
#include "ctl/event.h"
#include "ctl/shell.h"
#include "ctl/top.h"
#include "ctl/turn.h"
#include "ctl/view.h"
#include "ctl/wire.h"
#include "drv/console.h"

static struct spinlock ctl_lock = LOCK_INIT(LOCK_CTL);
static _Atomic bool is_polling;
/* Host ticks, written by who holds the lock: when to poll though nothing comes in, and not before when for what the
 * last poll has left behind. */
static _Atomic u64 next_poll = TIME_NEVER, next_turn;

#define INPUT_PER_POLL 64U
#define POLLS_MAX      2U

static u64 earliest_deadline(void)
{
	u64 jobs = u64_min(demo_deadline(), top_deadline());

	return u64_min(u64_min(jobs, view_deadline()), u64_min(wire_deadline(), event_deadline()));
}

void ctl_init(void)
{
	lock_acquire(&ctl_lock);
	log_set_sink(shell_log);
	boot_bundle();
	shell_start();
	atomic_store(&next_poll, earliest_deadline());
	lock_release(&ctl_lock);
}

u64 ctl_deadline(void)
{
	u64 next = atomic_load_explicit(&next_poll, memory_order_relaxed);

	if (atomic_load_explicit(&is_polling, memory_order_relaxed))
		return TIME_NEVER;
	if (vm_has_events() || wire_wanted())
		next = u64_min(next, atomic_load_explicit(&next_turn, memory_order_relaxed));
	return next;
}

bool ctl_wanted(void)
{
	u64 deadline;

	if (atomic_load(&is_polling)) /* pairs with leave() */
		return false;
	if (console_has_input() || wire_wanted() || vm_has_events() || shell_needs_refresh())
		return true;
	deadline = atomic_load_explicit(&next_poll, memory_order_relaxed);
	return deadline != TIME_NEVER && time_now() >= deadline;
}

static void poll_once(void)
{
	int c;

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
}

/* What is left behind is done after as long a time as this poll has taken, so that guests have their part of the hart. */
static void leave(u64 start)
{
	u64 next = turn_after(start);

	atomic_store(&next_turn, next);
	atomic_store(&next_poll, u64_max(next, earliest_deadline()));
	atomic_store(&is_polling, false);
	/* Another hart posts, then asks ctl_wanted(): it sees that nobody polls, or our next look sees what it posted. */
	atomic_thread_fence(memory_order_seq_cst);
}

/* The hart that takes the ports' interrupts leaves bytes that come meanwhile to us, and may sleep then. */
void ctl_poll(void)
{
	for (u32 i = 0; i < POLLS_MAX && (i == 0 || ctl_wanted()); i++) {
		u64 start = time_now();

		if (!lock_try(&ctl_lock))
			return;
		atomic_store(&is_polling, true);
		poll_once();
		leave(start);
		lock_release(&ctl_lock);
	}
}
