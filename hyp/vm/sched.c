/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheduler: round robin on each hart, and idle harts steal.
 *
 * One function, settle(), decides where a vCPU that does not run belongs: in the
 * run queue, or asleep, with its timer in the timer queue if only that can wake
 * it.  Everybody who changes a reason (a hold, a request, a timer) changes it
 * first and then has settle() called under the queue's lock; so the place always
 * matches the reasons, whoever comes first.
 *
 * An idle hart says so in idle_mask, then looks at all queues once more, then
 * waits; a waker fills a queue, then looks at idle_mask.  Both sequentially
 * consistent: one of the two sees the other.  A kick that comes between the last
 * look and the wait is a pending interrupt, which the wait does not sleep over.
 *
 * Soon means at the head of the queue, and only for a slice after the last vCPU that came
 * up in its turn: two siblings that signal each other for ever would otherwise
 * hand the hart to and fro past all others.
 *
 * A vCPU that leaves the hart before its slice is over, since control is wanted, goes on first and with the rest
 * of that slice.  At the end of the queue its clock would run through the slices of all others, and the timer
 * ticks that a guest then has to make up for cost it memory.
 *
 * A waker kicks one idle hart, and that hart may have found other work meanwhile.
 * So a hart that was taken off idle_mask offers on what it has not picked itself;
 * nobody else would time the slice of whoever runs where that waits.
 *
 * The slice timer runs only while somebody waits for the hart: a vCPU that has a
 * hart for itself is not interrupted.
 */
#include "vm/sched.h"
#include "arch/hart.h"
#include "arch/time.h"
#include "lib/assert.h"
#include "vm/account.h"
#include "vm/vm.h"

/* What a vCPU may go on for when a sibling that it has just signalled waits for the same hart. */
#define SOON_NS 200000UL

#define NO_HART UINT32_MAX

struct runq {
	struct spinlock lock; /* guards queue, timers, and n_queued's changes */
	TAILQ_HEAD(runq_head, vcpu) queue;
	struct timerq timers;
	_Atomic u32 n_queued;
	_Atomic bool is_stale; /* sched_timer() has to look again */
	_Atomic u64 armed;     /* host timer, ticks; written by the hart itself */
	u64 soon_end;          /* until then who is wanted soon goes first; under lock */
	u64 slice_end;         /* the hart's own, like the next two */
	bool was_taken;        /* a waker has taken it off idle_mask */
	/* Who has left the hart before slice_end; only to be compared. */
	const struct vcpu *in_turn;
} __attribute__((aligned(64)));

static struct runq runqs[HART_MAX];
static _Atomic u32 idle_mask; /* harts that wait or are about to */
static _Atomic u32 next_home;
static u64 slice_ticks;

void sched_init(void)
{
	for (u32 i = 0; i < HART_MAX; i++) {
		lock_init(&runqs[i].lock, LOCK_RUNQ);
		TAILQ_INIT(&runqs[i].queue);
		runqs[i].timers.first = NULL;
		atomic_store(&runqs[i].n_queued, 0);
		atomic_store(&runqs[i].is_stale, true);
		atomic_store(&runqs[i].armed, TIME_NEVER);
		runqs[i].soon_end = 0;
		runqs[i].slice_end = 0;
		runqs[i].in_turn = NULL;
		runqs[i].was_taken = false;
	}
	atomic_store(&idle_mask, 0);
	atomic_store(&next_home, 0);
	slice_ticks = time_ns_to_ticks(SCHED_SLICE_NS);
	nomem_init();
}

/* Under the lock of v's home, which orders all of it. */
static enum sched_state state_of(const struct vcpu *v)
{
	return (enum sched_state)atomic_load_explicit(&v->state, memory_order_relaxed);
}

/* The same; what waits without the lock (sched_wait_stopped) takes the lock in the end. */
static void set_state(struct vcpu *v, enum sched_state state)
{
	atomic_store_explicit(&v->state, state, memory_order_relaxed);
}

static u32 home_of(const struct vcpu *v)
{
	return atomic_load_explicit(&v->home, memory_order_relaxed);
}

/* Locks the queue of v's home, wherever a thief has carried it meanwhile. */
static struct runq *lock_home(const struct vcpu *v)
{
	for (;;) {
		u32 home = home_of(v);

		lock_acquire(&runqs[home].lock);
		if (home_of(v) == home)
			return &runqs[home];
		lock_release(&runqs[home].lock);
	}
}

static void enqueue(struct runq *q, struct vcpu *v, bool soon)
{
	v->is_soon = soon;
	if (soon)
		TAILQ_INSERT_HEAD(&q->queue, v, queue);
	else
		TAILQ_INSERT_TAIL(&q->queue, v, queue);
	set_state(v, SCHED_QUEUED);
	atomic_fetch_add(&q->n_queued, 1);
}

static void dequeue(struct runq *q, struct vcpu *v)
{
	TAILQ_REMOVE(&q->queue, v, queue);
	atomic_fetch_sub(&q->n_queued, 1);
}

/* Asleep: only its own timer, if its vsie enables that, may wake it without anybody calling.  Held: not even that, but
 * the gate's wait is bounded. */
static void settle_timer(struct runq *q, struct vcpu *v)
{
	u32 holds = atomic_load(&v->holds);

	timerq_remove(&q->timers, &v->timer);
	if (holds == 0 ? !vcpu_enables_timer(v) : holds != HOLD_GATE)
		return;
	v->timer.deadline = holds == 0 ? vcpu_wake_ticks(v) : gate_deadline(v);
	if (v->timer.deadline == TIME_NEVER)
		return;
	timerq_insert(&q->timers, &v->timer);
	atomic_thread_fence(memory_order_seq_cst); /* pairs with sched_timer() */
	if (v->timer.deadline < atomic_load(&q->armed))
		atomic_store(&q->is_stale, true);
}

/* Puts `v`, which is not in a hart, where it belongs now: `soon`, in front.  True: it was asleep or running, and is queued. */
static bool settle(struct runq *q, struct vcpu *v, bool soon)
{
	bool was_queued = state_of(v) == SCHED_QUEUED;

	if (vcpu_can_run(v)) {
		if (was_queued && !soon)
			return false;
		if (was_queued)
			dequeue(q, v);
		else
			timerq_remove(&q->timers, &v->timer);
		enqueue(q, v, soon);
		return !was_queued;
	}
	if (was_queued)
		dequeue(q, v);
	set_state(v, SCHED_ASLEEP);
	settle_timer(q, v);
	return false;
}

/* One of the `idle` harts, to be kicked for a vCPU just queued at `home`: that one, else any; NO_HART: all
 * have found work.  It is taken off the mask, so that the next waker finds another. */
static NOINLINE u32 take_idle(u32 home, u32 idle)
{
	while (idle != 0) {
		u32 hart = idle & (u32)BIT(home) ? home : (u32)__builtin_ctz(idle);

		if (atomic_fetch_and(&idle_mask, ~(u32)BIT(hart)) & BIT(hart))
			return hart;
		idle &= ~(u32)BIT(hart);
	}
	return NO_HART;
}

/* A vCPU has come into the queue of `home`: somebody has to look. */
static void offer(u32 home, bool soon)
{
	struct runq *q = &runqs[home];
	u32 here = hart_index();
	u32 idle = atomic_load(&idle_mask) & ~(u32)BIT(here);
	u32 hart = idle != 0 ? take_idle(home, idle) : NO_HART;

	if (hart != NO_HART) {
		hart_kick(hart);
		return;
	}
	/* Whoever runs at home has to share from now on: its slice must be timed. */
	if (home != here) {
		atomic_store(&q->is_stale, true);
		hart_kick(home);
		return;
	}
	atomic_store_explicit(&q->is_stale, true, memory_order_relaxed);
	if (soon)
		q->slice_end = u64_min(q->slice_end, time_now() + time_ns_to_ticks(SOON_NS));
}

void sched_wake(struct vcpu *v, bool soon)
{
	u32 here = hart_index();
	struct runq *q = lock_home(v);
	u32 home = (u32)(q - runqs);
	bool is_new = false, kick;

	if (state_of(v) == SCHED_RUNNING) {
		/* Its door comes before its next entry: only another hart needs telling. */
		kick = home != here;
	} else {
		is_new = settle(q, v, soon && time_now() < q->soon_end);
		/* A timer that is due earlier than home expects. */
		kick = !is_new && home != here && timerq_has(&v->timer) &&
		       atomic_load(&q->is_stale);
	}
	lock_release(&q->lock);
	if (kick)
		hart_kick(home);
	if (is_new)
		offer(home, soon);
}

bool sched_hold(struct vcpu *v)
{
	struct runq *q = lock_home(v);
	u32 home = (u32)(q - runqs);
	bool is_running = state_of(v) == SCHED_RUNNING;

	if (!is_running)
		settle(q, v, false);
	lock_release(&q->lock);
	if (is_running && home != hart_index())
		hart_kick(home);
	return is_running;
}

void sched_add(struct vcpu *v)
{
	v->timer.link = NULL;
	atomic_store_explicit(&v->state, SCHED_ASLEEP, memory_order_relaxed);
	atomic_store_explicit(&v->home,
	                      atomic_fetch_add_explicit(&next_home, 1, memory_order_relaxed) %
	                              hart_count(),
	                      memory_order_relaxed);
}

void sched_remove(struct vcpu *v)
{
	struct runq *q = lock_home(v);

	assert(state_of(v) != SCHED_RUNNING);
	if (state_of(v) == SCHED_QUEUED)
		dequeue(q, v);
	set_state(v, SCHED_ASLEEP);
	timerq_remove(&q->timers, &v->timer);
	lock_release(&q->lock);
}

/* The first of a queue that may still run.  Its lock is held. */
static struct vcpu *pop(struct runq *q)
{
	struct vcpu *v;

	while ((v = TAILQ_FIRST(&q->queue)) != NULL) {
		if (vcpu_can_run(v)) {
			dequeue(q, v);
			if (!v->is_soon)
				q->soon_end = time_now() + slice_ticks;
			return v;
		}
		settle(q, v, false);
	}
	return NULL;
}

static struct vcpu *steal(u32 here)
{
	u32 n = hart_count();

	for (u32 i = 1; i < n; i++) {
		u32 from = (here + i) % n;
		struct vcpu *v;

		if (atomic_load_explicit(&runqs[from].n_queued, memory_order_relaxed) == 0)
			continue;
		lock_pair(&runqs[from].lock, &runqs[here].lock);
		v = pop(&runqs[from]);
		if (v != NULL) {
			atomic_store_explicit(&v->home, here, memory_order_relaxed);
			set_state(v, SCHED_RUNNING);
		}
		unlock_pair(&runqs[from].lock, &runqs[here].lock);
		if (v != NULL)
			return v;
	}
	return NULL;
}

/* What was offered to this hart, and it has not picked, is still to be looked at. */
static COLD void offer_rest(u32 here)
{
	runqs[here].was_taken = false;
	for (u32 i = 0; i < hart_count(); i++)
		if (i != here && atomic_load(&runqs[i].n_queued) != 0)
			offer(i, false);
}

void sched_stand_aside(void)
{
	u32 here = hart_index();

	if (!runqs[here].was_taken)
		return;
	offer_rest(here);
	if (atomic_load(&runqs[here].n_queued) != 0)
		offer(here, false);
}

struct vcpu *sched_pick(void)
{
	u32 here = hart_index();
	struct runq *q = &runqs[here];
	struct vcpu *v = NULL;

	/* Relaxed: whoever finds nothing looks again before it waits (sched_idle). */
	if (atomic_load_explicit(&q->n_queued, memory_order_relaxed) != 0) {
		lock_acquire(&q->lock);
		v = pop(q);
		if (v != NULL)
			set_state(v, SCHED_RUNNING);
		lock_release(&q->lock);
	}
	if (v == NULL)
		v = steal(here);
	if (v != NULL) {
		if (v != q->in_turn)
			q->slice_end = time_now() + slice_ticks;
		q->in_turn = NULL;
		atomic_store_explicit(&q->is_stale, true, memory_order_relaxed);
		if (q->was_taken)
			offer_rest(here);
	}
	return v;
}

void sched_put(struct vcpu *v)
{
	u32 here = hart_index();
	struct runq *q = &runqs[here];
	bool is_in_turn = time_now() < q->slice_end, is_queued;

	q->in_turn = is_in_turn ? v : NULL;
	lock_acquire(&q->lock);
	assert(state_of(v) == SCHED_RUNNING && home_of(v) == here);
	is_queued = settle(q, v, is_in_turn);
	lock_release(&q->lock);
	if (is_queued && atomic_load(&idle_mask) != 0)
		offer(here, false);
}

/* Wakes what is due; returns the next deadline.  The first woken is this hart's own if it has
 * nothing to run. */
static NOINLINE u64 run_timers(struct runq *q, bool is_busy)
{
	u64 next = TIME_NEVER;
	u32 n_woken = 0;
	struct timer_node *t;

	lock_acquire(&q->lock);
	while ((t = q->timers.first) != NULL) {
		struct vcpu *v = CONTAINER_OF(t, struct vcpu, timer);

		if (t->deadline > time_now()) {
			next = t->deadline;
			break;
		}
		timerq_remove(&q->timers, t);
		if (atomic_load(&v->holds) == HOLD_GATE && !(gate_try(v) && vcpu_can_run(v))) {
			settle_timer(q, v);
			continue;
		}
		if (vcpu_can_run(v)) {
			enqueue(q, v, false);
			n_woken++;
		} else {
			/* It was not due: guest time has stood still since it was queued.  Whether it is
			 * by now is not asked again; between two looks it might become so. */
			settle_timer(q, v);
		}
	}
	lock_release(&q->lock);
	for (u32 i = is_busy ? 0 : 1; i < n_woken; i++)
		offer((u32)(q - runqs), false);
	return next;
}

void sched_timer(struct vcpu *running, u64 deadline)
{
	struct runq *q = &runqs[hart_index()];
	u64 next, was;

	/* Before the look at what they announce: a timer that another hart queues after that look
	 * is early against "never", so it says stale, whatever was armed.  The exchange orders it. */
	atomic_store_explicit(&q->is_stale, false, memory_order_relaxed);
	was = atomic_exchange(&q->armed, TIME_NEVER);
	next = deadline;
	/* Without the lock: pairs with settle_timer(), which queues the timer, then looks at what is
	 * armed.  One of the two sees the other. */
	atomic_thread_fence(memory_order_seq_cst);
	if (__atomic_load_n(&q->timers.first, __ATOMIC_RELAXED) != NULL)
		next = u64_min(next, run_timers(q, running != NULL));
	if (running != NULL && atomic_load_explicit(&q->n_queued, memory_order_relaxed) != 0)
		next = u64_min(next, q->slice_end);
	/* With Sstc the guest's own timer interrupts it without our help. */
	if (running != NULL && !machine.has_sstc)
		next = u64_min(next, vcpu_wake_ticks(running));
	atomic_store(&q->armed, next);
	if (next != was || next <= time_now())
		timer_set(next);
}

bool sched_timer_is_stale(void)
{
	/* Relaxed: another hart that sets it kicks this one, and then it looks again. */
	return atomic_load_explicit(&runqs[hart_index()].is_stale, memory_order_relaxed);
}

void sched_rearm(void)
{
	struct runq *q = &runqs[hart_index()];

	/* Even to the same deadline: a timer that fires just as it is moved leaves QEMU's interrupt
	 * pending until the next store to stimecmp, and nothing else takes it away. */
	atomic_store(&q->armed, 0);
	atomic_store(&q->is_stale, true);
}

bool sched_has_waiting(void)
{
	return atomic_load(&runqs[hart_index()].n_queued) != 0;
}

bool sched_slice_is_over(void)
{
	return sched_has_waiting() && time_now() >= runqs[hart_index()].slice_end;
}

static bool has_work_anywhere(void)
{
	for (u32 i = 0; i < hart_count(); i++)
		if (atomic_load(&runqs[i].n_queued) != 0)
			return true;
	return false;
}

void sched_idle(u64 deadline)
{
	u32 bit = (u32)BIT(hart_index());

	sched_timer(NULL, deadline);
	atomic_fetch_or(&idle_mask, bit);
	if (!has_work_anywhere() && !atomic_load(&runqs[hart_index()].is_stale))
		account_wait();
	if ((atomic_fetch_and(&idle_mask, ~bit) & bit) == 0)
		runqs[hart_index()].was_taken = true;
}

bool sched_is_running(struct vcpu *v)
{
	struct runq *q = lock_home(v);
	bool running = state_of(v) == SCHED_RUNNING;

	lock_release(&q->lock);
	return running;
}

bool sched_is_moving(struct vcpu *v)
{
	struct runq *q = lock_home(v);
	bool moving = state_of(v) != SCHED_ASLEEP || timerq_has(&v->timer);

	lock_release(&q->lock);
	return moving;
}

void sched_wait_stopped(struct vcpu *v)
{
	/* The lock as well: whoever put it to sleep may still be at work under it. */
	while (sched_is_running(v)) {
		assert(atomic_load(&v->home) != hart_index());
		while (atomic_load(&v->state) == SCHED_RUNNING)
			hart_relax();
	}
}
