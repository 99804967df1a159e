/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who a clone is: a generation id of its own, the interrupt that says so, the gate
 * that keeps siblings back until it has been served, and random words.
 */
#include "arch/csr.h"
#include "arch/time.h"
#include "dev/dev.h"
#include "dev/mailbox.h"
#include "dev/plic.h"
#include "vm/gate.h"
#include "vm_life.h"

#define ID           0x04001000UL
#define ENTROPY      (0x04000000UL + MAILBOX_REG_ENTROPY)
#define IRQ          64UL
#define PLIC         0x0c000000UL
#define PRIORITY     (PLIC + 4 * IRQ)
#define ENABLE(vcpu) (PLIC + 0x2000 + 0x80 * (2 * (vcpu) + 1) + IRQ / 32 * 4)
#define CLAIM(vcpu)  (PLIC + 0x200004 + 0x1000 * (2UL * (vcpu) + 1))
#define VSIE_SEIE    BIT(9)
#define GATE_TICKS   (GATE_NS / 100)
#define LOOK_TICKS   (GATE_LOOK_NS / 100)
#define N_IDS        300U

struct id {
	u64 low, high;
};

static u64 get(struct vcpu *v, u64 gpa, u32 len)
{
	u64 value = 0;

	assert_int_equal(device_access(v, GPA(gpa), len, false, &value), MMIO_OK);
	return value;
}

static void put(struct vcpu *v, u64 gpa, u64 value)
{
	assert_int_equal(device_access(v, GPA(gpa), 4, true, &value), MMIO_OK);
}

static struct id id_of(struct vm *vm)
{
	return (struct id){ get(vm->vcpu[0], ID, 8), get(vm->vcpu[0], ID + 8, 8) };
}

static struct vm *running(struct vm *vm)
{
	assert_int_equal(vm_run(vm), ERR_OK);
	return vm;
}

/* A running VM whose vCPUs are all started, and whose driver takes the interrupt on vCPU `taker`. */
static struct vm *driven(const char *name, u32 n_vcpus, u32 taker)
{
	struct vm *vm = fake_vm_run(name, n_vcpus);

	for (u32 i = 0; i < n_vcpus; i++) {
		vm->vcpu[i]->csrs.vsie = VSIE_SEIE;
		atomic_store(&vm->vcpu[i]->hsm, HSM_STARTED);
		vcpu_unhold(vm->vcpu[i], HOLD_STOPPED);
	}
	put(vm->vcpu[0], PRIORITY, 1);
	put(vm->vcpu[0], ENABLE(taker), 1);
	return vm;
}

static struct vm *driven_template(u32 n_vcpus, u32 taker)
{
	struct vm *vm = driven("t", n_vcpus, taker);

	assert_int_equal(vm_freeze(vm), ERR_OK);
	return vm;
}

static void serve(struct vcpu *v)
{
	u64 irq = get(v, CLAIM(v->id), 4);

	assert_int_equal(irq, IRQ);
	put(v, CLAIM(v->id), irq);
}

static bool is_gated(struct vm *vm, u32 i)
{
	return (atomic_load(&vm->vcpu[i]->holds) & HOLD_GATE) != 0;
}

/* ---- the id ---- */

static void test_ids_differ(void **state)
{
	static struct id ids[N_IDS];
	struct vm *t, *vm, *child;

	(void)state;
	fake_boot(1);
	t = fake_vm_run("t", 1);
	assert_int_equal(vm_fork(t, &vm), ERR_OK);
	ids[0] = id_of(t);
	ids[1] = id_of(vm);
	assert_int_equal(vm_freeze(t), ERR_OK);
	for (u32 n = 2; n + 3 <= N_IDS; n += 3) {
		vm_kill(vm);
		vm = running(clone(t));
		ids[n] = id_of(vm);
		assert_int_equal(vm_reset(vm), ERR_OK);
		ids[n + 1] = id_of(vm);
		assert_int_equal(vm_fork(vm, &child), ERR_OK);
		ids[n + 2] = id_of(child);
		vm_kill(child);
		/* A parent stays who it is. */
		assert_int_equal(id_of(vm).low, ids[n + 1].low);
	}
	for (u32 i = 0; i < N_IDS; i++)
		for (u32 k = 0; k < i; k++)
			assert_true(ids[i].low != ids[k].low && ids[i].high != ids[k].high);
}

static void test_every_width(void **state)
{
	struct vm *vm;
	struct id id;
	u64 value = 0;
	u8 bytes[16];

	(void)state;
	fake_boot(1);
	vm = fake_vm_run("vm", 1);
	id = id_of(vm);
	memcpy(bytes, &id, 16);
	for (u32 len = 1; len <= 8; len *= 2) {
		for (u32 at = 0; at + len <= 16; at++) {
			u64 expected = 0;

			memcpy(&expected, bytes + at, len);
			assert_int_equal(get(vm->vcpu[0], ID + at, len), expected);
		}
	}
	assert_int_equal(device_access(vm->vcpu[0], GPA(ID + 16), 1, false, &value), MMIO_FAULT);
	assert_int_equal(device_access(vm->vcpu[0], GPA(ID + 12), 8, false, &value), MMIO_FAULT);
	put(vm->vcpu[0], ID, 0);
	assert_int_equal(get(vm->vcpu[0], ID, 8), id.low);
}

/* The words that a template has drawn and not used are in no clone, nor do two clones get the same. */
static void test_random_words_differ(void **state)
{
	enum { N_VMS = 5, N_WORDS = 20 };
	static u32 words[N_VMS][N_WORDS];
	struct vm *t, *vm[N_VMS];

	(void)state;
	fake_boot(1);
	t = fake_vm_run("t", 1);
	get(t->vcpu[0], ENTROPY, 4);
	assert_int_equal(vm_fork(t, &vm[0]), ERR_OK);
	vm[1] = t;
	for (u32 w = 0; w < N_WORDS / 2; w++)
		words[1][w] = (u32)get(t->vcpu[0], ENTROPY, 4);
	assert_int_equal(vm_freeze(t), ERR_OK);
	vm[2] = clone(t);
	vm[3] = vm[4] = clone(t);
	for (u32 i = 0; i < N_VMS; i++) {
		if (i == 4)
			assert_int_equal(vm_reset(vm[4]), ERR_OK);
		for (u32 w = i == 1 ? N_WORDS / 2 : 0; w < N_WORDS; w++)
			words[i][w] = (u32)get(vm[i]->vcpu[0], ENTROPY, 4);
	}
	for (u32 a = 0; a < N_VMS * N_WORDS; a++)
		for (u32 b = 0; b < a; b++)
			assert_int_not_equal(((u32 *)words)[a], ((u32 *)words)[b]);
}

/* ---- the interrupt ---- */

static void test_interrupt(void **state)
{
	struct vm *t, *c;
	struct vcpu *v;

	(void)state;
	fake_boot(1);
	t = driven_template(1, 0);
	assert_false(device_ops->ext_pending(t, 0));
	c = running(clone(t));
	v = c->vcpu[0];
	/* It is there at the door of the first entry; nobody waits for it with one vCPU. */
	assert_ptr_equal(fake_pick(0), v);
	assert_true(vcpu_door(v));
	assert_true(csr_read(hvip) & HVIP_VSEIP);
	assert_null(c->gate.leader);
	assert_int_equal(get(v, CLAIM(0), 4), IRQ);
	assert_false(device_ops->ext_pending(c, 0));
	put(v, CLAIM(0), IRQ);
	/* Once. */
	assert_false(device_ops->ext_pending(c, 0));
	assert_int_equal(get(v, CLAIM(0), 4), 0);
	fake_put_back(0, v);
}

static void test_no_driver_no_interrupt(void **state)
{
	struct vm *t, *c;

	(void)state;
	fake_boot(1);
	t = driven("t", 2, 0);
	put(t->vcpu[0], ENABLE(0), 0);
	assert_int_equal(vm_freeze(t), ERR_OK);
	c = running(clone(t));
	assert_false(is_gated(c, 0) || is_gated(c, 1));
	put(c->vcpu[0], ENABLE(0), 1);
	assert_false(device_ops->ext_pending(c, 0));
}

/* Frozen while the handler of the last change runs: it may have read half of the old id. */
static void test_frozen_in_the_handler(void **state)
{
	struct vm *t, *c;

	(void)state;
	fake_boot(1);
	t = running(clone(driven_template(2, 0)));
	assert_int_equal(get(t->vcpu[0], CLAIM(0), 4), IRQ);
	assert_int_equal(vm_freeze(t), ERR_OK);
	c = running(clone(t));
	assert_false(device_ops->ext_pending(c, 0));
	assert_true(is_gated(c, 1));
	put(c->vcpu[0], CLAIM(0), IRQ);
	assert_true(device_ops->ext_pending(c, 0) && is_gated(c, 1));
	serve(c->vcpu[0]);
	assert_false(device_ops->ext_pending(c, 0) || is_gated(c, 1));
}

/* ---- the gate ---- */

static void test_gate(void **state)
{
	struct vm *t, *c;

	(void)state;
	fake_boot(1);
	t = driven_template(3, 1);
	c = running(clone(t));
	assert_true(is_gated(c, 0) && !is_gated(c, 1) && is_gated(c, 2));
	assert_ptr_equal(fake_pick(0), c->vcpu[1]);
	assert_null(sched_pick());
	/* Whatever siblings are sent, they wait. */
	vcpu_raise(c->vcpu[0], HVIP_VSSIP);
	assert_null(sched_pick());
	assert_int_equal(get(c->vcpu[1], CLAIM(1), 4), IRQ);
	assert_true(is_gated(c, 0));
	put(c->vcpu[1], CLAIM(1), IRQ);
	assert_false(is_gated(c, 0) || is_gated(c, 2));
	fake_put_back(0, c->vcpu[1]);
	for (u32 i = 0; i < 3; i++)
		assert_int_equal(c->vcpu[i]->state, SCHED_QUEUED);
}

static void test_leader_can_take_it(void **state)
{
	struct vm *t, *c;

	(void)state;
	fake_boot(1);
	/* Enabled on all, but the first is stopped, and the second takes no external interrupts. */
	t = driven("t", 3, 0);
	put(t->vcpu[0], ENABLE(1), 1);
	put(t->vcpu[0], ENABLE(2), 1);
	vcpu_hold(t->vcpu[0], HOLD_STOPPED);
	t->vcpu[1]->csrs.vsie = 0;
	vcpu_hold(t->vcpu[2], HOLD_WORK);
	assert_int_equal(vm_freeze(t), ERR_OK);
	c = running(clone(t));
	assert_ptr_equal(c->gate.leader, c->vcpu[2]);
	/* Parked in NEXT it would never come to it. */
	assert_int_equal(c->vcpu[2]->holds, 0);
	assert_int_equal(c->vcpu[0]->holds, HOLD_STOPPED | HOLD_GATE);
	/* Nobody can: nobody waits. */
	t = driven("u", 2, 0);
	vcpu_hold(t->vcpu[0], HOLD_STOPPED);
	assert_int_equal(vm_freeze(t), ERR_OK);
	c = running(clone(t));
	assert_false(is_gated(c, 0) || is_gated(c, 1));
	/* Masked by its priority: nobody waits either, and it comes when it is unmasked. */
	t = driven("v", 2, 0);
	put(t->vcpu[0], PRIORITY, 0);
	assert_int_equal(vm_freeze(t), ERR_OK);
	c = running(clone(t));
	assert_false(is_gated(c, 1));
	put(c->vcpu[0], PRIORITY, 1);
	serve(c->vcpu[0]);
}

/* The hart loop's part: the leader is about to enter for the first time. */
static struct vcpu *first_turn(u32 h)
{
	struct vcpu *v = fake_pick(h);

	fake_hart = h;
	gate_start(v->vm);
	fake_hart = 0;
	return v;
}

static void run_timers(u32 h)
{
	fake_hart = h;
	sched_timer(NULL, TIME_NEVER);
	fake_hart = 0;
}

static void test_wait_is_bounded(void **state)
{
	struct vm *c;
	struct vcpu *v;
	u32 home;

	(void)state;
	fake_boot(2);
	c = running(clone(driven_template(2, 0)));
	c->vcpu[0]->guest_ticks = 3 * GATE_TICKS; /* of a life before a reset */
	home = c->vcpu[1]->home;
	/* As long as the leader's turn has not come, there is nothing to time. */
	fake_time += 100 * GATE_TICKS;
	run_timers(home);
	assert_int_equal(fake_timer[home], TIME_NEVER);
	assert_true(is_gated(c, 1));
	v = first_turn(c->vcpu[0]->home);
	assert_ptr_equal(v, c->vcpu[0]);
	/* On a crowded machine it gets little of the time that passes. */
	for (u32 i = 0; i < 5; i++) {
		run_timers(home);
		assert_int_equal(fake_timer[home], fake_time + LOOK_TICKS);
		fake_time += GATE_TICKS;
		v->guest_ticks += GATE_TICKS / 6;
		fake_n_kicks[v->home] = 0;
		run_timers(home);
		assert_true(is_gated(c, 1));
		assert_int_equal(fake_n_kicks[v->home], 1);
	}
	v->guest_ticks += GATE_TICKS / 6 + 6;
	fake_time += GATE_TICKS;
	run_timers(home);
	assert_int_equal(c->vcpu[1]->holds, 0);
	assert_int_equal(c->vcpu[1]->state, SCHED_QUEUED);
	fake_put_back(v->home, v);
}

/* A leader that goes to sleep without the interrupt would keep its siblings for ever. */
static void test_leader_sleeps(void **state)
{
	struct vm *c;
	struct vcpu *v;

	(void)state;
	fake_boot(1);
	c = running(clone(driven_template(2, 0)));
	c->vcpu[1]->in_wfi = true;
	atomic_store(&c->vcpu[1]->requests, 0);
	v = first_turn(0);
	csr_write(vsie, 0);
	v->in_wfi = true;
	fake_put_back(0, v);
	assert_int_equal(v->state, SCHED_ASLEEP);
	run_timers(0);
	assert_true(is_gated(c, 1));
	/* The sibling has a timer of its own by then, in its WFI. */
	c->vcpu[1]->csrs.vstimecmp = vcpu_time(v) + 3 * GATE_TICKS;
	c->vcpu[1]->csrs.vsie = HVIP_VSTIP >> 1;
	fake_time += GATE_TICKS;
	run_timers(0);
	assert_false(is_gated(c, 1));
	assert_int_equal(c->vcpu[1]->state, SCHED_ASLEEP);
	assert_int_equal(fake_timer[0], fake_time + 2 * GATE_TICKS);
}

/* What else may happen to a VM whose gate is closed. */
static void test_gate_and_pauses(void **state)
{
	struct vm *c, *child;

	(void)state;
	fake_boot(1);
	c = running(clone(driven_template(2, 0)));
	fake_put_back(0, first_turn(0));
	vm_pause(c);
	fake_time += 10 * GATE_TICKS;
	run_timers(0);
	/* Asleep, both of them; but that is the pause. */
	assert_true(is_gated(c, 1));
	assert_int_equal(vm_run(c), ERR_OK);
	run_timers(0);
	assert_true(is_gated(c, 1));
	assert_int_equal(vm_fork(c, &child), ERR_OK);
	assert_true(is_gated(c, 1) && is_gated(child, 1));
	running(child);
	serve(c->vcpu[0]);
	assert_true(!is_gated(c, 1) && is_gated(child, 1));
	assert_int_equal(vm_reset(c), ERR_OK);
	assert_true(is_gated(c, 1));
	serve(c->vcpu[0]);
	assert_false(is_gated(c, 1));
	/* A template is never gated, whatever it was when it was frozen. */
	assert_int_equal(vm_freeze(child), ERR_OK);
	vm_kill(c);
	c = running(clone(child));
	assert_true(is_gated(c, 1));
	vm_stop(c, "off");
	vm_kill(c);
	vm_kill(child);
	fake_time += 10 * GATE_TICKS;
	run_timers(0);
	check_audit();
}

static void timers_in_between(const struct spinlock *l)
{
	static bool is_nested;

	if (lock_rank(l) != LOCK_RUNQ || is_nested)
		return;
	is_nested = true;
	run_timers(0);
	is_nested = false;
}

/* The sibling is woken from a long pause before the leader, and its timer is looked at in between. */
static void test_gate_and_the_order_of_waking(void **state)
{
	struct vm *c;

	(void)state;
	fake_boot(1);
	c = running(clone(driven_template(2, 1)));
	fake_put_back(0, first_turn(0));
	vm_pause(c);
	fake_time += 10 * GATE_TICKS;
	fake_on_release = timers_in_between;
	running(c);
	fake_on_release = NULL;
	assert_true(is_gated(c, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids_differ),
		cmocka_unit_test(test_every_width),
		cmocka_unit_test(test_random_words_differ),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_no_driver_no_interrupt),
		cmocka_unit_test(test_frozen_in_the_handler),
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_leader_can_take_it),
		cmocka_unit_test(test_wait_is_bounded),
		cmocka_unit_test(test_leader_sleeps),
		cmocka_unit_test(test_gate_and_pauses),
		cmocka_unit_test(test_gate_and_the_order_of_waking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
