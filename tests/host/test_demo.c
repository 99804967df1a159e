/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The demo with guests that the test plays: all right, one wrong, one silent, one
 * that goes off, no memory, memory that does not come back.
 */
#include "ctl_fake.h"
#include "caller.h"
#include "arch/time.h"

/* Up to the clones, which all run then. */
static struct vm *start(void)
{
	struct vm *template;

	assert_has(fake_type("demo\r"), "demo: booting linux");
	assert_int_equal(fc.n_vms, 1);
	template = fc.vms[0];
	assert_true(template->hold_at_ready);
	for (u64 at = 0; at < FAKE_RAM_LEN; at += PAGE_SIZE)
		assert_int_equal(copy_to_guest(&template->space, GPA(FAKE_GUEST_RAM + at), "x", 1),
		                 ERR_OK);
	vm_post_event(template, VM_EV_READY);
	fake_type("");
	return template;
}

/* Plays the clones from number `from` on. */
static void answer(u32 from)
{
	for (u32 i = from; i <= FAKE_CLONES; i++)
		fake_done(fc.vms[i], i);
}

/* The rest of the demo; time passes while it waits for memory. */
static const char *finish(void)
{
	for (u32 i = 0; i < 200000 && ctl_deadline() != TIME_NEVER; i++) {
		ctl_poll();
		fake_time += 1000;
	}
	fake_poll();
	assert_int_equal(ctl_deadline(), TIME_NEVER);
	return fc.screen;
}

static void test_pass(void **state)
{
	u64 before = frame_n_free();
	const char *screen;

	(void)state;
	start();
	assert_int_equal(fc.n_vms, FAKE_CLONES + 1);
	answer(1);
	screen = finish();
	assert_has(screen, "20 right, 0 wrong");
	assert_has(screen, "PASS: demo: 20 clones");
	assert_has(screen, "pando> ");
	assert_int_equal(fc.n_vms, 0);
	space_relieve();
	assert_int_equal(frame_n_free(), before);
}

static void test_fewer_clones(void **state)
{
	(void)state;
	assert_has(fake_type("demo -n 21\r"), "not that many expected results");
	fake_type("demo -n 1\r");
	vm_post_event(fc.vms[0], VM_EV_READY);
	fake_type("");
	assert_int_equal(fc.n_vms, 2);
	fake_done(fc.vms[1], 1);
	assert_has(finish(), "PASS: demo: 1 clones");
}

static void test_wrong_result(void **state)
{
	(void)state;
	start();
	fake_done(fc.vms[1], 2);
	answer(2);
	assert_has(finish(), "FAIL: demo: not all results are right");
	assert_has(fc.screen, "linux.1: WRONG result");
	assert_has(fc.screen, "19 right, 1 wrong");
}

static void test_result_of_wrong_length(void **state)
{
	(void)state;
	start();
	fc.vms[1]->result_len = 63;
	vm_post_event(fc.vms[1], VM_EV_DONE);
	answer(2);
	assert_has(finish(), "FAIL: demo: not all results are right");
}

static void test_clone_goes_off(void **state)
{
	(void)state;
	start();
	fc.vms[3]->off_reason = "killed by a fault";
	vm_post_event(fc.vms[3], VM_EV_OFF);
	for (u32 i = 1; i <= FAKE_CLONES; i++)
		if (i != 3)
			fake_done(fc.vms[i], i);
	assert_has(finish(), "FAIL: demo: not all results are right");
	assert_has(fc.screen, "linux.3 went off: killed by a fault");
}

/* A program kills VMs of the demo: it does not wait for them. */
static void test_killed_clones(void **state)
{
	struct request r;

	(void)state;
	start();
	request(&r, "kill linux.1", NULL, 0);
	request(&r, "kill linux", NULL, 0);
	assert_int_equal(fc.n_vms, FAKE_CLONES - 1);
	for (u32 i = 0; i < fc.n_vms; i++)
		fake_done(fc.vms[i], fc.vms[i]->clone_id);
	fake_poll();
	assert_has(fc.screen, "linux.1 went off: killed");
	assert_has(fc.screen, "19 right, 1 wrong");
	assert_has(finish(), "FAIL: demo: not all results are right");
	start();
	request(&r, "kill all", NULL, 0);
	fc.n_screen = 0;
	fake_poll();
	assert_has(finish(), "FAIL: demo: not all results are right");
	assert_int_equal(fc.n_vms, 0);
}

static void test_killed_template(void **state)
{
	struct request r;

	(void)state;
	fake_type("demo\r");
	request(&r, "kill all", NULL, 0);
	fake_poll();
	assert_has(fc.screen, "linux went off: killed");
	assert_has(finish(), "FAIL: demo: the guest did not boot");
}

static void test_silent_clone(void **state)
{
	(void)state;
	start();
	answer(2);
	fake_type("");
	fake_time = ctl_deadline();
	assert_has(finish(), "linux.1 has not answered");
	assert_has(fc.screen, "FAIL: demo: not all clones were done in time");
	assert_int_equal(fc.n_vms, 0);
}

static void test_boot_hangs(void **state)
{
	(void)state;
	fake_type("demo\r");
	fake_time = ctl_deadline();
	assert_has(finish(), "FAIL: demo: the guest was not ready in time");
	assert_int_equal(fc.n_vms, 0);
}

static void test_guest_goes_off(void **state)
{
	(void)state;
	fake_type("demo\r");
	fc.vms[0]->off_reason = "system failure";
	vm_post_event(fc.vms[0], VM_EV_OFF);
	assert_has(finish(), "FAIL: demo: the guest did not boot");
}

static void test_no_memory(void **state)
{
	(void)state;
	fc.fail_next = ERR_NOMEM;
	assert_has(fake_type("demo\r"), "demo: as the test wants it");
	assert_int_equal(ctl_deadline(), TIME_NEVER);
	fake_type("demo\r");
	fc.fail_next = ERR_NOMEM;
	vm_post_event(fc.vms[0], VM_EV_READY);
	assert_has(finish(), "FAIL: demo: not all clones could be made");
	assert_int_equal(fc.n_vms, 0);
}

static void test_lost_memory(void **state)
{
	struct frame *f;

	(void)state;
	start();
	f = frame_alloc(FRAME_FOR_PANDO);
	answer(1);
	assert_has(finish(), "FAIL: demo: ");
	frame_free(f);
}

static void test_interrupted(void **state)
{
	(void)state;
	start();
	fake_type("vms\r\x03");
	assert_has(finish(), "FAIL: demo: interrupted");
	assert_has(fake_type("vms\r"), "NAME");
}

static void test_wants_the_machine(void **state)
{
	(void)state;
	fake_type("boot linux\r");
	assert_has(fake_type("demo\r"), "kill all first");
}

/* A killed VM that somebody still holds: the count begins when its memory is back. */
static void test_waits_for_killed_vms(void **state)
{
	struct vm *vm;

	(void)state;
	fake_type("boot linux\r");
	vm = fc.vms[0];
	assert_int_equal(copy_to_guest(&vm->space, GPA(FAKE_GUEST_RAM), "x", 1), ERR_OK);
	vm_get(vm);
	fake_type("kill all\r");
	fc.n_keys = fc.next_key = 0;
	memcpy(fc.keys, "demo -n 1\r", 10);
	fc.n_keys = 10;
	ctl_poll();
	vm_put(vm);
	for (u32 i = 0; i < 1000 && fc.n_vms == 0; i++) {
		fake_time += 10000;
		ctl_poll();
	}
	assert_int_equal(fc.n_vms, 1);
	vm_post_event(fc.vms[0], VM_EV_READY);
	fake_type("");
	fake_done(fc.vms[1], 1);
	assert_has(finish(), "PASS: demo: 1 clones");
}

#define TEST(fn) cmocka_unit_test_teardown(fn, fake_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pass),
		TEST(test_fewer_clones),
		TEST(test_wrong_result),
		TEST(test_result_of_wrong_length),
		TEST(test_clone_goes_off),
		TEST(test_killed_clones),
		TEST(test_killed_template),
		TEST(test_silent_clone),
		TEST(test_boot_hangs),
		TEST(test_guest_goes_off),
		TEST(test_no_memory),
		TEST(test_lost_memory),
		TEST(test_interrupted),
		TEST(test_wants_the_machine),
		TEST(test_waits_for_killed_vms),
	};

	fake_seed(6);
	return cmocka_run_group_tests(tests, fake_up, NULL);
}
