/* SPDX-License-Identifier: BSD-2-Clause */
/* No hart executes what its instruction cache has of a frame's past, in another VM or in the same one. */
#include "merge_unit.h"
#include "arch/phys.h"
#include "crew_icache.h"
#include "mm/hide.h"

enum { N_SECRET = 200, OLD = 77 };

static struct space a, b;

static u64 fetch(u32 h, u64 gpa)
{
	const u8 *at = NULL;

	for (u32 tries = 0; tries < 4 && !at; tries++) {
		if (!fake_is_in_guest(h))
			fake_enter_again(h, &a);
		at = fake_fetch(h, gpa);
		if (at)
			break;
		fake_leave(h);
		fake_hart = h;
		assert_int_equal(space_fault(&a, GPA(gpa), ACCESS_READ), ERR_OK);
		fake_hart = 0;
	}
	assert_non_null(at);
	return icache_fetch(h, (const u64 *)(const void *)at);
}

/* Hart 1 honours all that `a` wants, then executes a page of `b`.  Its frame. */
static struct frame *execute_b(void)
{
	fake_enter(1, &a, 1);
	fake_leave(1);
	fake_enter(1, &b, 1);
	assert_int_equal(icache_fetch(1, (const u64 *)(const void *)fake_fetch(1, MM_PAGE(0))),
	                 OLD);
	fake_leave(1);
	return merge_frame(&b, 0);
}

/* What has died is freed: hart 1 comes by from time to time, the others run no guest. */
static void let_go(void)
{
	for (u32 n = 0; n < 8; n++) {
		fake_hart = 2;
		space_unload();
		fake_hart = 0;
		space_unload();
		space_reap(1000);
		fake_enter_again(1, &a);
		fake_leave(1);
	}
	fake_enter_again(1, &a);
}

/* The frame comes back as a page that hart 0 fills, in a VM that hart 1 is in again. */
static void test_zero_fill(void **state)
{
	const struct frame *f;
	bool came = false;

	(void)state;
	icache_reset();
	mm_start(32, 4);
	mm_space(&a, 8);
	mm_space(&b, 8);
	mm_store(0, &a, MM_PAGE(0), 1);
	mm_store(2, &b, MM_PAGE(0), OLD);
	f = execute_b();
	fake_hart = 0;
	space_fini(&b);
	let_go();
	for (u32 k = 1; k < 1000 && !came; k++) {
		mm_store(0, &a, MM_PAGE(k) + 8, 2);
		came = merge_frame(&a, k) == f;
		assert_int_equal(fetch(1, MM_PAGE(k)), 0);
	}
	assert_true(came);
	fake_leave(1);
	space_fini(&a);
	mm_end();
}

/* In secure mode, as a page that hart 0 has back. */
static void test_reveal(void **state)
{
	const struct frame *f;
	bool came = false;

	(void)state;
	icache_reset();
	merge_start(&a, &b);
	a.merge = (struct merge_policy){ DEDUP_MERGE, 7, true };
	b.merge = (struct merge_policy){ DEDUP_MERGE, 1, true };
	for (u32 k = 0; k < N_SECRET; k++)
		mm_store(0, &a, MM_PAGE(k), 1000 + k);
	mm_store(2, &b, MM_PAGE(0), OLD);
	merge_passes(4);
	mm_load(2, &b, MM_PAGE(0));
	f = execute_b();
	fake_hart = 0;
	for (u32 n = 0; n < 6; n++)
		scan_once(); /* b's page is hidden again; hart 0 has what it had */
	hide_drain();
	fake_enter_again(1, &a);
	for (u32 k = 0; k < N_SECRET; k++) {
		assert_true(pte_is_hidden(mm_leaf(&a, MM_PAGE(k))));
		assert_int_equal(mm_load(0, &a, MM_PAGE(k)), 1000 + k);
		assert_int_equal(fetch(1, MM_PAGE(k)), 1000 + k);
		came |= merge_frame(&a, k) == f;
	}
	assert_true(came);
	fake_leave(1);
	merge_end(&a, &b);
}

static u32 n_kicks;

static void hart_1_fetches(u32 h)
{
	if (h != 1 || !fake_is_in_guest(1))
		return;
	n_kicks++;
	assert_null(fake_fetch(1, MM_PAGE(1)));
	fake_leave(1);
}

/* A copy, a page that is revealed: until hart 1 has left the guest it cannot execute it. */
static void test_copy(void **state)
{
	void (*was)(u32) = fake_on_kick;

	(void)state;
	mm_family(&a, &b);
	mm_store(0, &b, MM_PAGE(0), 3);
	fake_enter(1, &b, 1);
	n_kicks = 0;
	fake_on_kick = hart_1_fetches;
	mm_store(0, &b, MM_PAGE(1), 4);
	fake_on_kick = was;
	assert_int_equal(n_kicks, 1);
	space_fini(&b);
	space_fini(&a);
	mm_end();
}

static void test_reveal_waits(void **state)
{
	void (*was)(u32) = fake_on_kick;

	(void)state;
	merge_start(&a, &b);
	a.merge = (struct merge_policy){ DEDUP_MERGE, 7, true };
	mm_store(0, &a, MM_PAGE(1), 3);
	merge_passes(4);
	assert_true(pte_is_hidden(mm_leaf(&a, MM_PAGE(1))));
	fake_enter(1, &a, 1);
	n_kicks = 0;
	fake_on_kick = hart_1_fetches;
	assert_int_equal(mm_load(0, &a, MM_PAGE(1)), 3);
	fake_on_kick = was;
	assert_int_equal(n_kicks, 1);
	merge_end(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zero_fill),
		cmocka_unit_test(test_reveal),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_reveal_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
