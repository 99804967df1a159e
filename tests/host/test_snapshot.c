/* SPDX-License-Identifier: BSD-2-Clause */
/* A template becomes a file and a template again; and what a file that is none can do: nothing. */
#include "arch/csr.h"
#include "arch/time.h"
#include "mm_unit.h"
#include "vm/device.h"
#include "snapshot_unit.h"

static char why[160];

static struct vm *load_good(const char *name, struct file f)
{
	struct vm *vm = NULL;

	if (snapshot_load_file(name, f, &vm, why) != ERR_OK)
		fail_msg("%s", why);
	return vm;
}

static enum err load_it(const char *name, struct file f)
{
	struct vm *vm = NULL;

	return snapshot_load_file(name, f, &vm, why);
}

static void test_round_trip(void **state)
{
	static const u32 vlenb[] = { 0, 16, 64, 128 };
	u32 n = getenv("PANDO_SOAK") != NULL ? 1000 : 24;

	(void)state;
	fake_seed(1);
	for (u32 i = 0; i < n; i++) {
		struct vm *t, *loaded;
		struct file f, again;

		snapshot_machine_with(vlenb[i % ARRAY_LEN(vlenb)]);
		t = snapshot_random_template(1 + i % VM_MAX_VCPUS, i % 100 * 8);
		f = snapshot_file_of(t);
		loaded = load_good("loaded", f);
		snapshot_compare(t, loaded);
		assert_string_equal(loaded->name, "loaded");
		check_audit();
		/* As a file, they are equal but for the name. */
		again = snapshot_file_of(loaded);
		assert_int_equal(again.len, f.len);
		memcpy(((struct snapshot_header *)again.bytes)->name,
		       ((struct snapshot_header *)f.bytes)->name, VM_NAME_LEN);
		snapshot_mend(again);
		assert_memory_equal(again.bytes, f.bytes, f.len);
		free(f.bytes);
		free(again.bytes);
	}
}

static u64 sum_breaks(const struct vm *vm)
{
	u64 n = 0;

	for (u32 i = 0; i < BREAK_N_CLASSES; i++)
		n = n * 8 + vm->space.breaks[i];
	return n;
}

/* A store to a page that the template wrote, to one of its kernel's block, to one that it only read, to one of none. */
static void write_around(struct vm *vm)
{
	store(vm, RAM, 1);
	store(vm, RAM + BLOCK_SIZE + PAGE_SIZE, 1);
	store(vm, RAM + BLOCK_SIZE + 2 * PAGE_SIZE, 1);
	store(vm, RAM + BLOCK_SIZE + 3 * PAGE_SIZE, 1);
	assert_int_equal(load(vm, RAM + BLOCK_SIZE + PAGE_SIZE), 1);
}

/* Clones of it take the same steps as clones of what was saved. */
static void test_clones(void **state)
{
	struct vm *t, *loaded, *a, *b;
	struct file f;

	(void)state;
	snapshot_machine_with(0);
	t = fake_vm_run("t", 2);
	store(t, RAM + BLOCK_SIZE + PAGE_SIZE, 7);
	assert_int_equal(space_fault(&t->space, GPA(RAM + BLOCK_SIZE + 2 * PAGE_SIZE), ACCESS_READ),
	                 ERR_OK);
	assert_ptr_equal(fake_pick(0), t->vcpu[0]);
	fake_time += 5000;
	fake_put_back(0, t->vcpu[0]);
	t->generation = 1000000; /* of an earlier run of Pando */
	assert_int_equal(vm_freeze(t), ERR_OK);
	f = snapshot_file_of(t);
	fake_time += 1000000; /* another run of Pando, or the same */
	loaded = load_good("loaded", f);
	a = clone(t);
	b = clone(loaded);
	assert_string_equal(b->name, "loaded.1");
	assert_int_equal(load(b, RAM + BLOCK_SIZE + PAGE_SIZE), 7);
	assert_true(b->generation > t->generation && b->generation != a->generation);
	write_around(a);
	write_around(b);
	assert_int_equal(sum_breaks(a), sum_breaks(b));
	assert_int_equal(load(loaded, RAM + BLOCK_SIZE + PAGE_SIZE), 7);
	assert_int_equal(vm_run(b), ERR_OK);
	assert_int_equal(vcpu_time(b->vcpu[0]), 5000); /* it has seen nothing of the time between */
	assert_ptr_equal(fake_pick(0), b->vcpu[0]);
	fake_put_back(0, b->vcpu[0]);
	assert_int_equal(vm_reset(b), ERR_OK);
	assert_int_equal(load(b, RAM + BLOCK_SIZE + PAGE_SIZE), 7);
	check_audit();
	free(f.bytes);
}

/* A file may say any generation; none uses up what is left, and what is saved afterwards can be loaded. */
static void test_generations(void **state)
{
	static const u32 said[] = { INT32_MAX, (u32)INT32_MAX + 2, UINT32_MAX };

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(said); i++) {
		struct vm *t, *loaded, *c;
		struct file f;

		snapshot_machine_with(0);
		t = snapshot_random_template(1, 3);
		t->generation = said[i];
		f = snapshot_file_of(t);
		loaded = load_good("loaded", f);
		free(f.bytes);
		assert_int_equal(loaded->generation, said[i]);
		c = clone(loaded);
		assert_in_range(c->generation, (u32)INT32_MAX + 1, (u32)INT32_MAX + 100);
		assert_int_not_equal(c->generation, said[i]);
		assert_int_equal(vm_freeze(c), ERR_OK);
		f = snapshot_file_of(c);
		assert_int_equal(load_good("again", f)->generation, c->generation);
		free(f.bytes);
		check_audit();
	}
}

static bool share_a_frame(const struct vm *vm, u64 a, u64 b)
{
	return pte_ppn(mm_leaf(&vm->space, a)) == pte_ppn(mm_leaf(&vm->space, b));
}

/* What was merged when it was frozen is merged again. */
static void test_compact(void **state)
{
	u64 a = RAM + BLOCK_SIZE + PAGE_SIZE, b = RAM + BLOCK_SIZE + 9 * PAGE_SIZE;
	struct vm *t, *loaded;
	struct file f;

	(void)state;
	snapshot_machine_with(0);
	t = fake_vm_run("t", 1);
	t->policy.dedup = DEDUP_WITH_FAMILY;
	dedup_apply(&t->space, &t->policy);
	store(t, a, 5);
	store(t, b, 5);
	assert_int_equal(vm_freeze_compact(t), ERR_OK);
	assert_true(share_a_frame(t, a, b));
	f = snapshot_file_of(t);
	loaded = load_good("loaded", f);
	assert_true(share_a_frame(loaded, a, b));
	assert_int_equal(load(loaded, b), 5);
	check_audit();
	free(f.bytes);
}

/* A template that is killed is there until its file has been read. */
static void test_killed_meanwhile(void **state)
{
	struct snapshot_save *s;
	struct vm *t;
	u8 bytes[5000];
	u64 before, n = 0;
	u32 got;

	(void)state;
	snapshot_machine_with(0);
	before = free_frames();
	t = snapshot_random_template(1, 40);
	assert_int_equal(snapshot_save_begin(t, &s), ERR_OK);
	while (snapshot_save_count(s))
		continue;
	n = snapshot_save_len(s);
	vm_kill(t);
	while ((got = snapshot_save_pull(s, bytes, sizeof(bytes))) != 0)
		n -= got;
	assert_int_equal(n, 0);
	snapshot_save_end(s);
	assert_int_equal(free_frames(), before);
	/* And only a template can be saved. */
	t = fake_vm_run("r", 1);
	assert_int_equal(snapshot_save_begin(t, &s), ERR_STATE);
}

static void test_names(void **state)
{
	struct file f = snapshot_small_file();

	(void)state;
	assert_int_equal(load_it("t", f), ERR_EXISTS);
	assert_string_equal(why, "name: there is a VM \"t\" already");
	assert_int_equal(load_it("a.b", f), ERR_INVAL);
	assert_int_equal(load_it("", f), ERR_INVAL);
	free(f.bytes);
}

/* The name was free when it began. */
static void test_name_taken_meanwhile(void **state)
{
	struct file f = snapshot_small_file();
	struct snapshot_load *l;
	const char *refused;
	struct vm *vm = NULL;
	u64 before;

	(void)state;
	assert_int_equal(snapshot_load_begin("late", f.len, &l, &refused), ERR_OK);
	assert_int_equal(snapshot_load_feed(l, f.bytes, (u32)f.len), ERR_OK);
	(void)fake_vm_new("late", 1);
	assert_int_equal(snapshot_load_finish(l, &vm), ERR_EXISTS);
	assert_string_equal(snapshot_load_why(l), "name: there is a VM \"late\" already");
	snapshot_load_end(l);
	before = free_frames();
	snapshot_nothing_left(before, 2);
	free(f.bytes);
}

/* ---- memory ---- */

static void every_allocation_may_fail(void (*fail_at)(u64), u64 n_at_least)
{
	struct file f = snapshot_small_file();
	u64 before = free_frames(), n;
	enum err e = ERR_NOMEM;

	for (n = 1; e != ERR_OK && n < 400; n++) {
		settle_memory();
		fail_at(n);
		e = load_it("poor", f);
		frame_fail_after(0);
		assert_true(e == ERR_OK || e == ERR_NOMEM);
		if (e != ERR_OK)
			snapshot_nothing_left(before, 1);
	}
	assert_int_equal(e, ERR_OK);
	assert_true(n > n_at_least);
	check_audit();
	free(f.bytes);
}

static void test_every_allocation_may_fail(void **state)
{
	(void)state;
	every_allocation_may_fail(frame_fail_after, 2);
	every_allocation_may_fail(frame_fail_from, 8);
}

/* Where no 2 MiB can be had, pages do: the guest sees the same. */
static void test_no_block(void **state)
{
	struct file f = snapshot_small_file();
	struct vm *t = vm_find("t"), *vm;
	struct slot slot, block;

	(void)state;
	settle_memory();
	assert_true(slot_next(&t->space, GPA(0), &block) && block.is_block);
	for (u32 n = 1; n < 40; n++) {
		frame_fail_after(n);
		if (snapshot_load_file("pages", f, &vm, why) != ERR_OK)
			continue;
		frame_fail_after(0);
		assert_true(slot_next(&vm->space, GPA(0), &slot));
		if (!slot.is_block)
			break;
		vm_kill(vm);
		settle_memory();
	}
	frame_fail_after(0);
	assert_false(slot.is_block);
	for (u32 word = 0; word < SLOT_WORDS; word++)
		assert_int_equal(slot.zero[word], ~block.full[word]);
	for (u64 gpa = RAM; gpa < RAM + BLOCK_SIZE; gpa += PAGE_SIZE)
		assert_int_equal(load(vm, gpa), load(t, gpa));
	vm_put(t);
	check_audit();
	free(f.bytes);
}

/* ---- time and timers ---- */

/* Without Sstc a timer that was due is an interrupt; with it, a deadline that has passed. */
static void test_timers(void **state)
{
	struct vm *t, *vm;
	struct file f;

	(void)state;
	snapshot_machine_with(0);
	machine.has_sstc = false;
	t = fake_vm_run("t", 1);
	assert_ptr_equal(fake_pick(0), t->vcpu[0]);
	fake_time += 1000;
	vcpu_set_timer(t->vcpu[0], 700);
	assert_true(vcpu_door(t->vcpu[0]));
	fake_put_back(0, t->vcpu[0]);
	assert_int_equal(t->vcpu[0]->csrs.hvip, HVIP_VSTIP);
	assert_int_equal(vm_freeze(t), ERR_OK);
	f = snapshot_file_of(t);
	vm = load_good("same", f);
	assert_int_equal(vm->vcpu[0]->csrs.hvip, HVIP_VSTIP);
	assert_int_equal(vm->vcpu[0]->soft_deadline, TIME_NEVER);
	machine.has_sstc = true;
	vm = load_good("sstc", f);
	assert_int_equal(vm->vcpu[0]->csrs.hvip, 0);
	assert_int_equal(vm->vcpu[0]->csrs.vstimecmp, 0);
	free(f.bytes);
}

static void put(struct vm *vm, u64 gpa, u32 len, u64 value)
{
	assert_int_equal(device_access(vm->vcpu[0], GPA(gpa), len, true, &value), MMIO_OK);
}

/* A key was pressed, and the guest had not heard of it yet. */
static void test_interrupt_on_its_way(void **state)
{
	struct vm *t, *vm;
	struct file f;

	(void)state;
	snapshot_machine_with(0);
	t = fake_vm_run("t", 2);
	put(t, 0x0c000000 + 4 * 10, 4, 1); /* priority of source 10 */
	put(t, 0x0c002080, 4, 1 << 10);    /* enabled for vCPU 0 */
	put(t, 0x10000001, 1, 1);          /* IER: input */
	assert_true(device_ops->console_input(t, 'k'));
	assert_int_equal(vm_freeze(t), ERR_OK);
	f = snapshot_file_of(t);
	vm = load_good("loaded", f);
	assert_int_equal(vm->vcpu[0]->csrs.hvip, HVIP_VSEIP);
	assert_int_equal(vm->vcpu[1]->csrs.hvip, 0);
	free(f.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_clones),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_compact),
		cmocka_unit_test(test_killed_meanwhile),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_name_taken_meanwhile),
		cmocka_unit_test(test_every_allocation_may_fail),
		cmocka_unit_test(test_no_block),
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_interrupt_on_its_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
