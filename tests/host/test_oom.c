/* SPDX-License-Identifier: BSD-2-Clause */
/* What follows when a VM finds no memory: who waits, who is woken for how much, who is killed, and who is not. */
#include "arch/csr.h"
#include "arch/time.h"
#include "mm_unit.h"
#include "mm/root.h"
#include "vm/admission.h"
#include "vm/nomem.h"
#include "vm_life.h"

#define MS (1000000UL)

static struct vm *t, *a, *b;

/* Two clones, the younger of which has more memory of its own, and none is left. */
static void start(void)
{
	fake_boot(1);
	t = template_of("t", 1);
	a = clone(t);
	b = clone(t);
	assert_int_equal(vm_run(a), ERR_OK);
	assert_int_equal(vm_run(b), ERR_OK);
	store(a, RAM, 1);
	store(b, RAM, 1);
	store(b, RAM + PAGE_SIZE, 1);
	settle_memory();
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
}

static void end(void)
{
	mm_uneat();
	vm_kill(t);
	vm_kill(a);
	vm_kill(b);
	settle_memory();
	check_audit();
}

/* The VM's next turn ends with a store that finds no frame. */
static bool runs_dry(struct vm *vm)
{
	struct vcpu *v = vm->vcpu[0];
	bool waits;

	assert_ptr_equal(fake_pick(0), v);
	assert_int_equal(space_fault(&vm->space, GPA(RAM + 9 * PAGE_SIZE), ACCESS_WRITE),
	                 ERR_NOMEM);
	waits = nomem_wait(v);
	fake_put_back(0, v);
	return waits;
}

static void give(u32 n)
{
	mm_uneat_some(n);
	frame_flush_cache();
}

static u32 event_of(struct vm *vm)
{
	u32 events = 0;
	struct vm *of = vm_take_event(&events);

	if (of != NULL)
		vm_put(of);
	return of == vm ? events : 0;
}

/* One frame is enough for one, and it goes to the oldest; nobody sleeps for ever because it is only one. */
static void test_single_frames(void **state)
{
	(void)state;
	start();
	assert_true(runs_dry(a));
	assert_true(runs_dry(b));
	nomem_poll();
	assert_int_equal(a->vcpu[0]->state, SCHED_ASLEEP);
	give(1);
	fake_time += time_ns_to_ticks(20 * MS);
	nomem_poll();
	assert_int_equal(a->vcpu[0]->state, SCHED_QUEUED);
	assert_int_equal(b->vcpu[0]->state, SCHED_ASLEEP);
	assert_ptr_equal(fake_pick(0), a->vcpu[0]);
	assert_int_equal(space_fault(&a->space, GPA(RAM + 9 * PAGE_SIZE), ACCESS_WRITE), ERR_OK);
	fake_put_back(0, a->vcpu[0]);
	give(1);
	nomem_poll(); /* too soon after the last look */
	assert_int_equal(b->vcpu[0]->state, SCHED_ASLEEP);
	fake_time += time_ns_to_ticks(20 * MS);
	nomem_poll();
	assert_int_equal(b->vcpu[0]->state, SCHED_QUEUED);
	end();
}

/* A VM that needs no more memory is heard all the same. */
static void test_console(void **state)
{
	char c = 0;

	(void)state;
	start();
	assert_true(runs_dry(a));
	lock_acquire(&b->dev_lock);
	vm_console_put(b, 'x');
	lock_release(&b->dev_lock);
	assert_int_equal(vm_console_take(b, &c, 1), 1);
	assert_int_equal(c, 'x');
	end();
}

/* Who waits for a root wants four in one piece, and is not woken for less. */
static void test_wants_a_piece(void **state)
{
	struct vm *c;

	(void)state;
	start();
	give(64);
	c = clone(t);
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	assert_int_equal(vm_run(c), ERR_OK);
	vcpu_hold(a->vcpu[0], HOLD_READY);
	vcpu_hold(b->vcpu[0], HOLD_READY);
	assert_true(runs_dry(c));
	assert_int_equal(c->vcpu[0]->want.order, 2);
	give(2);
	fake_time += time_ns_to_ticks(20 * MS);
	nomem_poll();
	assert_int_equal(c->vcpu[0]->state, SCHED_ASLEEP);
	mm_uneat();
	frame_flush_cache();
	nomem_poll();
	assert_int_equal(c->vcpu[0]->state, SCHED_QUEUED);
	vm_kill(c);
	end();
}

static void test_kill_by_policy(void **state)
{
	struct vm_policy p = { .nomem = NOMEM_KILL };

	(void)state;
	start();
	assert_int_equal(admission_set_policy(a, &p), ERR_OK);
	assert_false(runs_dry(a));
	assert_int_equal(a->state, VM_OFF);
	assert_string_equal(a->off_reason, "killed: out of memory");
	assert_int_equal(event_of(a), VM_EV_OFF | VM_EV_KILL);
	assert_int_equal(nomem_deadline(), TIME_NEVER);
	end();
}

static u32 seen_at_release;

static void look_at_release(const struct spinlock *l)
{
	if (l == &a->lock && seen_at_release == 0)
		seen_at_release = event_of(a);
}

/* Control on another hart hears both at once: that it is off, and why. */
static void test_kill_is_one_event(void **state)
{
	struct vm_policy p = { .nomem = NOMEM_KILL };

	(void)state;
	start();
	assert_int_equal(admission_set_policy(a, &p), ERR_OK);
	seen_at_release = 0;
	fake_on_release = look_at_release;
	assert_false(runs_dry(a));
	fake_on_release = NULL;
	assert_int_equal(seen_at_release, VM_EV_OFF | VM_EV_KILL);
	/* It is off already: its sibling, or the verdict, has been quicker. */
	nomem_kill(a, "another reason");
	assert_string_equal(a->off_reason, "killed: out of memory");
	assert_int_equal(event_of(a), 0);
	end();
}

/* A VM that was reset before control has heard that it is to be killed is not killed any more. */
static void test_reset_of_one_to_be_killed(void **state)
{
	struct vm_policy p = { .nomem = NOMEM_KILL };

	(void)state;
	start();
	assert_int_equal(admission_set_policy(a, &p), ERR_OK);
	assert_false(runs_dry(a));
	assert_int_equal(vm_reset(a), ERR_OK);
	assert_int_equal(a->state, VM_RUNNING);
	assert_int_equal(event_of(a), 0);
	end();
}

/* A template waits for nothing. */
static void test_freeze_of_one_that_waits(void **state)
{
	(void)state;
	start();
	assert_true(runs_dry(a));
	assert_true(nomem_deadline() < TIME_NEVER);
	assert_int_equal(vm_freeze(a), ERR_OK);
	assert_int_equal(nomem_deadline(), TIME_NEVER);
	end();
}

/* Roots that are kept ready count as free: they are given back when it is they that are left. */
static void test_roots_are_given_back(void **state)
{
	(void)state;
	start();
	assert_true(runs_dry(a));
	mm_uneat();
	while (root_ahead())
		continue;
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	assert_in_range(frame_n_for_guests(), 64, 128);
	for (u32 k = 0; k < 3; k++)
		nomem_poll();
	assert_int_equal(a->vcpu[0]->state, SCHED_QUEUED);
	end();
}

static u32 n_looks;

static void count_looks(const struct spinlock *l)
{
	n_looks += l->rank_bit == BIT(LOCK_VMS);
}

/* Many frames, and none that fits: not every trip of a hart walks over all VMs. */
static void test_looks_in_vain(void **state)
{
	(void)state;
	start();
	assert_true(runs_dry(a));
	mm_uneat();
	frame_flush_cache();
	a->vcpu[0]->want.order = 10; /* as if that piece were nowhere */
	n_looks = 0;
	fake_on_release = count_looks;
	for (u32 k = 0; k < 100; k++)
		nomem_poll();
	assert_in_range(n_looks, 1, 20);
	fake_time += time_ns_to_ticks(20 * MS);
	a->vcpu[0]->want.order = 0;
	nomem_poll();
	fake_on_release = NULL;
	assert_int_equal(a->vcpu[0]->state, SCHED_QUEUED);
	end();
}

static struct vm *verdict_after(u64 ms)
{
	struct vm *victim = NULL;

	for (u64 k = 0; k < ms && victim == NULL; k += 50) {
		fake_time += time_ns_to_ticks(50 * MS);
		victim = nomem_victim();
	}
	if (victim != NULL)
		vm_put(victim);
	return victim;
}

/* All wait: the clone goes that holds most.  One that sleeps with a timer, or is queued, can still do something. */
static void test_verdict(void **state)
{
	(void)state;
	start();
	assert_true(runs_dry(a));
	assert_null(verdict_after(5000)); /* b is queued */
	assert_ptr_equal(fake_pick(0), b->vcpu[0]);
	assert_null(verdict_after(5000)); /* b runs */
	csr_write(vsie, BIT(5));
	csr_write(vstimecmp, vcpu_time(b->vcpu[0]) + 1000000000UL);
	b->vcpu[0]->in_wfi = true;
	fake_put_back(0, b->vcpu[0]);
	assert_int_equal(b->vcpu[0]->state, SCHED_ASLEEP);
	assert_null(verdict_after(5000)); /* b has an alarm clock */
	vcpu_hold(b->vcpu[0], HOLD_WORK);
	assert_ptr_equal(verdict_after(5000),
	                 a); /* b waits for somebody's work; it has no part in this */
	end();
}

static void test_verdict_on_all(void **state)
{
	(void)state;
	start();
	assert_true(runs_dry(a));
	assert_true(runs_dry(b));
	assert_null(verdict_after(900)); /* not before it has looked like that for a while */
	assert_ptr_equal(verdict_after(1000), b);
	nomem_kill(b, "killed: every VM that could run waits for memory");
	assert_true(event_of(a) & VM_EV_NOMEM);
	assert_true(event_of(b) & VM_EV_KILL);
	assert_int_equal(b->state, VM_OFF);
	end();
}

/* Those that waited are reset and run for a while: what was seen before does not count when they wait again. */
static void test_verdict_begins_anew(void **state)
{
	(void)state;
	start();
	assert_true(runs_dry(a));
	assert_true(runs_dry(b));
	assert_null(verdict_after(900));
	assert_int_equal(vm_reset(a), ERR_OK);
	assert_int_equal(vm_reset(b), ERR_OK);
	fake_time += time_ns_to_ticks(10000 * MS);
	assert_null(nomem_victim());
	store(a, RAM, 1);
	store(b, RAM, 1);
	settle_memory();
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	assert_true(runs_dry(a));
	assert_true(runs_dry(b));
	assert_null(verdict_after(900));
	assert_non_null(verdict_after(1000));
	end();
}

/* Memory that only waits to be freed is no reason to kill. */
static void test_no_false_verdict(void **state)
{
	(void)state;
	start();
	assert_true(runs_dry(a));
	vm_kill(b);
	b = clone(t);
	assert_null(verdict_after(5000));
	assert_int_equal(a->vcpu[0]->state, SCHED_QUEUED);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single_frames),
		cmocka_unit_test(test_wants_a_piece),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_kill_by_policy),
		cmocka_unit_test(test_kill_is_one_event),
		cmocka_unit_test(test_reset_of_one_to_be_killed),
		cmocka_unit_test(test_freeze_of_one_that_waits),
		cmocka_unit_test(test_roots_are_given_back),
		cmocka_unit_test(test_looks_in_vain),
		cmocka_unit_test(test_verdict),
		cmocka_unit_test(test_verdict_on_all),
		cmocka_unit_test(test_verdict_begins_anew),
		cmocka_unit_test(test_no_false_verdict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
