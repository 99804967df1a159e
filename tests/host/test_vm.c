/* SPDX-License-Identifier: BSD-2-Clause */
/* Life of whole VMs: create and load, freeze, clone, fork, reset, kill in every order, events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arch/csr.h"
#include "arch/time.h"
#include "fake_guest.h"
#include "mm/audit.h"
#include "mm/copy.h"
#include "mm/frame.h"
#include "vm/device.h"
#include "vm/sched.h"

#define RAM       0x80000000UL
#define VSIE_STIE BIT(5)

static void settle_memory(void)
{
	fake_hart = 0;
	for (u32 h = 0; h < HART_MAX; h++) {
		fake_hart = h;
		space_unload();
	}
	fake_hart = 0;
	while (space_idle_work())
		continue;
	while (space_relieve())
		continue;
}

static u64 free_frames(void)
{
	settle_memory();
	return frame_n_free();
}

static void check_audit(void)
{
	struct audit_result r;

	audit_run(&r);
	if (r.faults != 0)
		print_error("audit: %s\n", r.first);
	assert_int_equal(r.faults, 0);
}

static struct vm *clone(struct vm *template)
{
	struct vm *vm = NULL;

	assert_int_equal(vm_clone(template, &vm), ERR_OK);
	return vm;
}

static struct vm *template_of(const char *name, u32 n_vcpus)
{
	struct vm *vm = fake_vm_run(name, n_vcpus);

	assert_int_equal(vm_freeze(vm), ERR_OK);
	assert_int_equal(vm->state, VM_TEMPLATE);
	return vm;
}

static void store(struct vm *vm, u64 gpa, u32 value)
{
	assert_int_equal(copy_to_guest(&vm->space, GPA(gpa), &value, sizeof(value)), ERR_OK);
}

static u32 load(struct vm *vm, u64 gpa)
{
	u32 value = 0;

	assert_int_equal(copy_from_guest(&vm->space, &value, GPA(gpa), sizeof(value)), ERR_OK);
	return value;
}

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
	c = good, c.kernel_len = 5UL << 20;
	refused(&c, ERR_RANGE, "memory-size: 4 MiB cannot hold kernel (5 MiB");
	c = good, c.initrd = image, c.initrd_len = 4UL << 20;
	refused(&c, ERR_RANGE, "initrd (4 MiB)");
	c = good, c.initrd = image, c.initrd_len = UINT64_MAX;
	refused(&c, ERR_RANGE, "memory-size");
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
	put_header(2UL << 20, 16UL << 20);
	image[sizeof(image) - 1] = 0x77;
	memset(initrd, 0x55, sizeof(initrd));
	assert_int_equal(vm_create(&c, &vm, &why), ERR_OK);
	assert_int_equal(vm->state, VM_NEW);
	assert_int_equal(vm->vcpu[0]->regs.sepc, RAM + (2UL << 20));
	assert_int_equal(vm->vcpu[0]->regs.x[10], 0);
	assert_int_equal(load(vm, RAM + (2UL << 20) + sizeof(image) - 4) >> 24, 0x77);
	/* Half-way up lies in the bss: the initrd comes right after it. */
	assert_int_equal(load(vm, RAM + (18UL << 20)), 0x55555555);
	assert_int_equal(load(vm, RAM + (18UL << 20) - 4), 0);
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

/* A vCPU that is in a guest on another hart leaves when it is kicked. */
static struct vcpu *far_vcpu;

static void leave_guest(u32 hart)
{
	if (far_vcpu != NULL && hart == 1) {
		struct vcpu *v = far_vcpu;

		far_vcpu = NULL;
		fake_put_back(1, v);
	}
}

static void test_freeze_waits_for_other_harts(void **state)
{
	struct vm *vm;

	(void)state;
	fake_boot(2);
	vm = fake_vm_run("a", 2);
	vcpu_unhold(vm->vcpu[1], HOLD_STOPPED);
	far_vcpu = fake_pick(1);
	fake_on_kick = leave_guest;
	fake_hart = 1;
	csr_write(vsatp, 0x1234);
	fake_hart = 0;
	vm->vcpu[0]->regs.x[5] = 99;
	assert_int_equal(vm_freeze(vm), ERR_OK);
	assert_null(far_vcpu);
	/* What was in the hart is in the record. */
	assert_true(vm->vcpu[0]->csrs.vsatp == 0x1234 || vm->vcpu[1]->csrs.vsatp == 0x1234);
	assert_null(fake_pick(0));
	assert_null(fake_pick(1));
}

/* ---- clone ---- */

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
	v->fp.f[3] = 0x333;
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
	assert_int_equal(v->fp.f[3], 0x333);
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
	vm->n_clones_made = UINT32_MAX - 1;
	vm = clone(vm);
	assert_int_equal(strlen(vm->name), VM_NAME_LEN - 1);
	assert_string_equal(vm->name + VM_NAME_LEN - 1 - 11, ".4294967295");
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

/* Whatever allocation fails, nothing is left behind, and it works once there is memory again. */
static void test_every_allocation_may_fail(void **state)
{
	struct vm_config c = {
		.name = "f", .ram_len = 4UL << 20, .n_vcpus = 4, .kernel = image, .kernel_len = 64
	};
	const char *why;
	struct vm *t, *vm = NULL;
	u64 before;
	enum err e = ERR_NOMEM;

	(void)state;
	fake_boot(1);
	t = template_of("t", 8);
	before = free_frames();
	for (u64 n = 1; e != ERR_OK && n < 200; n++) {
		settle_memory();
		frame_fail_after(n);
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
		frame_fail_after(n);
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
	assert_null(vm_take_event(&events));
	assert_false(vm_has_events());
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

	(void)state;
	fake_boot(1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals_name_the_property),
		cmocka_unit_test(test_hostile_image_headers),
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_smallest_ram),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_freeze_waits_for_other_harts),
		cmocka_unit_test(test_clone_takes_everything_over),
		cmocka_unit_test(test_clones_are_apart),
		cmocka_unit_test(test_fork_both_ways),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_kill_in_every_order),
		cmocka_unit_test(test_chain_of_a_thousand),
		cmocka_unit_test(test_ten_thousand_lives),
		cmocka_unit_test(test_every_allocation_may_fail),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_for_each_survives_kills),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_device_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
