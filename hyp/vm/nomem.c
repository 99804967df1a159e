/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Waiting for frames, and the verdict when that would be for ever.
 *
 * A vCPU that waits keeps what it was refused (a use and an order, mm/frame.h).  It
 * is woken when just that can be had; frames are dealt out from the oldest VM on,
 * so that a few do not wake everybody.  As long as only a few are free, or none of
 * the many would do, the look is taken every FEW_NS at most: memory that comes back
 * frame by frame would otherwise wake the same VM for each of them, and each trip of
 * each hart would walk over all VMs in vain.
 *
 * The verdict: every VM that could run has a vCPU that waits for memory or none that
 * will ever wake by itself, and one at least waits.  A vCPU that runs, is queued, or
 * sleeps with a timer armed can still do something.  Tables that wait to be freed,
 * blocks and stocks are emptied before each look, and it has to look like that for
 * STUCK_NS, in which every idle hart has come by with what it had.  Then the one goes
 * that holds most memory alone, clones before VMs that were booted, the youngest of
 * equals.
 */
#include "vm/nomem.h"

#include "arch/time.h"
#include "mm/usage.h"
#include "vm/sched.h"
#include "vm/vm.h"

#define FRAMES_WORTH_WAKING 64U
#define FEW_NS              10000000UL
#define VERDICT_NS          250000000UL /* between two looks */
#define STUCK_NS            1000000000UL
#define TELL_NS             1000000000UL /* a VM that waits again is told of this often */

static _Atomic u32 n_waiting, n_ended; /* vCPUs; of the latter each time that one waits no more */
static _Atomic u64 next_look;
static _Atomic bool is_in_vain;       /* many were free, and the last look woke nobody */
static u64 next_verdict, stuck_since; /* control's; stuck_since 0: it is not */
static u32 stuck_n_ended;

void nomem_init(void)
{
	atomic_store(&n_waiting, 0);
	atomic_store(&next_look, 0);
	atomic_store(&is_in_vain, false);
	next_verdict = stuck_since = 0;
}

/* ---- waiting ---- */

static void tell(struct vm *vm)
{
	u64 now = time_now(), told = atomic_load(&vm->nomem_told);

	if (told != 0 && now - told < time_ns_to_ticks(TELL_NS))
		return;
	atomic_store(&vm->nomem_told, now);
	vm_post_event(vm, VM_EV_NOMEM);
}

bool nomem_wait(struct vcpu *v)
{
	if (v->vm->policy.nomem == NOMEM_KILL) {
		nomem_kill(v->vm, "killed: out of memory");
		return false;
	}
	v->want = frame_wanted();
	lock_acquire(&v->vm->lock);
	if ((atomic_fetch_or(&v->holds, HOLD_NOMEM) & HOLD_NOMEM) == 0) {
		atomic_fetch_add(&n_waiting, 1);
		vm_wait(v->vm);
		tell(v->vm);
	}
	lock_release(&v->vm->lock);
	return true;
}

void nomem_forget(struct vcpu *v)
{
	if ((atomic_fetch_and(&v->holds, ~(u32)HOLD_NOMEM) & HOLD_NOMEM) == 0)
		return;
	atomic_fetch_add(&n_ended, 1);
	atomic_fetch_sub(&n_waiting, 1);
}

static bool wake_waiters(struct vm *vm, void *arg)
{
	u64 *n_given = arg;

	for (u32 i = 0; i < vm->n_vcpus; i++) {
		struct vcpu *v = vm->vcpu[i];

		if ((atomic_load(&v->holds) & HOLD_NOMEM) == 0 || sched_is_running(v) ||
		    !frame_can_have(v->want, *n_given))
			continue;
		*n_given += BIT(v->want.order);
		nomem_forget(v);
		sched_wake(v, false);
	}
	return true;
}

static COLD void look(void)
{
	u64 now = time_now(), due = atomic_load(&next_look), n_given = 0;
	bool are_many = frame_n_for_guests() >= FRAMES_WORTH_WAKING;

	if (!are_many || atomic_load(&is_in_vain)) {
		if (now < due || !atomic_compare_exchange_strong(&next_look, &due,
		                                                 now + time_ns_to_ticks(FEW_NS)))
			return;
		space_give_back();
	}
	vm_for_each(wake_waiters, &n_given);
	atomic_store(&is_in_vain, are_many && n_given == 0);
}

void nomem_poll(void)
{
	if (atomic_load(&n_waiting) != 0)
		look();
}

/* ---- the verdict ---- */

struct judgement {
	bool is_moving;
	struct vm *victim; /* with a reference */
	u64 victim_frames;
};

static bool is_worse(const struct judgement *j, const struct vm *vm, u64 n_frames)
{
	bool is_clone = vm->template != NULL;

	if (j->victim == NULL)
		return true;
	if (is_clone != (j->victim->template != NULL))
		return is_clone;
	return n_frames >= j->victim_frames; /* the list goes from the oldest to the youngest */
}

static bool find_moving(struct vm *vm, void *arg)
{
	struct judgement *j = arg;

	for (u32 i = 0; i < vm->n_vcpus && atomic_load(&vm->state) == VM_RUNNING; i++)
		j->is_moving |= sched_is_moving(vm->vcpu[i]);
	return !j->is_moving;
}

static bool find_victim(struct vm *vm, void *arg)
{
	struct judgement *j = arg;
	struct space_usage u;
	u32 holds = 0;

	for (u32 i = 0; i < vm->n_vcpus; i++)
		holds |= atomic_load(&vm->vcpu[i]->holds);
	if ((holds & HOLD_NOMEM) == 0 || atomic_load(&vm->state) != VM_RUNNING)
		return true;
	space_usage(&vm->space, &u);
	if (is_worse(j, vm, u.private_frames + u.table_frames)) {
		vm_put(j->victim);
		vm_get(vm);
		j->victim = vm;
		j->victim_frames = u.private_frames + u.table_frames;
	}
	return true;
}

static bool is_stuck(void)
{
	struct judgement j = { 0 };
	u64 now = time_now();

	vm_for_each(find_moving, &j);
	if (!j.is_moving) {
		(void)space_relieve();
		nomem_poll();
	}
	if (j.is_moving || stuck_since == 0 || stuck_n_ended != atomic_load(&n_ended)) {
		stuck_since = j.is_moving ? 0 : now;
		stuck_n_ended = atomic_load(&n_ended);
		return false;
	}
	return now - stuck_since >= time_ns_to_ticks(STUCK_NS);
}

struct vm *nomem_victim(void)
{
	struct judgement j = { 0 };

	if (time_now() < nomem_deadline())
		return NULL;
	next_verdict = time_now() + time_ns_to_ticks(VERDICT_NS);
	if (is_stuck()) {
		stuck_since = 0;
		vm_for_each(find_victim, &j);
	}
	return j.victim;
}

u64 nomem_deadline(void)
{
	return atomic_load(&n_waiting) == 0 ? TIME_NEVER : next_verdict;
}

void nomem_kill(struct vm *vm, const char *reason)
{
	vm_stop_with(vm, reason, VM_EV_KILL);
}
