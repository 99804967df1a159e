/* SPDX-License-Identifier: BSD-2-Clause */
/* Life of whole VMs: create and load, states, the list, events, console, devices by address. */
#include "arch/csr.h"
#include "vm/device.h"
#include "vm_life.h"
#include <stdio.h>

/* ---- create ---- */

static u8 image[5UL << 20];

static void refused(const struct vm_config *c, enum err want, const char *word)
{
	const char *why = NULL;
	struct vm *vm = NULL;
	u64 before = free_frames();

	assert_int_equal(vm_create(c, &vm, &why), want);
	assert_null(vm);
	assert_non_null(strstr(why, word));
	assert_int_equal(free_frames(), before);
}

static void test_refusals_name_the_property(void **state)
{
	const struct vm_config good = {
		.name = "a", .ram_len = 4UL << 20, .n_vcpus = 1, .kernel = image, .kernel_len = 64
	};
	struct vm_config c;

	(void)state;
	fake_boot(1);
	fake_vm_new("taken", 1);
	c = good, c.ram_len = 3UL << 20;
	refused(&c, ERR_INVAL, "memory-size");
	c = good, c.ram_len = 0;
	refused(&c, ERR_INVAL, "memory-size");
	c = good, c.ram_len = 1UL << 63;
	refused(&c, ERR_INVAL, "memory-size");
	c = good, c.n_vcpus = 0;
	refused(&c, ERR_INVAL, "vcpus");
	c = good, c.n_vcpus = VM_MAX_VCPUS + 1;
	refused(&c, ERR_INVAL, "vcpus");
	c = good, c.kernel_len = 0;
	refused(&c, ERR_INVAL, "kernel");
	c = good, c.name[0] = 0;
	refused(&c, ERR_INVAL, "name");
	c = good, strcpy(c.name, "a.1");
	refused(&c, ERR_INVAL, "name");
	c = good, strcpy(c.name, "taken");
	refused(&c, ERR_EXISTS, "taken");
	c.policy.memory = MEMORY_RESERVE, c.ram_len = 1UL << 40; /* whatever else is wrong */
	refused(&c, ERR_EXISTS, "taken");
	c.n_vcpus = 0, c.kernel_len = 0;
	refused(&c, ERR_EXISTS, "taken");
	c = good, c.kernel_len = 5UL << 20;
	refused(&c, ERR_RANGE, "memory-size: 4 MiB cannot hold kernel (5 MiB");
	c = good, c.initrd = image, c.initrd_len = 4UL << 20;
	refused(&c, ERR_RANGE, "initrd (4 MiB)");
	c = good, c.initrd = image, c.initrd_len = UINT64_MAX;
	refused(&c, ERR_RANGE, "memory-size");
}

/* Names reach terminals and shells as they are, and "kill all" means all. */
static void test_names(void **state)
{
	static const char *const bad[] = { "",     "a.1",      "#1",        "a b",
		                           "a\tb", "a\033[2J", "$(reboot)", "a/b",
		                           "a:b",  "\xc3\xa4", "all" };
	static const char *const good[] = { "a", "A-z_09", "allx", "al", "1", "-" };
	const char *why = NULL;

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
		why = NULL;
		assert_int_equal(vm_check_name(bad[i], &why), ERR_INVAL);
		assert_non_null(strstr(why, "name: "));
	}
	for (u32 i = 0; i < ARRAY_LEN(good); i++)
		assert_int_equal(vm_check_name(good[i], &why), ERR_OK);
}

static void put_header(u64 text_offset, u64 image_size)
{
	memcpy(image + 8, &text_offset, 8);
	memcpy(image + 16, &image_size, 8);
	memcpy(image + 56, "RSC\x05", 4);
}

static void test_hostile_image_headers(void **state)
{
	struct vm_config c = {
		.name = "a", .ram_len = 8UL << 20, .n_vcpus = 1, .kernel = image, .kernel_len = 64
	};

	(void)state;
	fake_boot(1);
	put_header(0x1000, 64);
	refused(&c, ERR_INVAL, "text_offset");
	put_header(ALIGN_DOWN(UINT64_MAX, BLOCK_SIZE), 64);
	refused(&c, ERR_RANGE, "memory-size");
	put_header(2UL << 20, UINT64_MAX);
	refused(&c, ERR_RANGE, "memory-size");
	put_header(8UL << 20, 64);
	refused(&c, ERR_RANGE, "memory-size");
	memset(image, 0, 64);
}

/* A Linux-like image: at text_offset, its bss kept free, initrd and tree apart from it. */
static void test_layout(void **state)
{
	static u8 initrd[3UL << 20];
	struct vm_config c = { .name = "a",
		               .ram_len = 32UL << 20,
		               .n_vcpus = 2,
		               .kernel = image,
		               .kernel_len = sizeof(image),
		               .initrd = initrd,
		               .initrd_len = sizeof(initrd) };
	const char *why;
	struct vm *vm;
	u64 tree;

	(void)state;
	fake_boot(1);
	put_header(2UL << 20, 17UL << 20);
	image[sizeof(image) - 1] = 0x77;
	memset(initrd, 0x55, sizeof(initrd));
	assert_int_equal(vm_create(&c, &vm, &why), ERR_OK);
	assert_int_equal(vm->state, VM_NEW);
	assert_int_equal(vm->vcpu[0]->regs.sepc, RAM + (2UL << 20));
	assert_int_equal(vm->vcpu[0]->regs.x[10], 0);
	assert_int_equal(load(vm, RAM + (2UL << 20) + sizeof(image) - 4) >> 24, 0x77);
	/* Half-way up, at 18 MiB, is still bss: the initrd comes after that. */
	assert_int_equal(load(vm, RAM + (20UL << 20)), 0x55555555);
	assert_int_equal(load(vm, RAM + (20UL << 20) - 4), 0);
	tree = vm->vcpu[0]->regs.x[11];
	assert_int_equal(tree, RAM + (30UL << 20));
	assert_int_equal(load(vm, tree), 0xedfe0dd0);
	assert_int_equal(vm->vcpu[1]->holds, HOLD_PAUSED | HOLD_STOPPED);
	assert_int_equal(vm->vcpu[1]->hsm, HSM_STOPPED);
	/* The window follows RAM, and nothing follows the window. */
	assert_int_equal(vm->window.base.v, RAM + c.ram_len);
	assert_true(space_has(&vm->space, vm->window.base, vm->window.len));
	assert_false(space_has(&vm->space, GPA(vm->window.base.v + vm->window.len), 1));
	memset(image, 0, 64);
	check_audit();
}

static void test_smallest_ram(void **state)
{
	struct vm_config c = {
		.name = "a", .ram_len = 2UL << 20, .n_vcpus = 1, .kernel = image, .kernel_len = 4096
	};
	const char *why;
	struct vm *vm;

	(void)state;
	fake_boot(1);
	assert_int_equal(vm_create(&c, &vm, &why), ERR_OK);
	assert_int_equal(vm->vcpu[0]->regs.sepc, RAM);
	assert_true(vm->vcpu[0]->regs.x[11] > RAM + 4096);
	assert_int_equal(load(vm, vm->vcpu[0]->regs.x[11]), 0xedfe0dd0);
}

/* ---- states ---- */

static void test_states(void **state)
{
	struct vm *vm, *out;

	(void)state;
	fake_boot(1);
	vm = fake_vm_new("a", 1);
	assert_int_equal(vm_clone(vm, &out), ERR_STATE);
	assert_int_equal(vm_fork(vm, &out), ERR_STATE);
	assert_int_equal(vm_reset(vm), ERR_STATE);
	assert_int_equal(vm_run(vm), ERR_OK);
	assert_int_equal(vm_run(vm), ERR_STATE);
	vm_pause(vm);
	assert_int_equal(vm->state, VM_PAUSED);
	assert_null(fake_pick(0));
	assert_int_equal(vm_run(vm), ERR_OK);
	vm_stop(vm, "test");
	assert_int_equal(vm->state, VM_OFF);
	assert_string_equal(vm->off_reason, "test");
	assert_int_equal(vm_run(vm), ERR_STATE);
	assert_int_equal(vm_freeze(vm), ERR_STATE);
	vm_pause(vm);
	assert_int_equal(vm->state, VM_OFF);
	vm = template_of("b", 1);
	assert_int_equal(vm_freeze(vm), ERR_STATE);
	assert_int_equal(vm_run(vm), ERR_STATE);
	vm_stop(vm, "a template has no say");
	assert_int_equal(vm->state, VM_TEMPLATE);
}

/* A vCPU that is in a guest on another hart leaves some time after it was kicked. */
static struct vcpu *far_vcpu;
static bool was_kicked;
static u32 n_waits;

static void note_kick(u32 hart)
{
	was_kicked = was_kicked || hart == 1;
}

static void leave_guest(void)
{
	struct vcpu *v = far_vcpu;

	assert_true(++n_waits < 100);
	if (v == NULL || !was_kicked)
		return;
	far_vcpu = NULL;
	fake_put_back(1, v);
}

static void test_freeze_waits_for_other_harts(void **state)
{
	struct vm *vm;

	(void)state;
	fake_boot(2);
	vm = fake_vm_run("a", 2);
	vcpu_unhold(vm->vcpu[1], HOLD_STOPPED);
	far_vcpu = fake_pick(1);
	was_kicked = false;
	n_waits = 0;
	fake_on_kick = note_kick;
	fake_on_blocked = leave_guest;
	fake_hart = 1;
	csr_write(vsatp, 0x1234);
	fake_hart = 0;
	vm->vcpu[0]->regs.x[5] = 99;
	assert_int_equal(vm_freeze(vm), ERR_OK);
	fake_on_blocked = NULL;
	assert_null(far_vcpu);
	assert_int_equal(vm->vcpu[0]->state, SCHED_ASLEEP);
	assert_int_equal(vm->vcpu[1]->state, SCHED_ASLEEP);
	/* What was in the hart is in the record. */
	assert_true(vm->vcpu[0]->csrs.vsatp == 0x1234 || vm->vcpu[1]->csrs.vsatp == 0x1234);
	assert_null(fake_pick(0));
	assert_null(fake_pick(1));
}

/* ---- list, events, console ---- */

static void test_find(void **state)
{
	struct vm *a, *b;
	char number[16];

	(void)state;
	fake_boot(1);
	a = fake_vm_new("a", 1);
	b = fake_vm_new("b", 1);
	assert_ptr_equal(vm_find("b"), b);
	vm_put(b);
	snprintf(number, sizeof(number), "#%u", a->id);
	assert_ptr_equal(vm_find(number), a);
	vm_put(a);
	assert_null(vm_find("c"));
	assert_null(vm_find("#"));
	assert_null(vm_find("#0"));
	assert_null(vm_find("#99999999999999999999"));
	assert_null(vm_find("#1x"));
	assert_null(vm_find(""));
}

static bool kill_all(struct vm *vm, void *arg)
{
	*(u32 *)arg += 1;
	vm_kill(vm);
	return true;
}

static bool find_next_and_kill_it(struct vm *vm, void *arg)
{
	struct vm *next = vm_find("b");

	(void)vm;
	*(u32 *)arg += 1;
	if (next != NULL) {
		vm_kill(next);
		vm_put(next);
	}
	return true;
}

static void test_for_each_survives_kills(void **state)
{
	u32 n = 0;

	(void)state;
	fake_boot(1);
	fake_vm_new("a", 1);
	fake_vm_new("b", 1);
	fake_vm_new("c", 1);
	vm_for_each(find_next_and_kill_it, &n);
	assert_int_equal(n, 2);
	n = 0;
	vm_for_each(kill_all, &n);
	assert_int_equal(n, 2);
	assert_int_equal(vm_count(), 0);
}

static void test_events(void **state)
{
	struct vm *a, *b, *vm;
	u32 events;

	(void)state;
	fake_boot(1);
	a = fake_vm_new("a", 1);
	b = fake_vm_new("b", 1);
	assert_false(vm_has_events());
	vm_post_event(a, VM_EV_READY);
	vm_post_event(b, VM_EV_DONE);
	vm_post_event(a, VM_EV_DONE);
	assert_true(vm_has_events());
	vm = vm_take_event(&events);
	assert_ptr_equal(vm, a); /* oldest first, and once */
	assert_int_equal(events, VM_EV_READY | VM_EV_DONE);
	vm_put(vm);
	/* Killed with an event pending: the list's reference keeps it. */
	vm_kill(b);
	vm = vm_take_event(&events);
	assert_ptr_equal(vm, b);
	assert_int_equal(events, VM_EV_DONE);
	assert_int_equal(vm->state, VM_DYING);
	vm_put(vm);
	/* On the list, but what happened was taken along with an earlier event. */
	vm_post_event(a, VM_EV_DONE);
	atomic_store(&a->events, 0);
	assert_null(vm_take_event(&events));
	assert_false(vm_has_events());
	assert_int_equal(a->refs, 1);
}

static void say(struct vm *vm, const char *text)
{
	lock_acquire(&vm->dev_lock);
	while (*text != 0)
		vm_console_put(vm, *text++);
	lock_release(&vm->dev_lock);
}

static void test_console(void **state)
{
	static char buf[VM_CONSOLE_RING_LEN + 8];
	struct vm *vm;
	u32 events;
	u64 before;

	(void)state;
	fake_boot(1);
	before = free_frames();
	vm = fake_vm_new("a", 1);
	assert_int_equal(vm_console_take(vm, buf, sizeof(buf)), 0);
	say(vm, "hello\n");
	assert_false(vm_has_events());
	assert_int_equal(vm_console_take(vm, buf, 3), 3);
	assert_memory_equal(buf, "hel", 3);
	for (u32 i = 0; i < VM_CONSOLE_RING_LEN; i++)
		say(vm, "x");
	assert_int_equal(vm->console.dropped, 3);
	assert_int_equal(vm_console_take(vm, buf, sizeof(buf)), VM_CONSOLE_RING_LEN);
	vm->console.attached = true;
	say(vm, "y");
	assert_ptr_equal(vm_take_event(&events), vm);
	assert_int_equal(events, VM_EV_OUTPUT);
	vm_put(vm);
	vm_kill(vm);
	assert_int_equal(free_frames(), before);
}

/* No device where nothing is, none across a device's end. */
static void test_device_bounds(void **state)
{
	struct vm *vm;
	u64 value = 0;

	(void)state;
	fake_boot(1);
	vm = fake_vm_new("a", 1);
	for (u32 i = 0; i < device_ops->n_types; i++) {
		const struct device_type *t = device_ops->types[i];

		assert_int_equal(
			device_access(vm->vcpu[0], GPA(t->base + t->len - 1), 2, false, &value),
			MMIO_FAULT);
		assert_int_equal(device_access(vm->vcpu[0], GPA(t->base - 1), 1, false, &value),
		                 MMIO_FAULT);
	}
	assert_int_equal(device_access(vm->vcpu[0], GPA(UINT64_MAX), 8, true, &value), MMIO_FAULT);
	assert_int_equal(device_access(vm->vcpu[0], GPA(0), 8, true, &value), MMIO_FAULT);
}

static struct vcpu *to_wake;

/* Another hart wakes it, and has loaded it before the first goes on. */
static void wake_and_load(void)
{
	fake_on_clock = NULL;
	vcpu_unhold(to_wake, HOLD_WORK);
	assert_ptr_equal(fake_pick(1), to_wake);
	fake_time += 50;
}

/* While one finds that all wait, its sibling is given work: time does not stand still under it. */
static void test_woken_while_another_begins_to_wait(void **state)
{
	struct vm *vm;
	u64 seen;

	(void)state;
	fake_boot(2);
	vm = fake_vm_run("vm", 2);
	assert_ptr_equal(fake_pick(0), vm->vcpu[0]);
	fake_put_back(0, vm->vcpu[0]);
	vcpu_unhold(vm->vcpu[1], HOLD_STOPPED);
	assert_ptr_equal(fake_pick(1), vm->vcpu[1]);
	to_wake = vm->vcpu[1];
	vcpu_hold(to_wake, HOLD_WORK);
	fake_put_back(1, to_wake);
	assert_ptr_equal(fake_pick(0), vm->vcpu[0]);
	vcpu_hold(vm->vcpu[0], HOLD_WORK);
	lock_acquire(&vm->lock);
	fake_on_clock = wake_and_load;
	vm_wait(vm);
	fake_on_clock = NULL;
	lock_release(&vm->lock);
	fake_time += 100;
	seen = vcpu_time(to_wake);
	fake_put_back(1, to_wake);
	assert_ptr_equal(fake_pick(1), to_wake);
	assert_true(vcpu_time(to_wake) >= seen);
	fake_put_back(0, vm->vcpu[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals_name_the_property),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_hostile_image_headers),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_smallest_ram),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_freeze_waits_for_other_harts),
		cmocka_unit_test(test_woken_while_another_begins_to_wait),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_for_each_survives_kills),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_device_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
