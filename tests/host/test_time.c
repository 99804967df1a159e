/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest time under both policies, through every pause that Pando imposes: against a
 * model that knows one rule for each, in random histories.
 */
#include "arch/csr.h"
#include "arch/time.h"
#include "vm_life.h"

#define N_VMS   12U
#define N_STEPS 200000U
#define HOUR    (3600UL * 10000000UL) /* ticks */

/* What the guest of one VM may see: time `guest` at host time `host`, running from then on or not. */
struct model {
	struct vm *vm;
	struct vm *template;
	u64 guest, host;
	u64 start_guest, start_host; /* those of its template, for a reset */
	bool is_running, is_template;
	bool is_waiting; /* for its first turn: its time stands still */
	enum time_policy policy;
};

static struct model models[N_VMS];

static struct vcpu *first(struct vm *vm)
{
	return vm->vcpu[0];
}

/* A hart takes on the VM's vCPU, and puts it back at once. */
static void turn(struct vm *vm)
{
	vcpu_load(first(vm));
	vcpu_unload(first(vm));
}

static void test_continue(void **state)
{
	struct vm *vm, *t, *c;

	(void)state;
	fake_boot(1);
	vm = fake_vm_run("vm", 1);
	assert_int_equal(vm->policy.time, TIME_CONTINUE);
	assert_int_equal(vcpu_time(first(vm)), 0);
	turn(vm);
	fake_time += 100;
	vm_pause(vm);
	fake_time += HOUR;
	assert_int_equal(vm_run(vm), ERR_OK);
	turn(vm);
	assert_int_equal(vcpu_time(first(vm)), 100);
	fake_time += 5;
	assert_int_equal(vm_fork(vm, &c), ERR_OK);
	assert_int_equal(vcpu_time(first(vm)), 105);
	fake_time += HOUR;
	assert_int_equal(vm_run(c), ERR_OK);
	assert_int_equal(vcpu_time(first(c)), 105);
	t = c;
	assert_int_equal(vm_freeze(t), ERR_OK);
	fake_time += HOUR;
	c = clone(t);
	assert_int_equal(vm_run(c), ERR_OK);
	assert_int_equal(vcpu_time(first(c)), 105);
	fake_time += 7;
	assert_int_equal(vcpu_time(first(c)), 112);
	assert_int_equal(vm_reset(c), ERR_OK);
	assert_int_equal(vcpu_time(first(c)), 105);
}

/* Nor does the time count that a VM waits for its first turn, or that it is paused meanwhile. */
static void test_continue_from_the_first_turn(void **state)
{
	struct vm *vm, *c;

	(void)state;
	fake_boot(1);
	vm = fake_vm_run("vm", 1);
	fake_time += HOUR;
	turn(vm);
	assert_int_equal(vcpu_time(first(vm)), 0);
	fake_time += 10;
	turn(vm);
	assert_int_equal(vcpu_time(first(vm)), 10);
	assert_int_equal(vm_freeze(vm), ERR_OK);
	c = clone(vm);
	assert_int_equal(vm_run(c), ERR_OK);
	fake_time += HOUR;
	vm_pause(c);
	fake_time += HOUR;
	assert_int_equal(vm_run(c), ERR_OK);
	fake_time += HOUR;
	turn(c);
	assert_int_equal(vcpu_time(first(c)), 10);
}

/* Who sleeps until a deadline waits for that, not for a hart: its time goes on at once. */
static void test_a_sleeper_does_not_wait(void **state)
{
	struct vm *vm;
	struct vcpu *v;

	(void)state;
	fake_boot(1);
	vm = fake_vm_run("vm", 1);
	v = first(vm);
	turn(vm);
	vcpu_set_timer(v, 1000);
	v->csrs.vsie = HVIP_VSTIP >> 1;
	v->in_wfi = true;
	vm_pause(vm);
	fake_time += HOUR;
	assert_int_equal(vm_run(vm), ERR_OK);
	assert_false(vcpu_can_run(v));
	fake_time += 1000;
	assert_true(vcpu_can_run(v));
	turn(vm);
	assert_int_equal(vcpu_time(v), 1000);
	/* Had it been due at the pause, it would have waited for a hart. */
	vm_pause(vm);
	fake_time += HOUR;
	assert_int_equal(vm_run(vm), ERR_OK);
	fake_time += HOUR;
	turn(vm);
	assert_int_equal(vcpu_time(v), 1000);
}

/* Its timer was queued while the VM waited for a first turn, which was its sibling's 600 ticks later: guest time has
 * stood still since, and the timer is not due when the hart thinks so. */
static struct vcpu *sleeper_beside_one_that_waits(void)
{
	struct vm *vm;
	struct vcpu *v, *sibling;

	fake_boot(1);
	vm = fake_vm_run("vm", 2);
	v = first(vm);
	sibling = vm->vcpu[1];
	turn(vm);
	vcpu_unhold(sibling, HOLD_STOPPED);
	vcpu_set_timer(v, vcpu_time(v) + 1000);
	v->csrs.vsie = HVIP_VSTIP >> 1;
	v->in_wfi = true;
	vm_pause(vm);
	assert_int_equal(vm_run(vm), ERR_OK);
	fake_time += 600;
	vcpu_load(sibling);
	vcpu_unload(sibling);
	return v;
}

static void test_a_sleeper_beside_one_that_waits(void **state)
{
	struct vcpu *v;

	(void)state;
	v = sleeper_beside_one_that_waits();
	fake_time += 500;
	sched_timer(NULL, TIME_NEVER);
	assert_int_equal(atomic_load(&v->state), SCHED_ASLEEP);
	fake_time += 500;
	sched_timer(NULL, TIME_NEVER);
	assert_int_equal(atomic_load(&v->state), SCHED_QUEUED);
}

/* And it becomes due while the hart looks: between any two of its looks at the clock. */
static void test_a_sleeper_due_at_any_look(void **state)
{
	u32 n_asleep = 0;

	(void)state;
	for (u64 left = 0; left < 12; left++) {
		struct vcpu *v = sleeper_beside_one_that_waits();

		fake_time += 1000 - left;
		fake_time_step = 1;
		sched_timer(NULL, TIME_NEVER);
		fake_time_step = 0;
		n_asleep += atomic_load(&v->state) == SCHED_ASLEEP;
		fake_time += 1000;
		sched_timer(NULL, TIME_NEVER);
		assert_int_equal(atomic_load(&v->state), SCHED_QUEUED);
	}
	assert_in_range(n_asleep, 1, 11);
}

static void test_jump(void **state)
{
	struct vm *t, *c;

	(void)state;
	fake_boot(1);
	t = fake_vm_new("t", 1);
	t->policy.time = TIME_JUMP;
	fake_time += 10;
	assert_int_equal(vm_run(t), ERR_OK);
	assert_int_equal(vcpu_time(first(t)), 10);
	vm_pause(t);
	fake_time += HOUR;
	assert_int_equal(vm_run(t), ERR_OK);
	assert_int_equal(vcpu_time(first(t)), HOUR + 10);
	assert_int_equal(vm_freeze(t), ERR_OK);
	fake_time += HOUR;
	c = clone(t);
	assert_int_equal(c->policy.time, TIME_JUMP);
	assert_int_equal(vm_run(c), ERR_OK);
	assert_int_equal(vcpu_time(first(c)), 2 * HOUR + 10);
	/* A template's policy is that of clones made from now on. */
	t->policy.time = TIME_CONTINUE;
	assert_int_equal(vm_reset(c), ERR_OK);
	assert_int_equal(vcpu_time(first(c)), 2 * HOUR + 10);
	c = clone(t);
	assert_int_equal(vm_run(c), ERR_OK);
	assert_int_equal(vcpu_time(first(c)), HOUR + 10);
}

/* Another hart's clock may be a tick behind: the guest stands still rather than go back. */
static void test_jump_meets_a_slow_clock(void **state)
{
	struct vm *vm;

	(void)state;
	fake_boot(1);
	vm = fake_vm_run("vm", 1);
	vm->policy.time = TIME_JUMP;
	turn(vm);
	fake_time += 50;
	vm_pause(vm);
	fake_time -= 1;
	assert_int_equal(vm_run(vm), ERR_OK);
	assert_int_equal(vcpu_time(first(vm)), 50);
}

/* One deadline that has passed is one interrupt, however long ago that was. */
static void test_no_storm_after_a_jump(void **state)
{
	struct vm *vm;
	struct vcpu *v;

	(void)state;
	fake_boot(1);
	machine.has_sstc = false;
	vm = fake_vm_run("vm", 1);
	vm->policy.time = TIME_JUMP;
	v = first(vm);
	vcpu_set_timer(v, 1000);
	vm_pause(vm);
	fake_time += HOUR;
	assert_int_equal(vm_run(vm), ERR_OK);
	assert_ptr_equal(fake_pick(0), v);
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip), HVIP_VSTIP);
	assert_int_equal(v->soft_deadline, TIME_NEVER);
	vcpu_set_timer(v, vcpu_time(v) + 1000);
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip), 0);
	fake_put_back(0, v);
	machine.has_sstc = true;
}

/* As a vCPU that found no frame, in its hart, and put back. */
static void starve(struct vcpu *v)
{
	assert_ptr_equal(fake_pick(0), v);
	assert_true(nomem_wait(v));
	fake_put_back(0, v);
}

/* Frames return, and it has a turn. */
static void feed(struct vm *vm)
{
	nomem_poll();
	turn(vm);
}

/* Waiting for frames is a pause as well, once nobody of the VM runs. */
static void test_waiting_for_frames(void **state)
{
	struct vm *vm, *child;

	(void)state;
	fake_boot(1);
	vm = fake_vm_run("vm", 2);
	starve(first(vm)); /* its sibling is stopped */
	fake_time += HOUR;
	feed(vm);
	assert_int_equal(vcpu_time(first(vm)), 0);
	fake_time += 10;
	assert_int_equal(vcpu_time(first(vm)), 10);
	/* The sibling runs on: time goes on. */
	vcpu_unhold(vm->vcpu[1], HOLD_STOPPED);
	starve(first(vm));
	fake_time += 10;
	turn(vm);
	assert_int_equal(vcpu_time(first(vm)), 20);
	starve(vm->vcpu[1]);
	fake_time += HOUR;
	/* Paused, forked and let go on in between: it still waits. */
	vm_pause(vm);
	assert_int_equal(vm_fork(vm, &child), ERR_OK);
	fake_time += HOUR;
	assert_int_equal(vm_run(vm), ERR_OK);
	fake_time += HOUR;
	assert_int_equal(vm_run(child), ERR_OK);
	turn(child);
	assert_int_equal(vcpu_time(first(child)), 20);
	feed(vm);
	assert_int_equal(vcpu_time(first(vm)), 20);
	fake_time += 10;
	assert_int_equal(vcpu_time(first(vm)), 30);
}

/* As one that loads NEXT and finds no work, in its hart, and put back. */
static void want_work(struct vcpu *v)
{
	assert_ptr_equal(fake_pick(0), v);
	vcpu_hold(v, HOLD_WORK);
	lock_acquire(&v->vm->lock);
	vm_wait(v->vm);
	lock_release(&v->vm->lock);
	fake_put_back(0, v);
}

/* And so is waiting for work: of a VM, its clones and its children. */
static void test_waiting_for_work(void **state)
{
	struct vm *vm, *child, *c;

	(void)state;
	fake_boot(1);
	vm = fake_vm_run("vm", 2);
	turn(vm);
	fake_time += 10;
	want_work(first(vm)); /* its sibling is stopped */
	fake_time += HOUR;
	assert_int_equal(vm_fork(vm, &child), ERR_OK);
	fake_time += HOUR;
	assert_int_equal(vm_run(child), ERR_OK);
	assert_int_equal(vm_freeze(vm), ERR_OK);
	fake_time += HOUR;
	c = clone(vm);
	assert_int_equal(vm_run(c), ERR_OK);
	fake_time += HOUR;
	vcpu_unhold(first(child), HOLD_WORK);
	turn(child);
	assert_int_equal(vcpu_time(first(child)), 10);
	vcpu_unhold(first(c), HOLD_WORK);
	turn(c);
	assert_int_equal(vcpu_time(first(c)), 10);
	/* With a sibling that runs, time goes on. */
	vcpu_unhold(c->vcpu[1], HOLD_STOPPED);
	want_work(first(child)); /* it was the first in the queue */
	want_work(first(c));
	fake_time += 5;
	assert_int_equal(vcpu_time(first(c)), 15);
	turn(c);
	assert_int_equal(vcpu_time(first(c)), 15);
}

/* Frames return during a pause; then with the other policy. */
static void test_frames_return_in_a_pause(void **state)
{
	struct vm *vm;

	(void)state;
	fake_boot(1);
	vm = fake_vm_run("vm", 1);
	turn(vm);
	fake_time += 30;
	starve(first(vm));
	vm_pause(vm);
	fake_time += HOUR;
	nomem_poll();
	fake_time += HOUR;
	assert_int_equal(vm_run(vm), ERR_OK);
	turn(vm);
	assert_int_equal(vcpu_time(first(vm)), 30);
	vm->policy.time = TIME_JUMP;
	starve(first(vm));
	fake_time += HOUR;
	feed(vm);
	assert_int_equal(vcpu_time(first(vm)), HOUR + 30);
}

static void test_reset_of_a_vm_that_waits(void **state)
{
	struct vm *t, *c;

	(void)state;
	fake_boot(1);
	t = template_of("t", 1);
	c = clone(t);
	assert_int_equal(vm_run(c), ERR_OK);
	starve(first(c));
	assert_int_equal(vm_reset(c), ERR_OK);
	turn(c);
	fake_time += 10;
	vm_pause(c);
	fake_time += HOUR;
	assert_int_equal(vm_run(c), ERR_OK);
	turn(c);
	assert_int_equal(vcpu_time(first(c)), 10);
}

/* ---- random histories ---- */

static u64 model_time(const struct model *m)
{
	return m->is_running ? m->guest + (fake_time - m->host) : m->guest;
}

static void model_stop(struct model *m)
{
	if (m->is_running && !m->is_waiting) {
		m->guest = model_time(m);
		m->host = fake_time;
	}
	m->is_running = m->is_waiting = false;
}

static void model_run(struct model *m)
{
	if (m->policy == TIME_JUMP)
		m->guest += fake_time - m->host;
	m->host = fake_time;
	m->is_running = true;
	m->is_waiting = m->policy == TIME_CONTINUE;
}

static void model_turn(struct model *m)
{
	if (m->is_waiting && m->policy == TIME_CONTINUE)
		m->host = fake_time;
	m->is_waiting = false;
}

static struct model *unused(void)
{
	for (u32 i = 0; i < N_VMS; i++)
		if (models[i].vm == NULL)
			return &models[i];
	return NULL;
}

static void make_child(struct model *m)
{
	struct model *to = unused();
	struct vm *child;

	if (to == NULL)
		return;
	*to = *m;
	to->is_template = false;
	if (m->is_template) {
		assert_int_equal(vm_clone(m->vm, &child), ERR_OK);
		to->template = m->vm;
		to->start_guest = m->guest;
		to->start_host = m->host;
	} else {
		assert_int_equal(vm_fork(m->vm, &child), ERR_OK);
		model_stop(to);
		to->template = NULL;
		if (m->is_running) {
			model_stop(m);
			model_run(m);
		}
	}
	to->vm = child;
}

static void reset(struct model *m)
{
	bool was_running = m->is_running;

	if (m->template == NULL || m->is_template)
		return;
	assert_int_equal(vm_reset(m->vm), ERR_OK);
	m->guest = m->start_guest;
	m->host = m->start_host;
	m->is_running = m->is_waiting = false;
	if (was_running)
		model_run(m);
}

static void step(struct model *m)
{
	switch (fake_random() % 10) {
	case 0:
		vm_pause(m->vm);
		model_stop(m);
		break;
	case 1:
	case 2:
		if (m->is_running || m->is_template)
			break;
		assert_int_equal(vm_run(m->vm), ERR_OK);
		model_run(m);
		break;
	case 3:
		/* A new VM that has not run cannot be forked. */
		if (m->is_template || atomic_load(&m->vm->state) != VM_NEW)
			make_child(m);
		break;
	case 4: reset(m); break;
	case 5:
		if (m->is_template || fake_random() % 4 != 0)
			break;
		assert_int_equal(vm_freeze(m->vm), ERR_OK);
		model_stop(m);
		m->is_template = true;
		break;
	case 6: m->policy = m->vm->policy.time = fake_random() % 2; break;
	case 7:
		vm_kill(m->vm);
		m->vm = NULL;
		break;
	default:
		if (m->is_running) {
			turn(m->vm);
			model_turn(m);
		}
		break;
	}
}

static void start_one(void)
{
	models[0] = (struct model){ .vm = fake_vm_new("vm", 1), .host = fake_time };
}

static void test_random_histories(void **state)
{
	(void)state;
	fake_seed(20261123);
	fake_boot(1);
	memset(models, 0, sizeof(models));
	for (u32 i = 0; i < N_STEPS; i++) {
		struct model *m = &models[fake_random() % N_VMS];

		fake_time += fake_random() % 16 == 0 ? fake_random() % HOUR : fake_random() % 100;
		if (m->vm != NULL)
			step(m);
		else if (unused() == &models[0] && vm_find("vm") == NULL)
			start_one();
		for (u32 k = 0; k < N_VMS; k++) {
			m = &models[k];
			if (m->vm != NULL && m->is_running && !m->is_waiting)
				assert_int_equal(vcpu_time(first(m->vm)), model_time(m));
		}
	}
	check_audit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_continue),
		cmocka_unit_test(test_continue_from_the_first_turn),
		cmocka_unit_test(test_a_sleeper_does_not_wait),
		cmocka_unit_test(test_a_sleeper_beside_one_that_waits),
		cmocka_unit_test(test_a_sleeper_due_at_any_look),
		cmocka_unit_test(test_jump),
		cmocka_unit_test(test_jump_meets_a_slow_clock),
		cmocka_unit_test(test_no_storm_after_a_jump),
		cmocka_unit_test(test_waiting_for_frames),
		cmocka_unit_test(test_waiting_for_work),
		cmocka_unit_test(test_frames_return_in_a_pause),
		cmocka_unit_test(test_reset_of_a_vm_that_waits),
		cmocka_unit_test(test_random_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
