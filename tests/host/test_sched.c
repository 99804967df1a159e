/* SPDX-License-Identifier: BSD-2-Clause */
/* Run queues, stealing, slices, kicks and the timer queue, on up to four fake harts. */
#include "arch/csr.h"
#include "arch/time.h"
#include "mm_unit.h"
#include "vm_tests.h"

#define VSIE_SSIE BIT(1)
#define VSIE_STIE BIT(5)

static struct vcpu *start(const char *name)
{
	return fake_vm_run(name, 1)->vcpu[0];
}

/* Loads `v`, lets it execute WFI with these enables and this deadline, puts it back. */
static void sleep_until(u32 h, struct vcpu *v, u64 deadline)
{
	u32 was = fake_hart;

	fake_hart = h;
	csr_write(vsie, VSIE_STIE | VSIE_SSIE);
	vcpu_set_timer(v, deadline);
	v->in_wfi = true;
	assert_false(vcpu_door(v));
	fake_hart = was;
	fake_put_back(h, v);
}

static void test_timerq_sorts(void **state)
{
	enum { N = 2000 };
	static struct timer_node nodes[N];
	struct timerq q = { NULL };
	u32 n = 0;
	u64 last = 0;

	(void)state;
	memset(nodes, 0, sizeof(nodes));
	fake_seed(1);
	for (u32 i = 0; i < N; i++) {
		nodes[i].deadline = fake_random() % 5000;
		timerq_insert(&q, &nodes[i]);
	}
	/* Any of them may leave, and come back. */
	for (u32 i = 0; i < N; i += 3)
		timerq_remove(&q, &nodes[fake_random() % N]);
	for (u32 i = 0; i < N; i++) {
		if (timerq_has(&nodes[i]))
			continue;
		nodes[i].deadline = fake_random() % 5000;
		timerq_insert(&q, &nodes[i]);
	}
	while (q.first != NULL) {
		struct timer_node *t = q.first;

		assert_true(t->deadline >= last);
		last = t->deadline;
		timerq_remove(&q, t);
		assert_false(timerq_has(t));
		timerq_remove(&q, t); /* harmless */
		n++;
	}
	assert_int_equal(n, N);
}

static void use_up_slice(void)
{
	fake_time += time_ns_to_ticks(SCHED_SLICE_NS);
}

static void test_round_robin(void **state)
{
	struct vcpu *v[3];

	(void)state;
	fake_boot(1);
	v[0] = start("a");
	v[1] = start("b");
	v[2] = start("c");
	for (u32 i = 0; i < 9; i++) {
		struct vcpu *p = fake_pick(0);

		assert_ptr_equal(p, v[i % 3]);
		assert_int_equal(p->state, SCHED_RUNNING);
		use_up_slice();
		fake_put_back(0, p);
	}
}

/* Whoever leaves the hart for control's sake goes on first, with what is left of its slice. */
static void test_turn_outlasts_control(void **state)
{
	struct vcpu *a, *b;
	u64 end;

	(void)state;
	fake_boot(1);
	a = start("a");
	b = start("b");
	assert_ptr_equal(fake_pick(0), a);
	end = fake_time + time_ns_to_ticks(SCHED_SLICE_NS);
	for (u32 i = 0; i < 3; i++) {
		fake_time += time_ns_to_ticks(SCHED_SLICE_NS) / 4;
		fake_put_back(0, a);
		assert_ptr_equal(fake_pick(0), a);
		sched_timer(a, TIME_NEVER);
		assert_int_equal(fake_timer[0], end);
	}
	fake_time = end;
	fake_put_back(0, a);
	assert_ptr_equal(fake_pick(0), b);
	/* Its successor has a whole one. */
	sched_timer(b, TIME_NEVER);
	assert_int_equal(fake_timer[0], end + time_ns_to_ticks(SCHED_SLICE_NS));
}

static void test_soon_goes_first(void **state)
{
	struct vcpu *a, *b, *c, *p;

	(void)state;
	fake_boot(1);
	a = start("a");
	b = start("b");
	c = start("c");
	p = fake_pick(0);
	assert_ptr_equal(p, a);
	vcpu_raise(c, HVIP_VSSIP);
	vcpu_raise(c, HVIP_VSSIP);
	use_up_slice();
	fake_put_back(0, p);
	assert_ptr_equal(fake_pick(0), c);
	use_up_slice();
	fake_put_back(0, c);
	assert_ptr_equal(fake_pick(0), b);
}

/* Two vCPUs that signal each other for ever have a hart to themselves no more than any two. */
static void test_soon_starves_nobody(void **state)
{
	struct vm *pair;
	struct vcpu *other;
	u32 n_other = 0;

	(void)state;
	fake_boot(1);
	pair = fake_vm_run("pair", 2);
	vcpu_unhold(pair->vcpu[1], HOLD_STOPPED);
	other = start("other");
	for (u32 i = 0; i < 300; i++) {
		struct vcpu *p = fake_pick(0);

		fake_time += time_ns_to_ticks(SCHED_SLICE_NS / 10);
		if (p == other)
			n_other++;
		else
			vcpu_raise(pair->vcpu[1 - p->id], HVIP_VSSIP);
		fake_put_back(0, p);
	}
	assert_in_range(n_other, 20, 120);
}

static struct vcpu *late_sleeper;

/* Another hart lets a sleeper go on as soon as this one has looked at its timers. */
static void unhold_from_afar(const struct spinlock *l)
{
	u32 was = fake_hart;

	if (lock_rank(l) != LOCK_RUNQ)
		return;
	fake_on_release = NULL;
	fake_hart = 1;
	vcpu_unhold(late_sleeper, HOLD_WORK);
	fake_hart = was;
}

/* Later than what was armed, earlier than what is going to be. */
static void test_timer_comes_while_arming(void **state)
{
	struct vcpu *other;
	u64 now;

	(void)state;
	fake_boot(2);
	other = start("b"); /* or there would be no timers to look at */
	assert_ptr_equal(fake_pick(0), other);
	sleep_until(0, other, 20000);
	late_sleeper = start("a");
	assert_ptr_equal(fake_pick(0), late_sleeper);
	now = fake_time;
	vcpu_hold(late_sleeper, HOLD_WORK);
	sleep_until(0, late_sleeper, 5000);
	sched_timer(NULL, now + 1000);
	assert_int_equal(fake_timer[0], now + 1000);
	fake_n_kicks[0] = 0;
	fake_on_release = unhold_from_afar;
	sched_timer(NULL, now + 10000);
	assert_null(fake_on_release);
	assert_true(fake_timer[0] <= now + 5000 || sched_timer_is_stale());
	assert_true(fake_timer[0] <= now + 5000 || fake_n_kicks[0] != 0);
	sched_timer(NULL, now + 10000);
	assert_int_equal(fake_timer[0], now + 5000);
}

static struct vcpu *offered, *own;

/* The idle hart is woken for a vCPU of hart 0, then has one of its own. */
static void two_come(void)
{
	u32 was = fake_hart;

	fake_hart = 2;
	vcpu_unhold(offered, HOLD_WORK);
	vcpu_unhold(own, HOLD_WORK);
	fake_hart = was;
}

/* What an idle hart was woken for waits elsewhere; it picks its own: somebody must time the slice there. */
static void test_offer_is_passed_on(void **state)
{
	struct vcpu *busy, *third;

	(void)state;
	fake_boot(3);
	busy = start("busy"); /* at home on hart 0 */
	own = start("own");
	third = start("third");
	offered = start("offered"); /* at home on hart 0 */
	vcpu_hold(own, HOLD_WORK);
	vcpu_hold(offered, HOLD_WORK);
	assert_ptr_equal(fake_pick(0), busy);
	assert_ptr_equal(fake_pick(2), third);
	sched_timer(busy, TIME_NEVER);
	assert_int_equal(fake_timer[0], TIME_NEVER);
	fake_n_kicks[0] = 0;
	fake_hart = 1;
	fake_on_wait = two_come;
	sched_idle(TIME_NEVER);
	fake_on_wait = NULL;
	fake_hart = 0;
	assert_int_equal(fake_n_kicks[0], 0);
	assert_ptr_equal(fake_pick(1), own);
	assert_int_equal(offered->state, SCHED_QUEUED);
	assert_int_equal(fake_n_kicks[0], 1);
	assert_true(sched_timer_is_stale());
	sched_timer(busy, TIME_NEVER);
	assert_int_equal(fake_timer[0], fake_time + time_ns_to_ticks(SCHED_SLICE_NS));
}

/* The slice is timed only while somebody waits. */
static void test_slice(void **state)
{
	struct vcpu *a, *b;
	u64 end = fake_time;

	(void)state;
	fake_boot(1);
	a = start("a");
	assert_ptr_equal(fake_pick(0), a);
	end = fake_time + time_ns_to_ticks(SCHED_SLICE_NS);
	sched_timer(a, TIME_NEVER);
	assert_int_equal(fake_timer[0], TIME_NEVER);
	fake_time = end + 1;
	assert_false(sched_slice_is_over());
	fake_time = end - 100;
	assert_false(sched_timer_is_stale());
	b = start("b");
	assert_true(sched_timer_is_stale());
	sched_timer(a, TIME_NEVER);
	assert_int_equal(fake_timer[0], end);
	assert_false(sched_slice_is_over());
	fake_time = end;
	assert_true(sched_slice_is_over());
	fake_put_back(0, a);
	assert_ptr_equal(fake_pick(0), b);
	assert_false(sched_slice_is_over());
	/* Control's deadline counts too. */
	sched_timer(b, fake_time + 7);
	assert_int_equal(fake_timer[0], fake_time + 7);
}

static void test_idle_hart_steals(void **state)
{
	struct vcpu *a, *b, *p, *q;

	(void)state;
	fake_boot(1);
	a = start("a");
	b = start("b");
	fake_n_harts = 4;
	p = fake_pick(0);
	q = fake_pick(3);
	assert_ptr_equal(p, a);
	assert_ptr_equal(q, b);
	assert_int_equal(q->home, 3);
	assert_null(fake_pick(1));
	/* From now on its business is hart 3's. */
	fake_put_back(3, q);
	assert_ptr_equal(fake_pick(3), q);
	vcpu_post(q, VREQ_EXT);
	assert_int_equal(fake_n_kicks[3], 1);
	assert_int_equal(fake_n_kicks[0], 0);
}

static void test_wake_tells_home_once(void **state)
{
	struct vcpu *v;

	(void)state;
	fake_boot(2);
	v = start("a");
	assert_ptr_equal(fake_pick(0), v);
	sleep_until(0, v, TIME_NEVER);
	assert_int_equal(v->state, SCHED_ASLEEP);
	/* Hart 1 wakes it: home is not idle by its own account, but has to hear of it. */
	fake_hart = 1;
	memset(fake_n_kicks, 0, sizeof(fake_n_kicks));
	vcpu_raise(v, HVIP_VSSIP);
	assert_int_equal(fake_n_kicks[0], 1);
	assert_int_equal(v->state, SCHED_QUEUED);
	/* Again: it is queued already, nobody needs telling. */
	vcpu_raise(v, HVIP_VSSIP);
	assert_int_equal(fake_n_kicks[0], 1);
	assert_int_equal(fake_n_kicks[1], 0);
}

static void test_running_vcpu_is_kicked(void **state)
{
	struct vcpu *v;

	(void)state;
	fake_boot(2);
	v = start("a");
	assert_ptr_equal(fake_pick(1), v);
	fake_hart = 0;
	vcpu_post(v, VREQ_FENCE_I);
	assert_int_equal(fake_n_kicks[1], 1);
	/* Its own hart looks at the door anyway. */
	fake_hart = 1;
	vcpu_post(v, VREQ_FENCE_I);
	assert_int_equal(fake_n_kicks[1], 1);
}

/* Whatever comes between the decision to sleep and sched_put() keeps it awake. */
static void test_no_lost_wakeup(void **state)
{
	struct vcpu *v;

	(void)state;
	fake_boot(2);
	v = start("a");
	for (u32 i = 0; i < 3; i++) {
		assert_ptr_equal(fake_pick(0), v);
		fake_hart = 0;
		csr_write(vsie, VSIE_SSIE | BIT(9));
		/* What the round before has left; a line that is low again has ended no WFI. */
		assert_int_equal(vcpu_door(v), i < 2);
		csr_write(hvip, 0);
		v->in_wfi = true;
		assert_false(vcpu_door(v));
		fake_hart = 1;
		if (i == 0)
			vcpu_raise(v, HVIP_VSSIP);
		else if (i == 1)
			vcpu_post(v, VREQ_EXT);
		else
			vcpu_hold(v, HOLD_WORK);
		fake_put_back(0, v);
		assert_int_equal(v->state, i < 2 ? SCHED_QUEUED : SCHED_ASLEEP);
	}
	vcpu_raise(v, HVIP_VSSIP);
	assert_int_equal(v->state, SCHED_ASLEEP);
	vcpu_unhold(v, HOLD_WORK);
	assert_int_equal(v->state, SCHED_QUEUED);
}

static void test_hold_takes_it_off_the_queue(void **state)
{
	struct vcpu *v;

	(void)state;
	fake_boot(1);
	v = start("a");
	assert_int_equal(v->state, SCHED_QUEUED);
	vcpu_hold(v, HOLD_WORK);
	assert_int_equal(v->state, SCHED_ASLEEP);
	assert_false(sched_has_waiting());
	assert_null(fake_pick(0));
	vcpu_unhold(v, HOLD_WORK);
	assert_true(sched_has_waiting());
	assert_ptr_equal(fake_pick(0), v);
}

/* A timer of a held vCPU does not wake it, and does not keep the hart awake. */
static void test_held_sleeper_has_no_timer(void **state)
{
	struct vcpu *v;

	(void)state;
	fake_boot(1);
	v = start("a");
	assert_ptr_equal(fake_pick(0), v);
	sleep_until(0, v, 5000);
	sched_timer(NULL, TIME_NEVER);
	assert_int_equal(fake_timer[0], fake_time + 5000);
	vcpu_hold(v, HOLD_PAUSED);
	sched_timer(NULL, TIME_NEVER);
	assert_int_equal(fake_timer[0], TIME_NEVER);
	fake_time += 10000;
	sched_timer(NULL, TIME_NEVER);
	assert_int_equal(v->state, SCHED_ASLEEP);
	vcpu_unhold(v, HOLD_PAUSED);
	assert_int_equal(v->state, SCHED_QUEUED);
}

/* A vCPU that sleeps with a timer, unheld by another hart: home must arm its timer. */
static void test_timer_set_from_afar(void **state)
{
	struct vcpu *v;

	(void)state;
	fake_boot(2);
	v = start("a");
	fake_hart = 0;
	assert_ptr_equal(fake_pick(0), v);
	sleep_until(0, v, 5000);
	vcpu_hold(v, HOLD_PAUSED);
	sched_timer(NULL, TIME_NEVER);
	assert_int_equal(fake_timer[0], TIME_NEVER);
	fake_hart = 1;
	memset(fake_n_kicks, 0, sizeof(fake_n_kicks));
	vcpu_unhold(v, HOLD_PAUSED);
	assert_int_equal(fake_n_kicks[0], 1);
	fake_hart = 0;
	assert_true(sched_timer_is_stale());
	sched_timer(NULL, TIME_NEVER);
	assert_int_equal(fake_timer[0], fake_time + 5000);
}

static void test_many_sleepers(void **state)
{
	enum { N = 120 };
	struct vcpu *v[N];
	char name[8] = "s";
	u64 due[N], start_time;
	u32 n_woken = 0;

	(void)state;
	fake_boot(1);
	fake_seed(2);
	for (u32 i = 0; i < N; i++) {
		name[1] = (char)('a' + i / 26);
		name[2] = (char)('a' + i % 26);
		v[i] = start(name);
		assert_ptr_equal(fake_pick(0), v[i]);
		due[i] = 1000 + fake_random() % 100000;
		sleep_until(0, v[i], due[i]);
		due[i] += fake_time - vcpu_time(v[i]);
	}
	start_time = fake_time;
	while (n_woken < N) {
		struct vcpu *p;
		u64 before = fake_time;

		sched_timer(NULL, TIME_NEVER);
		p = fake_pick(0);
		if (p == NULL) {
			assert_true(fake_timer[0] > before && fake_timer[0] != TIME_NEVER);
			fake_time = fake_timer[0];
			continue;
		}
		for (u32 i = 0; i < N; i++)
			if (v[i] == p)
				assert_int_equal(due[i], fake_time);
		n_woken++;
		fake_hart = 0;
		sleep_until(0, p, TIME_NEVER);
	}
	assert_true(fake_time > start_time);
}

/* Removed with its timer armed: nothing of it stays behind. */
static void test_kill_with_armed_timer(void **state)
{
	struct vcpu *v;

	(void)state;
	fake_boot(1);
	v = start("a");
	assert_ptr_equal(fake_pick(0), v);
	sleep_until(0, v, 5000);
	vm_kill(v->vm);
	fake_time += 10000;
	sched_timer(NULL, TIME_NEVER);
	assert_int_equal(fake_timer[0], TIME_NEVER);
	assert_null(fake_pick(0));
}

static void test_waits_for_frames(void **state)
{
	struct vcpu *v;
	struct vm *vm;
	u32 events = 0;

	(void)state;
	fake_boot(1);
	v = start("a");
	assert_ptr_equal(fake_pick(0), v);
	assert_true(nomem_wait(v));
	assert_true(nomem_wait(v));
	assert_false(vcpu_door(v));
	fake_put_back(0, v);
	assert_int_equal(v->state, SCHED_ASLEEP);
	vm = vm_take_event(&events);
	assert_ptr_equal(vm, v->vm);
	assert_true(events & VM_EV_NOMEM);
	vm_put(vm);
	(void)space_relieve();
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	assert_true(frame_n_free() > 64); /* there are frames, but not for guests */
	nomem_poll();
	assert_int_equal(v->state, SCHED_ASLEEP);
	mm_uneat();
	nomem_poll();
	assert_int_equal(v->state, SCHED_QUEUED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timerq_sorts),
		cmocka_unit_test(test_round_robin),
		cmocka_unit_test(test_turn_outlasts_control),
		cmocka_unit_test(test_soon_goes_first),
		cmocka_unit_test(test_soon_starves_nobody),
		cmocka_unit_test(test_timer_comes_while_arming),
		cmocka_unit_test(test_offer_is_passed_on),
		cmocka_unit_test(test_slice),
		cmocka_unit_test(test_idle_hart_steals),
		cmocka_unit_test(test_wake_tells_home_once),
		cmocka_unit_test(test_running_vcpu_is_kicked),
		cmocka_unit_test(test_no_lost_wakeup),
		cmocka_unit_test(test_hold_takes_it_off_the_queue),
		cmocka_unit_test(test_held_sleeper_has_no_timer),
		cmocka_unit_test(test_timer_set_from_afar),
		cmocka_unit_test(test_many_sleepers),
		cmocka_unit_test(test_kill_with_armed_timer),
		cmocka_unit_test(test_waits_for_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
