/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who runs where: one run queue and one timer queue a hart, time slices, work
 * stealing by harts that have nothing to do.
 *
 * A vCPU's scheduling state, and its place in either queue, is guarded by the
 * lock of its home hart's run queue; home itself changes only under both queues'
 * locks (stealing).
 */
#ifndef VM_SCHED_H
#define VM_SCHED_H

#include "vm/nomem.h"
#include "vm/vcpu.h"

#define SCHED_SLICE_NS 4000000UL

void sched_init(void);

/* `v` has just been given a reason not to run, and VREQ_RESCHED: takes it out of the queue.  True: it is still in a
 * hart; if that is another one, it has been kicked. */
bool must_check sched_hold(struct vcpu *v);

/* Puts a new vCPU, asleep and held as its holds say, at home on some hart. */
void sched_add(struct vcpu *v);

/* The vCPU will never run again; it must be held and not running. */
void sched_remove(struct vcpu *v);

/*
 * What decides whether `v` may run has changed: puts it into the run queue, or takes it out and
 * to sleep; kicks the hart that runs it.  `soon`: at the head of the queue (an IPI or remote
 * fence waits for it), as long as others do not wait too long for that.  From any hart; any lock below LOCK_RUNQ may be held.
 */
void sched_wake(struct vcpu *v, bool soon);

/* Next vCPU for this hart (its own queue, else stolen), now SCHED_RUNNING; NULL: idle. */
struct vcpu *sched_pick(void);

/* This hart will pick nothing for a while: another one looks at what it was woken for. */
void sched_stand_aside(void);

/* The running vCPU leaves this hart: back into the queue, or asleep if it is held or waits.
 * Its CSRs have been saved. */
void sched_put(struct vcpu *v);

/* Expired timers of this hart's queue wake their vCPUs; then arms the host timer for the earliest
 * of the next one, the end of the slice (`running` != NULL) and `deadline` (host ticks). */
void sched_timer(struct vcpu *running, u64 deadline);

/* Has somebody changed what the host timer depends on since sched_timer()? Cheap. */
bool sched_timer_is_stale(void);

/* The running vCPU has changed its deadline: sched_timer() before it goes on. */
void sched_rearm(void);

/* Is another vCPU waiting for this hart? Then the slice matters. */
bool sched_has_waiting(void);

/* Has the running vCPU used up its slice while another waits for this hart? */
bool sched_slice_is_over(void);

/* Waits for an interrupt of this hart, or `deadline`, unless there is something to run already. */
void sched_idle(u64 deadline);

/* Is `v` in some hart?  Asked after a hold was set, "no" stays true until that hold goes. */
bool sched_is_running(struct vcpu *v);

/* Waits until `v` is not running on any hart.  The caller has set a hold and holds no
 * lock that a hart loop takes; not called by the hart that runs it. */
void sched_wait_stopped(struct vcpu *v);

/* Does it run, wait for a hart, or sleep with a timer that will wake it? */
bool sched_is_moving(struct vcpu *v);

#endif
