/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a hart: pick a vCPU, enter it until it waits or its turn is over,
 * put it back.
 *
 * Control runs here too, between guests and never with a vCPU in this hart: it may
 * wait for any vCPU to stop.
 *
 * The window (space_enter .. space_leave) is open only around the guest itself.
 * Everything that takes a lock happens outside it, since whoever holds that lock
 * may be waiting for all windows to close.
 */
#include "arch/csr_bits.h"
#include "arch/time.h"
#include "dev/entropy.h"
#include "drv/irq.h"
#include "run/run.h"
#include "vm/sched.h"
#include "vm/vm.h"

/* An idle hart looks around this often.  Nothing depends on it but QEMU 10 under
 * `-icount sleep=off`, which hands over no input while no timer is armed at all. */
#define HEARTBEAT_NS 100000000UL

/* Tables wait to be freed, and another hart has not let go of them: it has been kicked out of its guest. */
#define REAP_AGAIN_NS 1000000UL

/* Tables that a busy hart frees between two vCPUs: idle ones do most of it, if there are any.  So many are one
 * small clone's, which is cheaper to free at a stretch. */
#define BUSY_REAP_BUDGET 4U

static const struct run_ops *run_ops;

static u64 poll_deadline(void)
{
	return run_ops->deadline != NULL ? run_ops->deadline() : TIME_NEVER;
}

static void poll(void)
{
	space_reap(BUSY_REAP_BUDGET);
	nomem_poll();
	scan_busy();
	if (!run_ops->wanted())
		return;
	/* What control does may take long, and others wait for neither what was offered to this hart nor tables that
	 * the last guest here could still reach. */
	sched_stand_aside();
	space_unload();
	run_ops->poll();
}

/* Nothing to run: a piece of mm's housekeeping, or else sleep until the next interrupt. */
static void idle(void)
{
	u64 wait_ns;

	space_unload();
	if (space_idle_work() || entropy_make_ready() || run_ops->wanted())
		return;
	wait_ns = space_reap_is_wanted() ? REAP_AGAIN_NS : HEARTBEAT_NS;
	sched_idle(u64_min(poll_deadline(), time_now() + time_ns_to_ticks(wait_ns)));
	if (hart_events() & HART_EV_EXT)
		irq_dispatch();
}

static COLD void note_first_pick(struct vm *vm, u64 instret)
{
	gate_start(vm);
	vm->stats.picked_instret = instret;
}

/* For whoever measures the way of a new VM into its guest. */
static COLD void note_first_entry(struct vcpu *v)
{
	struct vm *vm = v->vm;

	v->has_begun = true;
	if (vm->stats.first_entry != 0)
		return;
	vm->stats.entry_instret = time_instret();
	vm->stats.first_entry = time_now();
}

/*
 * The guest, until its next exit.  If a request came after the door, nothing has run; that is
 * an exit by the kick that came with it, so that the hart's own interrupts and the end of the slice
 * are seen however fast siblings make requests.
 *
 * in_guest, then the look at requests, pairs with a sibling's request, then its look at
 * in_guest (RFENCE): it sees us in, or we see the request.
 */
static void enter_guest(struct vcpu *v, struct guest_exit *x)
{
	u64 start;

	atomic_store_explicit(&v->in_guest, true, memory_order_relaxed);
	space_enter(&v->vm->space); /* a full fence */
	if (__builtin_expect(atomic_load_explicit(&v->requests, memory_order_relaxed) != 0, 0)) {
		*x = (struct guest_exit){ .scause = CAUSE_IRQ | IRQ_S_SOFT };
	} else {
		if (__builtin_expect(!v->has_begun, 0))
			note_first_entry(v);
		start = time_now();
		vcpu_enter(x, &v->regs);
		v->guest_ticks += time_now() - start;
	}
	space_leave();
	atomic_store_explicit(&v->in_guest, false,
	                      memory_order_relaxed); /* after the window closed */
}

/* What people type, what control waits for and the merge scanner's turn come with an interrupt of this hart;
 * all that a guest itself can cause is an event. */
static bool poll_is_wanted(const struct guest_exit *x)
{
	if (!(x->scause & CAUSE_IRQ))
		return vm_has_events() && run_ops->wanted();
	return run_ops->wanted() ||
	       (x->scause == (CAUSE_IRQ | IRQ_S_TIMER) && time_now() >= scan_deadline());
}

/* One trip through the door, the guest and the handler of its exit. */
static enum next run_once(struct vcpu *v)
{
	struct guest_exit x;
	enum next next;

	if (!vcpu_door(v))
		return NEXT_RESCHED;
	if (sched_timer_is_stale())
		sched_timer(v, u64_min(poll_deadline(), scan_deadline()));
	enter_guest(v, &x);
	next = exit_handle(v, &x);
	if (next == NEXT_RESUME && poll_is_wanted(&x))
		return NEXT_RESCHED;
	return next;
}

_Noreturn void run_hart(const struct run_ops *ops)
{
	run_ops = ops;
	for (;;) {
		struct vcpu *v;
		u64 start;

		poll();
		start = time_instret();
		v = sched_pick();
		if (v == NULL) {
			idle();
			continue;
		}
		vcpu_load(v);
		if (v->vm->stats.first_entry == 0)
			note_first_pick(v->vm, start);
		while (run_once(v) == NEXT_RESUME)
			continue;
		vcpu_unload(v);
		sched_put(v);
	}
}
