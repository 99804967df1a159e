/* SPDX-License-Identifier: BSD-2-Clause */
/* Freeze, clone, fork and reset of whole VMs, and their death in every order. */
#include "arch/csr.h"
#include "arch/time.h"
#include "vm/vector.h"
#include "vm_life.h"
#include <stdio.h>

#define VSIE_STIE BIT(5)

static void test_clone_takes_everything_over(void **state)
{
	struct vm *t, *c;
	struct vcpu *v;

	(void)state;
	fake_boot(1);
	t = fake_vm_run("linux", 2);
	v = t->vcpu[0];
	assert_ptr_equal(fake_pick(0), v);
	fake_time += 5000; /* guest time is 5000 */
	csr_write(vsie, VSIE_STIE);
	csr_write(vstimecmp, 5600);
	csr_write(vsstatus, 0x222);
	v->regs.x[7] = 0x777;
	v->units.fp.f[3] = 0x333;
	v->in_wfi = true;
	vcpu_hold(v, HOLD_READY | HOLD_WORK);
	fake_put_back(0, v);
	vcpu_raise(v, HVIP_VSSIP);
	store(t, RAM + 0x5000, 41);
	assert_int_equal(vm_freeze(t), ERR_OK);
	fake_time += 1UL << 40; /* long in the freezer */
	c = clone(t);
	assert_string_equal(c->name, "linux.1");
	assert_ptr_equal(c->template, t);
	assert_int_equal(c->clone_id, 1);
	assert_int_equal(c->state, VM_NEW);
	v = c->vcpu[0];
	assert_int_equal(v->regs.x[7], 0x777);
	assert_int_equal(v->units.fp.f[3], 0x333);
	assert_int_equal(v->csrs.vsstatus, 0x222);
	assert_int_equal(v->raise, HVIP_VSSIP);
	assert_int_equal(v->holds, HOLD_WORK | HOLD_PAUSED);
	assert_true(v->in_wfi);
	assert_int_equal(c->vcpu[1]->holds, HOLD_STOPPED | HOLD_PAUSED);
	assert_int_equal(c->vcpu[1]->hsm, HSM_STOPPED);
	assert_int_equal(load(c, RAM + 0x5000), 41);
	fake_time += 1000;
	assert_int_equal(vm_run(c), ERR_OK);
	/* Time goes on from the freeze, and the timer that was 600 ticks away still is. */
	assert_int_equal(vcpu_time(v), 5000);
	vcpu_unhold(v, HOLD_WORK);
	assert_int_equal(v->state, SCHED_ASLEEP);
	assert_int_equal(vcpu_wake_ticks(v), fake_time + 600);
	check_audit();
}

static void test_clone_keeps_its_timer_without_sstc(void **state)
{
	struct vm *t, *c;

	(void)state;
	fake_boot(1);
	machine.has_sstc = false;
	t = fake_vm_run("t", 1);
	assert_ptr_equal(fake_pick(0), t->vcpu[0]);
	vcpu_set_timer(t->vcpu[0], 700);
	fake_put_back(0, t->vcpu[0]);
	assert_int_equal(vm_freeze(t), ERR_OK);
	fake_time += 100000;
	c = clone(t);
	assert_int_equal(vm_run(c), ERR_OK);
	assert_int_equal(vcpu_wake_ticks(c->vcpu[0]), fake_time + 700);
}

static void test_clones_are_apart(void **state)
{
	struct vm *t, *a, *b;

	(void)state;
	fake_boot(1);
	t = fake_vm_run("t", 1);
	store(t, RAM + 0x9000, 1);
	assert_int_equal(vm_freeze(t), ERR_OK);
	a = clone(t);
	b = clone(t);
	assert_int_not_equal(a->generation, b->generation);
	assert_int_not_equal(a->clone_id, b->clone_id);
	assert_int_not_equal(a->id, b->id);
	store(a, RAM + 0x9000, 2);
	assert_int_equal(load(b, RAM + 0x9000), 1);
	assert_int_equal(load(t, RAM + 0x9000), 1);
	assert_int_equal(load(a, RAM + 0x9000), 2);
	check_audit();
}

static void test_fork_both_ways(void **state)
{
	struct vm *p, *c[3];

	(void)state;
	fake_boot(1);
	p = fake_vm_run("p", 1);
	for (u32 i = 0; i < 3; i++) {
		store(p, RAM + 0x8000, i);
		assert_int_equal(vm_fork(p, &c[i]), ERR_OK);
		assert_int_equal(p->state, VM_RUNNING);
		assert_int_equal(c[i]->state, VM_NEW);
		assert_null(c[i]->template);
		assert_int_equal(vm_reset(c[i]), ERR_STATE);
	}
	store(c[1], RAM + 0x8000, 100);
	assert_int_equal(load(c[0], RAM + 0x8000), 0);
	assert_int_equal(load(c[1], RAM + 0x8000), 100);
	assert_int_equal(load(c[2], RAM + 0x8000), 2);
	assert_int_equal(load(p, RAM + 0x8000), 2);
	assert_string_equal(c[2]->name, "p.3");
	check_audit();
}

static void test_reset(void **state)
{
	struct vm *t, *c;

	(void)state;
	fake_boot(1);
	t = fake_vm_run("t", 1);
	t->vcpu[0]->regs.x[5] = 1;
	store(t, RAM + 0x7000, 1);
	assert_int_equal(vm_freeze(t), ERR_OK);
	c = clone(t);
	assert_int_equal(vm_run(c), ERR_OK);
	assert_ptr_equal(fake_pick(0), c->vcpu[0]);
	c->vcpu[0]->regs.x[5] = 2;
	fake_put_back(0, c->vcpu[0]);
	store(c, RAM + 0x7000, 2);
	/* The template is killed meanwhile: its name is gone, the way back is not. */
	vm_kill(t);
	assert_null(vm_find("t"));
	assert_int_equal(vm_reset(c), ERR_OK);
	assert_int_equal(c->state, VM_RUNNING);
	assert_int_equal(c->vcpu[0]->regs.x[5], 1);
	assert_int_equal(load(c, RAM + 0x7000), 1);
	assert_ptr_equal(fake_pick(0), c->vcpu[0]);
	fake_put_back(0, c->vcpu[0]);
	vm_stop(c, "off");
	assert_int_equal(vm_reset(c), ERR_OK);
	assert_int_equal(c->state, VM_RUNNING);
	assert_null(c->off_reason);
	check_audit();
}

static void test_long_names(void **state)
{
	char long_name[VM_NAME_LEN];
	struct vm *vm;

	(void)state;
	fake_boot(1);
	memset(long_name, 'x', VM_NAME_LEN - 1);
	long_name[VM_NAME_LEN - 1] = 0;
	vm = template_of(long_name, 1);
	vm->number_len = 10;
	memcpy(vm->number, "4294967294", 10);
	vm = clone(vm);
	assert_int_equal(strlen(vm->name), VM_NAME_LEN - 1);
	assert_string_equal(vm->name + VM_NAME_LEN - 1 - 11, ".4294967295");
}

static void test_numbers_in_names(void **state)
{
	struct vm *t, *c;

	(void)state;
	fake_boot(1);
	t = template_of("t", 1);
	for (u32 i = 1; i <= 110; i++) {
		char name[VM_NAME_LEN];

		c = clone(t);
		snprintf(name, sizeof(name), "t.%u", i);
		assert_string_equal(c->name, name);
		assert_int_equal(c->name_len, strlen(name));
		assert_int_equal(c->clone_id, i);
		if (i != 99)
			vm_kill(c);
	}
	/* A namesake goes on where the clones that are left end. */
	vm_kill(t);
	t = template_of("t", 1);
	assert_string_equal(clone(t)->name, "t.100");
	assert_string_equal(clone(t)->name, "t.101");
}

/* ---- death ---- */

static void test_kill_in_every_order(void **state)
{
	static const u8 orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
		                         { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	u64 before;

	(void)state;
	fake_boot(1);
	before = free_frames();
	for (u32 i = 0; i < 6; i++) {
		struct vm *vm[3];

		vm[0] = template_of("t", 1);
		vm[1] = clone(vm[0]);
		store(vm[1], RAM + 0x3000, i);
		assert_int_equal(vm_freeze(vm[1]), ERR_OK);
		vm[2] = clone(vm[1]);
		store(vm[2], RAM + 0x4000, i);
		for (u32 k = 0; k < 3; k++) {
			vm_kill(vm[orders[i][k]]);
			check_audit();
		}
		assert_int_equal(vm_count(), 0);
		assert_int_equal(free_frames(), before);
	}
}

static void test_chain_of_a_thousand(void **state)
{
	enum { DEPTH = 1000 };
	struct vm *vm;
	u64 before;

	(void)state;
	fake_boot(1);
	before = free_frames();
	vm = template_of("t", 1);
	for (u32 i = 0; i < DEPTH; i++) {
		struct vm *child = clone(vm);

		store(child, RAM + 0x1000 + i % 64 * PAGE_SIZE, i);
		assert_int_equal(vm_freeze(child), ERR_OK);
		vm_kill(vm); /* lives on in its clone */
		vm = child;
	}
	assert_int_equal(load(vm, RAM + 0x1000 + (DEPTH - 1) % 64 * PAGE_SIZE), DEPTH - 1);
	assert_int_equal(vm_count(), 1);
	vm_kill(vm);
	assert_int_equal(free_frames(), before);
}

static void test_ten_thousand_lives(void **state)
{
	struct vm *t;
	u64 before;

	(void)state;
	fake_boot(1);
	t = template_of("t", 1);
	before = free_frames();
	for (u32 i = 0; i < 10000; i++) {
		struct vm *c = clone(t);

		assert_int_equal(vm_run(c), ERR_OK);
		vm_kill(c);
	}
	assert_int_equal(free_frames(), before);
}

static void boot_with_vector(u32 vlenb)
{
	fake_boot(1);
	machine.has_vector = vlenb != 0;
	machine.vlenb = vlenb;
	vector_init();
}

static void fill_vector(struct vcpu *v, u32 salt)
{
	v->units.vector.vstart = salt + 1;
	v->units.vector.vcsr = salt + 2;
	v->units.vector.vl = salt + 3;
	v->units.vector.vtype = salt + 4;
	for (u32 i = 0; i < GUEST_VECTOR_LEN; i++)
		v->units.vector.v[i] = (u8)(salt + i + i / 256);
}

static void check_vector(const struct vcpu *v, u32 salt)
{
	assert_int_equal(v->units.vector.vstart, salt + 1);
	assert_int_equal(v->units.vector.vcsr, salt + 2);
	assert_int_equal(v->units.vector.vl, salt + 3);
	assert_int_equal(v->units.vector.vtype, salt + 4);
	for (u32 i = 0; i < GUEST_VECTOR_LEN; i++)
		assert_int_equal(v->units.vector.v[i], (u8)(salt + i + i / 256));
}

/* Each vCPU has registers of its own, wherever they fit, and a child starts with its parent's. */
static void vector_state(u32 vlenb)
{
	struct vm *t, *c;
	u64 before;

	boot_with_vector(vlenb);
	before = free_frames();
	t = fake_vm_run("t", 3);
	for (u32 i = 0; i < 3; i++)
		fill_vector(t->vcpu[i], 40 * i);
	assert_int_equal(vm_fork(t, &c), ERR_OK);
	vm_kill(c);
	assert_int_equal(vm_freeze(t), ERR_OK);
	c = clone(t);
	for (u32 i = 0; i < 3; i++)
		check_vector(c->vcpu[i], 40 * i);
	for (u32 i = 0; i < 3; i++)
		fill_vector(c->vcpu[i], 200 + i);
	for (u32 i = 0; i < 3; i++)
		check_vector(t->vcpu[i], 40 * i);
	assert_int_equal(vm_reset(c), ERR_OK);
	for (u32 i = 0; i < 3; i++)
		check_vector(c->vcpu[i], 40 * i);
	vcpu_start_at(c->vcpu[1], 0, 0);
	assert_int_equal(c->vcpu[1]->units.vector.v[GUEST_VECTOR_LEN - 1], 0);
	check_vector(c->vcpu[0], 0);
	check_vector(c->vcpu[2], 80);
	vm_kill(c);
	vm_kill(t);
	assert_int_equal(free_frames(), before);
}

static void test_vector_state(void **state)
{
	(void)state;
	vector_state(16);
	vector_state(64);
	vector_state(128);
}

/* With VLEN 128 seven vCPUs' registers share a frame. */
static void test_vector_state_is_small(void **state)
{
	enum { N = 14 };
	struct vm *t;
	u64 before;

	(void)state;
	boot_with_vector(16);
	t = template_of("t", 1);
	before = free_frames();
	for (u32 i = 0; i < N; i++)
		(void)clone(t);
	assert_in_range(before - free_frames(), N, N + 2);
}

/* Whatever allocation fails, nothing is left behind, and it works once there is memory again. */
static void every_allocation_may_fail(u32 vlenb, void (*fail_at)(u64))
{
	static const u8 kernel[64];
	struct vm_config c = { .name = "f",
		               .ram_len = 4UL << 20,
		               .n_vcpus = 4,
		               .kernel = kernel,
		               .kernel_len = sizeof(kernel) };
	const char *why;
	struct vm *t, *vm = NULL;
	u64 before;
	enum err e = ERR_NOMEM;

	boot_with_vector(vlenb);
	t = template_of("t", 8);
	before = free_frames();
	for (u64 n = 1; e != ERR_OK && n < 200; n++) {
		settle_memory();
		fail_at(n);
		e = vm_create(&c, &vm, &why);
		frame_fail_after(0);
		assert_true(e == ERR_OK || e == ERR_NOMEM);
		if (e != ERR_OK)
			assert_int_equal(free_frames(), before);
	}
	assert_int_equal(e, ERR_OK);
	vm_kill(vm);
	e = ERR_NOMEM;
	for (u64 n = 1; e != ERR_OK && n < 200; n++) {
		settle_memory();
		fail_at(n);
		e = vm_clone(t, &vm);
		frame_fail_after(0);
		assert_true(e == ERR_OK || e == ERR_NOMEM);
		if (e != ERR_OK)
			assert_int_equal(free_frames(), before);
	}
	assert_int_equal(e, ERR_OK);
	vm_kill(vm);
	assert_int_equal(free_frames(), before);
	check_audit();
}

static void test_every_allocation_may_fail(void **state)
{
	(void)state;
	for (u32 vlenb = 0; vlenb <= 128; vlenb += 16) {
		every_allocation_may_fail(vlenb, frame_fail_after);
		every_allocation_may_fail(vlenb, frame_fail_from);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clone_takes_everything_over),
		cmocka_unit_test(test_clone_keeps_its_timer_without_sstc),
		cmocka_unit_test(test_clones_are_apart),
		cmocka_unit_test(test_fork_both_ways),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_numbers_in_names),
		cmocka_unit_test(test_kill_in_every_order),
		cmocka_unit_test(test_chain_of_a_thousand),
		cmocka_unit_test(test_ten_thousand_lives),
		cmocka_unit_test(test_vector_state),
		cmocka_unit_test(test_vector_state_is_small),
		cmocka_unit_test(test_every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
