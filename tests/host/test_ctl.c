// SPDX-License-Identifier: BSD-2-Clause
/* Where the hart loop meets control: hyp/ctl/ctl.c. */
#include "ctl_fake.h"

static void another_hart_looks(void)
{
	assert_false(ctl_wanted());
	assert_int_equal(ctl_deadline(), TIME_NEVER);
	fake_time += 500;
	fc.on_key = NULL;
}

static void another_hart_posts(const struct spinlock *l)
{
	if (lock_rank(l) != LOCK_CTL)
		return;
	fake_on_release = NULL;
	vm_post_event(fc.vms[0], VM_EV_DONE);
}

/* While one hart polls there is nothing for the others, however much is due.  What they post is not lost, and what a
 * poll leaves behind is the guests' as long as the poll was. */
static void test_one_hart_polls(void **state)
{
	u64 end;

	(void)state;
	fake_type("boot linux\r");
	fc.restless = fc.vms[0];
	fc.on_key = another_hart_looks;
	end = fake_time + 500;
	ctl_poll();
	assert_null(fc.on_key);
	assert_int_equal(ctl_deadline(), end); /* the second poll took no time */
	fc.restless = NULL;
	fc.on_key = NULL;
	fake_poll();
	fake_on_release = another_hart_posts;
	ctl_poll();
	assert_null(fake_on_release);
	assert_false(vm_has_events());
	assert_false(ctl_wanted());
	assert_int_equal(ctl_deadline(), TIME_NEVER);
}

/* A poll that takes long, with work left: the next comes as much later, or a millisecond. */
static void time_passes(void)
{
	fake_time += 400;
}

static void test_guests_have_their_part(void **state)
{
	(void)state;
	fake_type("boot linux\r");
	fc.restless = fc.vms[0];
	fc.on_key = time_passes;
	ctl_poll();
	assert_int_equal(ctl_deadline(), fake_time + 400);
	fc.restless = NULL;
	fc.chatty = fc.vms[0];
	fake_print(fc.vms[0], "");
	ctl_poll();
	assert_int_equal(ctl_deadline(), fake_time + 400);
	fc.on_key = NULL;
	fc.chatty = NULL;
	fake_poll();
}

/* A poll while the guest prints without end: it ends, and more is wanted. */
static void poll_of_flood(void)
{
	fc.chatty = fc.vms[0];
	fc.n_screen = 0;
	fake_print(fc.vms[0], "");
	ctl_poll();
	assert_true(ctl_wanted());
	fc.chatty = NULL;
}

/* Guests that never stop leave the keyboard alone. */
static void test_floods(void **state)
{
	(void)state;
	fake_type("boot linux\r");
	poll_of_flood();
	fake_poll();
	fake_type("console linux\r");
	poll_of_flood();
	assert_has(fake_type("\x1d"), "pando> ");
	fc.restless = fc.vms[0];
	fc.n_screen = 0;
	ctl_poll();
	assert_true(ctl_wanted());
	fc.restless = NULL;
	assert_has(fake_type("version\r"), "timebase");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_one_hart_polls, fake_down),
		cmocka_unit_test_teardown(test_guests_have_their_part, fake_down),
		cmocka_unit_test_teardown(test_floods, fake_down),
	};

	return cmocka_run_group_tests(tests, fake_up, NULL);
}
