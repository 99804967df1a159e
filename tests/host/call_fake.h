/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of calls share: a function f over a fake vm floor, guests that are the test itself, and the memory that
 * must be back after each test.  Holds definitions: included once.
 */
#ifndef CALL_FAKE_H
#define CALL_FAKE_H

#include "ctl_fake.h"
#include "caller.h"
#include "ctl/call.h"

#define MS 10000UL /* ticks */

static struct request r[1200];
static u8 payload[1 << 20];
static u64 free_before;

/* The guest's side: what the last give_work() said to each VM. */
static u32 work_len;
static struct vm *worker;
static u32 n_works;

static __attribute__((unused)) void give_work(struct vm *vm, u32 len)
{
	worker = vm;
	work_len = len;
	n_works++;
}

static const struct device_ops call_ops = { .console_input = fake_input, .give_work = give_work };

static __attribute__((unused)) struct vm *template(const char *name)
{
	struct request one;
	char line[64];
	struct vm *vm;

	snprintf(line, sizeof(line), "boot %s kernel=linux/kernel memory=4M", name);
	request(&one, line, NULL, 0);
	assert_int_equal(one.e, ERR_OK);
	vm = fc.vms[fc.n_vms - 1];
	assert_int_equal(vm_freeze(vm), ERR_OK);
	return vm;
}

static __attribute__((unused)) void accepts(const char *line)
{
	struct request one;

	request(&one, line, NULL, 0);
	if (!one.is_answered || one.e != ERR_OK)
		fail_msg("%s: %s", line, one.error);
	request_free(&one);
}

static __attribute__((unused)) void refuses(const char *line, enum err e, const char *why)
{
	struct request one;

	request(&one, line, NULL, 0);
	assert_true(one.is_answered);
	assert_int_equal(one.e, e);
	assert_has(one.error, why);
	request_free(&one);
}

/* `vm` answers with the first `len` bytes of `bytes`, or what lies in its window. */
static __attribute__((unused)) void done(struct vm *vm, u32 status, const void *bytes, u32 len)
{
	if (bytes != NULL)
		assert_int_equal(copy_to_guest(&vm->space, vm->window.base, bytes, len), ERR_OK);
	fake_time += 10;
	vm->result_len = len;
	vm->result_status = status;
	vm->stats.done = fake_time;
	vm_post_event(vm, VM_EV_DONE);
	fake_poll();
}

/* `vm` has its first turn. */
static __attribute__((unused)) void enters(struct vm *vm)
{
	vm->stats.first_entry = ++fake_time;
}

static __attribute__((unused)) void goes_off(struct vm *vm, const char *reason, u32 more)
{
	atomic_store(&vm->state, VM_OFF);
	vm->off_reason = reason;
	vm_post_event(vm, VM_EV_OFF | more);
	fake_poll();
}

static __attribute__((unused)) void check_answer(const struct request *q, const void *bytes,
                                                 u64 len)
{
	assert_true(q->is_answered);
	assert_int_equal(q->e, ERR_OK);
	assert_int_equal(q->len, len);
	if (len > 0)
		assert_memory_equal(q->payload, bytes, len);
}

static __attribute__((unused)) void check_failure(const struct request *q, enum err e,
                                                  const char *why)
{
	assert_true(q->is_answered);
	assert_int_equal(q->e, e);
	assert_has(q->error, why);
}

static __attribute__((unused)) u32 n_clones(void)
{
	u32 n = 0;

	for (u32 i = 0; i < fc.n_vms; i++)
		n += fc.vms[i]->template != NULL;
	return n;
}

static __attribute__((unused)) void forget(u32 n)
{
	for (u32 i = 0; i < n; i++)
		request_free(&r[i]);
}

static __attribute__((unused)) int begin(void **state)
{
	(void)state;
	template("f");
	accepts("function set f template=f");
	worker = NULL;
	n_works = 0;
	return 0;
}

static __attribute__((unused)) int end(void **state)
{
	struct request one;

	request(&one, "function rm f", NULL, 0);
	assert_int_equal(fake_down(state), 0);
	while (space_idle_work())
		continue;
	space_relieve();
	assert_int_equal(frame_n_free(), free_before);
	return 0;
}

static __attribute__((unused)) int up(void **state)
{
	struct request one;

	fake_seed(9);
	for (u32 i = 0; i < sizeof(payload); i++)
		payload[i] = (u8)fake_random();
	assert_int_equal(fake_up(state), 0);
	device_set_ops(&call_ops);
	/* What is allocated once. */
	request(&one, "kill all", NULL, 0);
	space_relieve();
	free_before = frame_n_free();
	return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

#endif
