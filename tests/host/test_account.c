// SPDX-License-Identifier: BSD-2-Clause
/* Where time goes: a vCPU's, from load to unload, and a hart's. */
#include "unit.h"
#include "arch/time.h"
#include "fake.h"
#include "vm/account.h"
#include "vm/vcpu.h"

static struct vcpu v;

static void wait_7(void)
{
	fake_time += 7;
}

static int begin(void **state)
{
	(void)state;
	fake_machine(32, 2);
	memset(&v, 0, sizeof(v));
	fake_hart = 1;
	fake_time = 1000;
	return 0;
}

static void test_span(void **state)
{
	struct time_span s = { 0 };

	(void)state;
	time_span_start(&s);
	fake_time += 5;
	assert_int_equal(time_span_ticks(&s), 5);
	time_span_stop(&s);
	fake_time += 100;
	assert_int_equal(time_span_ticks(&s), 5);
	time_span_start(&s);
	fake_time += 10;
	assert_int_equal(time_span_ticks(&s), 15);
	time_span_stop(&s);
	assert_int_equal(s.sum, 15);
}

static void test_vcpu(void **state)
{
	struct vcpu_time t;

	(void)state;
	account_load(&v);
	fake_time += 50;
	v.guest_ticks += 30;
	v.exits[EXIT_SBI] = 3;
	t = account_vcpu(&v);
	assert_int_equal(t.guest, 30);
	assert_int_equal(t.hypervisor, 20);
	account_unload(&v);
	fake_time += 1000;
	t = account_vcpu(&v);
	assert_int_equal(t.guest, 30);
	assert_int_equal(t.hypervisor, 20);
	/* Counted late: no time, rather than centuries. */
	v.guest_ticks += 100;
	assert_int_equal(account_vcpu(&v).hypervisor, 0);
}

static void test_hart(void **state)
{
	struct hart_time before = account_hart(1), other = account_hart(0), t;

	(void)state;
	account_load(&v);
	fake_time += 50;
	v.exits[EXIT_SBI] = 3;
	v.exits[EXIT_MMIO] = 2;
	assert_int_equal(account_hart(1).vcpus - before.vcpus, 50);
	assert_int_equal(account_new_exits(&v), 5);
	account_unload(&v);
	assert_int_equal(account_new_exits(&v), 0);
	account_load(&v);
	v.exits[EXIT_MMIO]++;
	account_unload(&v);
	fake_on_wait = wait_7;
	account_wait();
	fake_on_wait = NULL;
	t = account_hart(1);
	assert_int_equal(t.vcpus - before.vcpus, 50);
	assert_int_equal(t.idle - before.idle, 7);
	assert_int_equal(t.exits - before.exits, 6);
	assert_int_equal(account_hart(0).vcpus, other.vcpus);
}

static void end_stay(u32 hart)
{
	assert_int_equal(hart, 0);
	v.guest_ticks += 40;
}

/* A guest that runs on another hart is made to leave it, so that its time so far is counted. */
static void test_running(void **state)
{
	(void)state;
	account_load(&v);
	fake_time += 60;
	atomic_store(&v.in_guest, true);
	atomic_store(&v.home, 0);
	fake_on_kick = end_stay;
	assert_int_equal(account_vcpu(&v).guest, 40);
	account_unload(&v);
	fake_on_kick = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_span, begin),
		cmocka_unit_test_setup(test_vcpu, begin),
		cmocka_unit_test_setup(test_hart, begin),
		cmocka_unit_test_setup(test_running, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
