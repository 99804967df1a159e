/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory=reserve: who is admitted never runs out, who does not fit is refused with figures. And every operation
 * on a whole VM with a failure at its n-th allocation, for every n.
 */
#include "mm_unit.h"
#include "vm/admission.h"
#include "vm_life.h"

#define N_PAGES (6UL << 20 >> PAGE_SHIFT) /* 4 MiB, and the window */

static void start(void)
{
	fake_boot(2);
}

/* Other VMs, not reserved, write what they can.  Room for the record of one VM is left. */
static void eat(void)
{
	struct vm *t = template_of("eater", 1), *spare = clone(t), *c;
	u32 value = 1;

	while (vm_clone(t, &c) == ERR_OK)
		for (u64 n = 0; n < N_PAGES; n++)
			if (copy_to_guest(&c->space, GPA(RAM + n * PAGE_SIZE), &value, 4) != ERR_OK)
				break;
	vm_kill(spare);
}

static bool is_eaters(struct vm *vm, void *arg)
{
	(void)arg;
	if (strncmp(vm->name, "eater", 5) == 0)
		vm_kill(vm);
	return true;
}

static void uneat(void)
{
	vm_for_each(is_eaters, NULL);
	settle_memory();
}

static void write_all(struct vm *vm, u32 value)
{
	for (u64 n = 0; n < N_PAGES; n++)
		store(vm, RAM + n * PAGE_SIZE, value + (u32)n);
	for (u64 n = 0; n < N_PAGES; n++)
		assert_int_equal(load(vm, RAM + n * PAGE_SIZE), value + (u32)n);
}

static void set_memory(struct vm *vm, u8 memory)
{
	struct vm_policy p = vm->policy;

	p.memory = memory;
	assert_int_equal(admission_set_policy(vm, &p), ERR_OK);
}

static bool kill_each(struct vm *vm, void *arg)
{
	(void)arg;
	vm_kill(vm);
	return true;
}

/* As many clones as fit, and each of them can write all it has beside VMs that eat the machine. */
static void test_clones(void **state)
{
	struct vm *t, *c[64], *none = NULL;
	u32 n = 0;

	(void)state;
	start();
	t = template_of("vm", 1);
	set_memory(t, MEMORY_RESERVE);
	assert_int_equal(frame_n_promised(), 0);
	while (vm_clone(t, &c[n]) == ERR_OK) {
		assert_int_equal(c[n]->policy.memory, MEMORY_RESERVE);
		n++;
		assert_in_range(n, 1, 63);
	}
	assert_true(n >= 2);
	assert_int_equal(vm_clone(t, &none), ERR_RESERVE);
	assert_non_null(strstr(admission_why(), "reserve: wants 6.0 MiB, "));
	assert_null(none);
	check_audit();
	eat();
	for (u32 i = 0; i < n; i++)
		write_all(c[i], i * 10000);
	check_audit();
	uneat();
	vm_kill(c[0]); /* makes room for one */
	settle_memory();
	assert_int_equal(vm_clone(t, &c[0]), ERR_OK);
	vm_for_each(kill_each, NULL);
	settle_memory();
	assert_int_equal(frame_n_promised(), 0);
	check_audit();
}

static void test_create(void **state)
{
	static const u32 kernel[] = { 0x10500073 };
	struct vm_config c = { .name = "vm", .n_vcpus = 1, .kernel = kernel, .kernel_len = 4 };
	const char *why = NULL;
	struct vm *vm = NULL;

	(void)state;
	start();
	c.policy.memory = MEMORY_RESERVE;
	c.ram_len = 1UL << 30;
	assert_int_equal(vm_create(&c, &vm, &why), ERR_RESERVE);
	assert_non_null(strstr(why, "reserve: wants 1028.0 MiB, "));
	c.ram_len = 4UL << 20;
	assert_int_equal(vm_create(&c, &vm, &why), ERR_OK);
	check_audit();
	eat();
	write_all(vm, 5);
	check_audit();
	uneat();
	vm_kill(vm);
}

/* A fork and a reset want the promise anew; a refused one leaves all as it was, and running. */
static void test_fork_and_reset(void **state)
{
	struct vm *vm = NULL, *child = NULL, *t;

	(void)state;
	start();
	vm = fake_vm_run("vm", 1);
	set_memory(vm, MEMORY_RESERVE);
	write_all(vm, 1);
	assert_int_equal(vm_fork(vm, &child), ERR_OK);
	assert_int_equal(child->policy.memory, MEMORY_RESERVE);
	assert_non_null(child->console.ring);
	eat();
	write_all(vm, 2);
	write_all(child, 3);
	assert_int_equal(vm_fork(vm, &child), ERR_RESERVE);
	assert_non_null(strstr(admission_why(), "reserve: wants 12.0 MiB, 0.0 MiB left"));
	assert_int_equal(vm->state, VM_RUNNING);
	check_audit();
	uneat();
	t = template_of("t", 1);
	set_memory(t, MEMORY_RESERVE);
	vm_kill(vm);
	vm = clone(t);
	assert_int_equal(vm_run(vm), ERR_OK);
	write_all(vm, 4);
	eat();
	assert_int_equal(vm_reset(vm), ERR_RESERVE);
	assert_int_equal(vm->state, VM_RUNNING);
	assert_int_equal(load(vm, RAM + PAGE_SIZE), 5);
	uneat();
	assert_int_equal(vm_reset(vm), ERR_OK);
	eat();
	write_all(vm, 6);
	uneat();
	vm_for_each(kill_each, NULL);
	settle_memory();
	assert_int_equal(frame_n_promised(), 0);
}

/* Without a page for the child's console there is no child; one that is not reserved gets it when it says something. */
static void test_fork_without_a_ring(void **state)
{
	struct vm *vm, *child;

	(void)state;
	start();
	vm = fake_vm_run("vm", 1);
	assert_int_equal(vm_fork(vm, &child), ERR_OK);
	assert_null(child->console.ring);
	set_memory(vm, MEMORY_RESERVE);
	for (u64 n = 1; vm_count() == 2; n++) {
		enum err e;

		frame_fail_after(n);
		e = vm_fork(vm, &child);
		frame_fail_after(0);
		assert_int_equal(vm->state, VM_RUNNING);
		if (e == ERR_OK)
			assert_non_null(child->console.ring);
		check_audit();
	}
	vm_for_each(kill_each, NULL);
	settle_memory();
	assert_int_equal(frame_n_promised(), 0);
}

/* A VM that lives already; and one that has no use for the promise any more. */
static void test_policy(void **state)
{
	struct vm *vm;

	(void)state;
	start();
	vm = fake_vm_run("vm", 1);
	write_all(vm, 1);
	assert_true(vm_console_prepare(vm));
	eat();
	set_memory(vm, MEMORY_RESERVE); /* it has all it can ever need */
	uneat();
	assert_int_equal(vm_freeze(vm), ERR_OK);
	assert_int_equal(vm->policy.memory, MEMORY_RESERVE);
	vm_kill(vm);
	vm = fake_vm_run("vm", 1);
	eat();
	assert_int_equal(admission_set_policy(vm, &(struct vm_policy){ .memory = MEMORY_RESERVE,
	                                                               .time = TIME_JUMP }),
	                 ERR_RESERVE);
	assert_int_equal(vm->policy.memory, MEMORY_OVERCOMMIT);
	assert_int_equal(vm->policy.time, TIME_CONTINUE);
	uneat();
	set_memory(vm, MEMORY_RESERVE);
	assert_true(frame_n_promised() > 0);
	set_memory(vm, MEMORY_OVERCOMMIT);
	assert_int_equal(frame_n_promised(), 0);
	vm_kill(vm);
}

/* ---- failures ---- */

enum op { OP_CREATE, OP_CLONE, OP_FORK, OP_RESET, OP_FREEZE, OP_KILL, OP_RESERVE, N_OPS };

static enum err run_op(enum op op, struct vm *t, struct vm *vm, struct vm **out, u8 memory)
{
	static const u32 kernel[] = { 0x10500073 };
	struct vm_config c = { .name = "new", .n_vcpus = 2, .ram_len = 4UL << 20 };
	struct vm_policy p = { .memory = MEMORY_RESERVE };
	const char *why;

	switch (op) {
	case OP_CREATE:
		c.kernel = kernel;
		c.kernel_len = sizeof(kernel);
		c.policy.memory = memory;
		return vm_create(&c, out, &why);
	case OP_CLONE: return vm_clone(t, out);
	case OP_FORK: return vm_fork(vm, out);
	case OP_RESET: return vm_reset(vm);
	case OP_FREEZE: return vm_freeze(vm);
	case OP_KILL: vm_kill(vm); return ERR_OK;
	case OP_RESERVE: return admission_set_policy(vm, &p);
	case N_OPS: break;
	}
	return ERR_OK;
}

/* True: the n-th allocation was one too many, and the operation has failed. */
static bool fails_at(enum op op, u8 memory, u64 n, void (*fail_at)(u64))
{
	struct vm *t, *vm, *out = NULL;
	u64 n_free = free_frames();
	enum err e;
	bool failed;

	t = template_of("t", 2);
	set_memory(t, memory);
	vm = clone(t);
	assert_int_equal(vm_run(vm), ERR_OK);
	for (u32 k = 0; k < 20; k++)
		store(vm, RAM + k * 40 * PAGE_SIZE, k + 7);
	settle_memory();
	fail_at(n);
	e = run_op(op, t, vm, &out, memory);
	frame_fail_after(0);
	failed = e != ERR_OK;
	assert_true(e == ERR_OK || e == ERR_NOMEM || e == ERR_RESERVE);
	check_audit();
	if (failed) {
		assert_null(out);
		assert_int_equal(vm->state, VM_RUNNING);
		assert_int_equal(vm->policy.memory, memory);
		for (u32 k = 0; k < 20; k++)
			assert_int_equal(load(vm, RAM + k * 40 * PAGE_SIZE), k + 7);
		assert_int_equal(run_op(op, t, vm, &out, memory), ERR_OK); /* all is as it was */
		check_audit();
	}
	vm_for_each(kill_each, NULL);
	settle_memory();
	assert_int_equal(frame_n_promised(), 0);
	assert_int_equal(free_frames(), n_free);
	return failed;
}

static void test_every_failure(void **state)
{
	(void)state;
	start();
	for (u32 op = 0; op < N_OPS; op++) {
		for (u8 memory = 0; memory <= MEMORY_RESERVE; memory++) {
			u64 n = 1;

			while (fails_at(op, memory, n, frame_fail_from)) {
				n++;
				assert_in_range(n, 1, 2000);
			}
			for (u64 k = 1; k <= n; k++)
				(void)fails_at(op, memory, k, frame_fail_after);
			if (op == OP_CREATE || op == OP_CLONE || op == OP_FORK)
				assert_true(n > 1);
		}
	}
}

static struct vm *reserved;
static u32 n_sought_in_pause;

static void note_search(const struct spinlock *l)
{
	n_sought_in_pause += l->rank_bit == BIT(LOCK_SPACES) && lock_is_held(&reserved->lock);
}

/* Memory is sought before the VM stands still for its fork or its reset. */
static void test_sought_before_the_pause(void **state)
{
	struct vm *t, *c, *brother;

	(void)state;
	start();
	t = template_of("vm", 1);
	reserved = clone(t);
	brother = clone(t);
	set_memory(reserved, MEMORY_RESERVE);
	assert_int_equal(vm_run(reserved), ERR_OK);
	write_all(reserved, 100);
	write_all(brother, 200);
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	vm_kill(brother);
	fake_on_release = note_search;
	n_sought_in_pause = 0;
	assert_int_equal(vm_reset(reserved), ERR_OK); /* out of what its brother had */
	write_all(reserved, 300);
	assert_int_equal(vm_fork(reserved, &c), ERR_RESERVE);
	fake_on_release = NULL;
	assert_int_equal(n_sought_in_pause, 0);
	assert_int_equal(reserved->state, VM_RUNNING);
	mm_uneat();
	check_audit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clones),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_fork_and_reset),
		cmocka_unit_test(test_fork_without_a_ring),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_every_failure),
		cmocka_unit_test(test_sought_before_the_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
