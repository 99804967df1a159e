/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU: registers, deferred requests, and its place in the scheduler.
 *
 * Everything that another hart wants of a vCPU is a bit in `requests` (or a bit
 * of hvip in `raise`), set by vcpu_post*() and cleared at one door: vcpu_door(),
 * just before guest entry.
 *
 * A vCPU is "loaded" between vcpu_load() and vcpu_unload(): its VS CSRs live in
 * the hart then, and in `csrs` at all other times.
 *
 * Legend: I set at birth; o owner hart (the one that runs it, or whoever holds
 * it stopped); a atomic; q lock of the home run queue; f fence_lock.
 */
#ifndef VM_VCPU_H
#define VM_VCPU_H

#include "arch/guest.h"
#include "arch/lock.h"
#include "arch/time.h"
#include "lib/types.h"
#include "mm/frame.h"
#include "vm/timerq.h"
#include <stdatomic.h>
#include <sys/queue.h>

struct vm;

/* Work to do at the door. */
enum vcpu_request {
	VREQ_IRQ = 1,     /* merge `raise` into hvip */
	VREQ_EXT = 2,     /* ask the interrupt controller whether VSEIP is high */
	VREQ_FENCE = 4,   /* run the queued VS-stage fences */
	VREQ_FENCE_I = 8, /* fence.i */
	VREQ_RESCHED = 16 /* leave the hart: hold bits have changed */
};

/* Why a vCPU must not run, whatever is pending; zero: it may. */
enum vcpu_hold {
	HOLD_STOPPED = 1, /* HSM: not started */
	HOLD_PAUSED = 2,  /* its VM is paused, frozen or dying */
	HOLD_NOMEM = 4,   /* waits for frames */
	HOLD_READY = 8,   /* stored READY and waits for somebody to freeze */
	HOLD_WORK = 16,   /* loads NEXT and waits for work */
	HOLD_GATE = 32,   /* a sibling serves the interrupt of the new identity first (gate.h) */
};

enum sched_state {
	SCHED_ASLEEP,  /* in no queue: held, or in WFI with nothing pending */
	SCHED_QUEUED,  /* in the run queue of its home hart */
	SCHED_RUNNING, /* on its home hart, between sched_pick and sched_put */
};

/* One VS-stage fence that a sibling asked for through SBI RFENCE. */
struct vcpu_fence {
	gva_t start;
	u64 len; /* bytes; UINT64_MAX: all */
	u64 asid;
	bool has_asid;
};
#define VCPU_FENCES_MAX 8

enum hsm_state { /* SBI HSM, numbers of the SBI spec */
	         HSM_STARTED = 0,
	         HSM_STOPPED = 1,
	         HSM_START_PENDING = 2,
	         HSM_STOP_PENDING = 3,
	         HSM_SUSPENDED = 4,
};

/* For counting exits. */
enum exit_class {
	EXIT_SBI,
	EXIT_WFI,
	EXIT_MMIO,
	EXIT_BREAK, /* guest page fault resolved by mm */
	EXIT_IRQ,   /* host timer, kick, external */
	EXIT_INJECT,
	EXIT_N_CLASSES,
};

struct vcpu {
	struct guest_regs regs;   /* o */
	struct guest_csrs csrs;   /* o: valid while not loaded in a hart */
	struct guest_units units; /* o: valid unless dirty in the hart */

	struct vm *vm;          /* I */
	u32 id;                 /* I: 0 .. n_vcpus-1; the guest's hart id */
	_Atomic u32 requests;   /* a: enum vcpu_request */
	_Atomic u64 raise;      /* a: hvip bits to set at the door */
	_Atomic u32 holds;      /* a: enum vcpu_hold */
	_Atomic u32 hsm;        /* a: enum hsm_state */
	_Atomic bool in_guest;  /* a: between its last look at `requests` and the next exit */
	bool in_wfi;            /* o: asleep until an enabled interrupt is pending */
	bool is_loaded;         /* o: its CSRs are in the hart */
	bool has_begun;         /* o: has entered its guest, since birth or reset */
	struct frame_want want; /* o: what it waits for, with HOLD_NOMEM */
	u32 last_hart;          /* o: hart index it ran on last, +1; 0 = none */
	u64 soft_deadline;      /* o: timer of a machine without Sstc, guest ticks */

	_Atomic u32 home;        /* q: hart whose run queue it belongs to */
	_Atomic u32 state;       /* q: enum sched_state */
	bool is_soon;            /* q: came into the queue at its head */
	TAILQ_ENTRY(vcpu) queue; /* q */
	struct timer_node timer; /* q: queued while it sleeps with its timer armed */

	struct spinlock fence_lock;               /* rank LOCK_VCPU_FENCE */
	struct vcpu_fence fence[VCPU_FENCES_MAX]; /* f */
	u32 n_fences;                             /* f; more than MAX: flush all */

	u64 exits[EXIT_N_CLASSES]; /* o */
	u64 guest_ticks;           /* o: time in guest */
	struct time_span loaded;   /* o: time in a hart, in the guest or for it (vm/account.h) */
	u64 exits_noted;           /* o: of `exits`, those that its harts have been given */
};

/* The vCPU that is loaded in this hart; NULL: none. */
struct vcpu *vcpu_current(void);

/* Sets `req` bits and sees to it that the vCPU notices: kicks its hart if it runs,
 * wakes it if it sleeps.  From any hart, any lock below LOCK_RUNQ held. */
void vcpu_post(struct vcpu *v, u32 req);

/* Makes hvip bits (HVIP_VSSIP, ...) pending in the guest. */
void vcpu_raise(struct vcpu *v, u64 hvip_bits);

/* Queues a VS-stage fence; an overflowing queue degrades to "flush all" of this vCPU only. */
void vcpu_post_fence(struct vcpu *v, const struct vcpu_fence *f);

/* Sets or clears reasons not to run. Clearing the last one makes it runnable. */
void vcpu_hold(struct vcpu *v, u32 holds);
void vcpu_unhold(struct vcpu *v, u32 holds);

/* Guest time and timer.  `deadline` in guest ticks (time + htimedelta); TIME_NEVER disarms.
 * vcpu_set_timer: by its owner, loaded or not; takes back a timer interrupt that is pending. */
u64 vcpu_time(const struct vcpu *v);
void vcpu_set_timer(struct vcpu *v, u64 deadline);

/* Host ticks at which the timer of a vCPU that is not loaded fires; TIME_NEVER: it does not. */
u64 vcpu_wake_ticks(const struct vcpu *v);

/* Would its timer end a WFI?  While it is not loaded. */
bool vcpu_enables_timer(const struct vcpu *v);

/* Resets a vCPU to start at `pc` in VS-mode with a0 = its id, a1 = opaque (SBI HSM). */
void vcpu_start_at(struct vcpu *v, u64 pc, u64 opaque);

/* Is an interrupt pending that its vsie enables?  Both for its owner: the first while it is
 * not loaded (or under the lock of its home's run queue), the second while it is. */
bool vcpu_has_interrupt(const struct vcpu *v);
bool vcpu_has_interrupt_live(const struct vcpu *v);

/* May it run: not held, and not waiting for an interrupt in vain?  While it is not loaded. */
bool vcpu_can_run(const struct vcpu *v);

/* Its registers, translations and reservation take this hart over; no lock held. */
void vcpu_load(struct vcpu *v);
void vcpu_unload(struct vcpu *v);

/*
 * The door before guest entry: serves what has been requested so far.  False: it must leave the hart (held, or
 * nothing has ended its WFI).  v is loaded; takes dev_lock; outside space_enter().
 */
bool must_check vcpu_door(struct vcpu *v);

#endif
