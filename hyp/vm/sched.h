/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who runs where: one run queue and one timer queue a hart, time slices, work
 * stealing by harts that have nothing to do.
 *
 * A vCPU's scheduling state is guarded by the lock of its home hart's run queue;
 * home itself changes only under both queues' locks (stealing).
 */
#ifndef VM_SCHED_H
#define VM_SCHED_H

#include "vm/vcpu.h"

#define SCHED_SLICE_NS 4000000UL

void sched_init(void);

/* Puts a new vCPU, asleep and held as its holds say, at home on some hart. */
void sched_add(struct vcpu *v);

/* The vCPU will never run again; it must be asleep. Removes its timer. */
void sched_remove(struct vcpu *v);

/* Makes `v` runnable if it is asleep and neither held nor waiting in vain.  `soon`: at the head
 * of the queue (an IPI or remote fence waits for it). */
void sched_wake(struct vcpu *v, bool soon);

/* Next vCPU for this hart (its own queue, else stolen), now SCHED_RUNNING; NULL: idle. */
struct vcpu *sched_pick(void);

/* The running vCPU leaves this hart: back into the queue, or asleep if it is held or waits.
 * Its CSRs have been saved.  Checks for work that arrived meanwhile under the queue's lock. */
void sched_put(struct vcpu *v);

/* Expired timers of this hart's queue wake their vCPUs; then arms the host timer for the
 * earlier of the next deadline and the end of the slice (`running` != NULL). */
void sched_timer(struct vcpu *running);

/* Is another vCPU waiting for this hart? Then the slice matters. */
bool sched_has_waiting(void);

/* Waits until `v` is not running on any hart.  The caller has set a hold and holds no
 * lock that a hart loop takes; not called by the hart that runs it. */
void sched_wait_stopped(struct vcpu *v);

/* Wakes every vCPU that waits for frames (HOLD_NOMEM). */
void sched_frames_returned(void);

#endif
