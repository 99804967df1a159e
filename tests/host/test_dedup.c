/* SPDX-License-Identifier: BSD-2-Clause */
/* The merge scanner as the shell shows it: policies, switches, what it saves, and its end. */
#include "ctl_fake.h"
#include "mm/merge.h"

/* A page of the VM's own that holds `value`. */
static void put_page(struct vm *vm, u32 page, u8 value)
{
	gpa_t gpa = GPA(vm->window.base.v + page * PAGE_SIZE);
	u8 *ptr;

	lock_acquire(&vm->space.lock);
	assert_int_equal(space_pin_locked(&vm->space, gpa, ACCESS_WRITE, &ptr), ERR_OK);
	memset((void *)ALIGN_DOWN((uintptr_t)ptr, PAGE_SIZE), value, PAGE_SIZE);
	lock_release(&vm->space.lock);
}

static u64 saved_now(void)
{
	const char *said = strstr(fake_type("dedup\r"), "saved now: ");

	assert_non_null(said);
	return strtoul(said + strlen("saved now: "), NULL, 10);
}

static void pass(u32 n)
{
	for (u32 i = 0; i < n; i++)
		fake_type("dedup once\r");
}

static void test_dedup_policy(void **state)
{
	struct merge_policy *a, *b;
	struct vm *vm;

	(void)state;
	fake_type("boot linux -n 2\r");
	vm = fc.vms[0];
	a = &vm->space.merge;
	b = &fc.vms[1]->space.merge;
	assert_int_equal(a->dedup, DEDUP_OFF);
	assert_has(fake_type("policy linux dedup=family\r"), " dedup=family");
	fake_type("policy linux-2 dedup=family\r");
	assert_int_equal(a->dedup, DEDUP_MERGE);
	assert_int_equal(b->dedup, DEDUP_MERGE);
	assert_true(a->domain != 0 && b->domain != 0 && a->domain != b->domain);
	assert_has(fake_type("policy linux dedup=domain:web\r"), " dedup=domain:web");
	fake_type("policy linux-2 dedup=domain:w\r");
	assert_true(a->domain != b->domain && a->domain <= MERGE_DOMAIN_MAX);
	fake_type("policy linux-2 dedup=domain:web\r");
	assert_int_equal(a->domain, b->domain);
	assert_has(fake_type("policy linux dedup=zero\r"), " dedup=zero");
	assert_int_equal(a->dedup, DEDUP_ZERO);
	assert_has(fake_type("policy linux dedup=domain:\r"),
	           "error: dedup= wants off, zero, family or domain:NAME");
	assert_has(fake_type("policy linux dedup=domain:a:b\r"), "error: dedup= wants");
	assert_has(fake_type("policy linux dedup=zeros\r"), "error: dedup= wants");
	fake_type("policy linux dedup=domain:web\r");
	assert_has(fake_type("policy linux secure=on\r"), " dedup=domain:web secure=on");
	assert_true(a->is_secure && !b->is_secure);
	assert_true(a->domain != b->domain &&
	            a->domain <= MERGE_DOMAIN_MAX); /* the name is the same */
	fake_type("policy linux-2 secure=on\r");
	assert_int_equal(a->domain, b->domain);
	assert_has(fake_type("policy linux secure=yes\r"), "error: secure= wants off or on");
	assert_has(fake_type("freeze linux --compact\r"), "error: linux: its policy is secure=on");
	fake_type("policy linux secure=off dedup=family\r");
	vm->space.family = MERGE_DOMAIN_MAX; /* a name's number */
	fake_type("policy linux dedup=family\r");
	assert_int_equal(a->dedup, DEDUP_ZERO);
}

static void test_dedup(void **state)
{
	static struct frame *gone[1 << 16];
	u64 saved;
	u32 n = 0;

	(void)state;
	fake_type("boot linux -n 2\r");
	for (u32 i = 0; i < 2; i++) {
		put_page(fc.vms[i], 0, 'x');
		put_page(fc.vms[i], 1, 0);
	}
	pass(4);
	assert_int_equal(saved_now(), 0);
	fake_type("policy linux dedup=domain:d\r");
	fake_type("policy linux-2 dedup=domain:d\r");
	pass(4);
	saved = saved_now();
	assert_true(saved >= 3);
	put_page(fc.vms[1], 0, 'y');
	assert_int_equal(saved_now(), saved - 1);
	while (n < ARRAY_LEN(gone) && (gone[n] = frame_alloc_order(0, FRAME_FOR_GUEST)))
		n++;
	assert_in_range(n, 1, ARRAY_LEN(gone) - 1);
	assert_has(fake_type("dedup unmerge linux\r"), "error: linux: wants ");
	assert_int_equal(fc.vms[0]->policy.dedup, DEDUP_WITH_DOMAIN);
	while (n > 0)
		frame_free_order(gone[--n], 0);
	fake_type("dedup unmerge linux\r");
	fake_type("dedup unmerge linux-2\r");
	assert_int_equal(saved_now(), 0);
	assert_int_equal(fc.vms[0]->space.merge.dedup, DEDUP_OFF);
	pass(4);
	assert_int_equal(saved_now(), 0);
}

static void test_compact(void **state)
{
	(void)state;
	fake_type("boot linux\r");
	put_page(fc.vms[0], 0, 'x');
	put_page(fc.vms[0], 1, 'x');
	put_page(fc.vms[0], 2, 0);
	assert_has(fake_type("freeze linux --compact\r"), "error: linux: its policy is dedup=off");
	fake_type("policy linux dedup=family\r");
	assert_has(fake_type("freeze linux --compact\r"), "linux: a template after ");
	assert_in_range(saved_now(), 2, 1000);
	assert_has(fake_type("mem linux\r"), "8 KiB merged");
	assert_has(fake_type("mem\r"), "counted in"); /* with the index */
	assert_null(strstr(fc.screen, "DIFFERENT"));
}

static void test_dedup_switches(void **state)
{
	(void)state;
	assert_has(fake_type("dedup\r"), "dedup: on; at most 1.0 % of a hart");
	fake_type("dedup off\r");
	fake_type("dedup rate=2.5%\r");
	assert_has(fake_type("dedup status\r"), "dedup: off; at most 2.5 %");
	assert_false(scan_is_on());
	fake_type("dedup rate=100\r");
	assert_int_equal(scan_rate(), 1000);
	for (u32 i = 0; i < 6; i++) {
		static const char *const bad[] = { "", "%", "101", "1.", "1.25", "100.1%" };
		char line[32];

		snprintf(line, sizeof(line), "dedup rate=%s\r", bad[i]);
		assert_has(fake_type(line), "error: rate= wants 0 to 100 % of a hart");
	}
	assert_int_equal(scan_rate(), 1000);
	fake_type("dedup split=always\r");
	assert_has(fake_type("dedup\r"), " of a hart while all are busy; splits all blocks\n");
	fake_type("dedup split=worth\r");
	assert_false(scan_splits_always());
	assert_has(fake_type("dedup split=no\r"), "error: no \"split=no\"; try help dedup");
	fake_type("dedup rate=1\r");
	fake_type("dedup on\r");
	assert_true(scan_is_on());
	assert_has(fake_type("dedup now\r"), "error: no \"now\"; try help dedup");
	assert_has(fake_type("dedup once linux\r"), "error: only unmerge wants a VM");
	assert_has(fake_type("dedup unmerge nobody\r"), "error: ");
}

#define TEST(fn) cmocka_unit_test_teardown(fn, fake_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dedup_policy),
		TEST(test_dedup),
		TEST(test_compact),
		TEST(test_dedup_switches),
	};

	return cmocka_run_group_tests(tests, fake_up, NULL);
}
