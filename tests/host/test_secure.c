// SPDX-License-Identifier: BSD-2-Clause
/*
 * The secure mode of the merge scanner (docs/dedup.md, mm/hide.h): pages that were merged and pages that were not take the same
 * way, and where a page lies says nothing.
 */
#include "merge_unit.h"

#include "arch/time.h"
#include "mm/hide.h"

static struct space a, b;

#define DOMAIN 7U
#define IDLE   4U /* passes: A cleared, hidden, and two to spare */

static void start(void)
{
	merge_start(&a, &b);
	a.merge = b.merge = (struct merge_policy){ DEDUP_MERGE, DOMAIN, true };
}

static bool is_hidden(const struct space *s, u32 page)
{
	return pte_is_hidden(mm_leaf(s, MM_PAGE(page)));
}

/* One page of each kind: in both spaces, in one alone, zeroes. */
static void fill(void)
{
	mm_store(0, &a, MM_PAGE(0), 5);
	mm_store(1, &b, MM_PAGE(0), 5);
	mm_store(0, &a, MM_PAGE(1), 6);
	mm_store(0, &a, MM_PAGE(2), 0);
}

static void test_all_are_hidden(void **state)
{
	struct merge_saved saved;
	struct frame *was[3];

	(void)state;
	start();
	fill();
	for (u32 k = 0; k < 3; k++)
		was[k] = merge_frame(&a, k);
	merge_passes(IDLE);
	for (u32 k = 0; k < 3; k++) {
		assert_true(is_hidden(&a, k));
		assert_ptr_not_equal(merge_frame(&a, k), was[k]); /* also that without a twin */
	}
	assert_true(merge_is_one(&a, 0, &b, 0));
	assert_int_equal(frame_refs(merge_frame(&a, 1)), 1);
	assert_int_equal(merge_kind(&a, 2), KIND_ZERO);
	assert_int_equal(merge_stats_now().merged, 1);
	merge_saved(&saved);
	assert_int_equal(saved.merged, 1);
	assert_int_equal(saved.zero, 1);
	mm_audit();
	merge_end(&a, &b);
}

/* A load and a store alike: a copy, which may then be written. */
static void access_is_a_copy(bool is_store)
{
	u64 copies, others;

	start();
	fill();
	merge_passes(IDLE);
	copies = a.breaks[BREAK_COPY];
	others = a.breaks[BREAK_OWN] + a.breaks[BREAK_ZERO_FILL] + a.breaks[BREAK_SPURIOUS];
	for (u32 k = 0; k < 3; k++) {
		struct frame *was = merge_frame(&a, k);

		if (is_store)
			mm_store(0, &a, MM_PAGE(k) + 8, 9);
		assert_int_equal(mm_load(0, &a, MM_PAGE(k)), k == 2 ? 0 : 5 + k);
		assert_int_equal(a.breaks[BREAK_COPY], copies + k + 1);
		assert_ptr_not_equal(merge_frame(&a, k), was);
		assert_false(is_hidden(&a, k));
		mm_audit();
		mm_store(0, &a, MM_PAGE(k), 10); /* no fault */
	}
	assert_int_equal(a.breaks[BREAK_COPY], copies + 3);
	assert_int_equal(others, a.breaks[BREAK_OWN] + a.breaks[BREAK_ZERO_FILL] +
	                                 a.breaks[BREAK_SPURIOUS]);
	assert_int_equal(mm_load(1, &b, MM_PAGE(0)), 5);
	merge_end(&a, &b);
}

static void test_load_is_a_copy(void **state)
{
	(void)state;
	access_is_a_copy(false);
}

static void test_store_is_a_copy(void **state)
{
	(void)state;
	access_is_a_copy(true);
}

/* What is only read stays as it is, too, also where the machine traps on A. */
static void pages_in_use(bool traps)
{
	start();
	fake_traps_on_d = traps;
	fill();
	for (u32 k = 0; k < 2 * IDLE; k++) {
		merge_passes(1);
		assert_int_equal(mm_load(0, &a, MM_PAGE(0)), 5);
		assert_int_equal(mm_load(2, &a, MM_PAGE(1)), 6);
	}
	assert_false(is_hidden(&a, 0) || is_hidden(&a, 1));
	assert_true(is_hidden(&a, 2) && is_hidden(&b, 0));
	mm_audit();
	merge_end(&a, &b);
}

static void test_pages_in_use(void **state)
{
	(void)state;
	pages_in_use(false);
	pages_in_use(true);
}

/* Pando's own look at a guest's memory changes nothing; its store is like the guest's. */
static void test_pando_looks(void **state)
{
	u64 word;

	(void)state;
	start();
	fill();
	merge_passes(IDLE);
	for (u32 k = 0; k < 3; k++) {
		assert_int_equal(copy_from_guest(&a, &word, GPA(MM_PAGE(k)), 8), ERR_OK);
		assert_int_equal(word, k == 2 ? 0 : 5 + k);
		assert_true(is_hidden(&a, k));
	}
	assert_int_equal(copy_to_guest(&a, GPA(MM_PAGE(0)), &word, 8), ERR_OK);
	assert_false(is_hidden(&a, 0));
	assert_int_equal(mm_load(1, &b, MM_PAGE(0)), 5);
	mm_audit();
	merge_end(&a, &b);
}

/* Hidden pages are shared by a clone as any others, and each side gets its own copy. */
static void test_clone_of_hidden_pages(void **state)
{
	struct space child;

	(void)state;
	start();
	fill();
	merge_passes(IDLE);
	space_fork(&child, &a);
	for (u32 k = 0; k < 3; k++) {
		assert_int_equal(mm_load(2, &child, MM_PAGE(k)), k == 2 ? 0 : 5 + k);
		mm_store(2, &child, MM_PAGE(k), 20);
		assert_true(is_hidden(&a, k));
		assert_int_equal(mm_load(0, &a, MM_PAGE(k)), k == 2 ? 0 : 5 + k);
	}
	mm_audit();
	space_fini(&child);
	merge_end(&a, &b);
}

/* Back to a template's slot, and out of it again, as any other page. */
static void test_back_to_template(void **state)
{
	struct space template, clone;
	u64 copies;

	(void)state;
	mm_start(32, SCANNER + 1);
	mm_space(&template, 8);
	mm_store(0, &template, MM_PAGE(0), 60);
	mm_store(0, &template, MM_PAGE(1), 61);
	space_freeze(&template);
	space_clone(&clone, &template);
	clone.merge = (struct merge_policy){ DEDUP_ZERO, 0, true };
	mm_store(0, &clone, MM_PAGE(0), 60);
	mm_store(0, &clone, MM_PAGE(1), 62);
	merge_passes(IDLE);
	assert_int_equal(merge_kind(&clone, 0), KIND_PIECE);
	assert_true(is_hidden(&clone, 0) && is_hidden(&clone, 1));
	assert_int_equal(merge_stats_now().back, 1);
	space_fini(&template); /* the block is the clone's alone now */
	copies = clone.breaks[BREAK_COPY];
	assert_int_equal(mm_load(0, &clone, MM_PAGE(0)), 60);
	assert_int_equal(mm_load(0, &clone, MM_PAGE(1)), 62);
	assert_int_equal(clone.breaks[BREAK_COPY], copies + 2);
	mm_audit();
	space_fini(&clone);
	mm_end();
}

/* Where nothing can be drawn nothing is done, or a page with a twin would differ from one without. */
static void test_no_memory(void **state)
{
	(void)state;
	start();
	fill();
	merge_passes(1);
	fake_hart = SCANNER;
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	fake_hart = 0;
	merge_passes(IDLE);
	for (u32 k = 0; k < 3; k++)
		assert_false(is_hidden(&a, k));
	mm_uneat();
	merge_passes(IDLE);
	assert_true(is_hidden(&a, 0));
	fake_hart = SCANNER;
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	fake_hart = 0;
	frame_fail_from(1);
	assert_int_equal(space_fault(&a, GPA(MM_PAGE(0)), ACCESS_READ), ERR_NOMEM);
	frame_fail_from(0);
	assert_true(is_hidden(&a, 0));
	mm_uneat();
	assert_int_equal(mm_load(0, &a, MM_PAGE(0)), 5);
	merge_end(&a, &b);
}

/* A page that is in the index's reach already, and could be hidden but for the frame. */
static void test_no_frame_to_hide_in(void **state)
{
	(void)state;
	start();
	fill();
	b.merge = (struct merge_policy){ DEDUP_ZERO, 0, true }; /* asks no index */
	merge_passes(IDLE);
	assert_true(is_hidden(&a, 0) && is_hidden(&b, 0));
	mm_store(0, &a, MM_PAGE(3), 7);
	mm_store(0, &b, MM_PAGE(3), 0);
	mm_store(0, &b, MM_PAGE(4), 7);
	merge_passes(1);
	fake_hart = SCANNER;
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	fake_hart = 0;
	merge_passes(IDLE);
	assert_false(is_hidden(&a, 3) || is_hidden(&b, 3) || is_hidden(&b, 4));
	mm_uneat();
	merge_passes(IDLE);
	assert_true(is_hidden(&a, 3) && is_hidden(&b, 3) && is_hidden(&b, 4));
	mm_audit();
	merge_end(&a, &b);
}

/* Before a freeze nothing is hidden that was not: its clones would have to copy what they only read. */
static void test_compact_hides_nothing(void **state)
{
	struct space clone;

	(void)state;
	start();
	fill();
	a.merge = (struct merge_policy){ DEDUP_ZERO, 0, true };
	fake_hart = SCANNER;
	scan_compact(&a);
	space_freeze(&a);
	space_clone(&clone, &a);
	fake_hart = 0;
	for (u32 k = 0; k < 3; k++) {
		assert_false(is_hidden(&a, k));
		assert_int_equal(mm_load(0, &clone, MM_PAGE(k)), k == 2 ? 0 : 5 + k);
	}
	assert_int_equal(clone.breaks[BREAK_COPY], 0);
	mm_audit();
	space_fini(&clone);
	merge_end(&a, &b);
}

/* The frame that a page gets is not the one that was given back last, nor the next in a row. */
static void test_frames_are_drawn(void **state)
{
	struct frame *last = NULL;
	u32 n_neighbours = 0, n_pages = 200;

	(void)state;
	start();
	for (u32 k = 0; k < n_pages; k++)
		mm_store(0, &a, MM_PAGE(k), 100 + k);
	merge_passes(IDLE);
	assert_int_equal(hide_n_frames(), 256);
	for (u32 k = 0; k < n_pages; k++) {
		assert_true(is_hidden(&a, k));
		n_neighbours +=
			last && (merge_frame(&a, k) == last + 1 || merge_frame(&a, k) == last - 1);
		last = merge_frame(&a, k);
	}
	assert_in_range(n_neighbours, 0, n_pages / 10);
	a.merge.is_secure = b.merge.is_secure = false;
	merge_passes(2);
	assert_int_equal(hide_n_frames(), 0); /* nobody wants them any more */
	merge_end(&a, &b);
}

/* Where no hart is idle the scanner itself drops the counts of what was revealed. */
static void test_pass_settles(void **state)
{
	const struct frame *keeper;

	(void)state;
	start();
	fill();
	merge_passes(IDLE);
	assert_true(is_hidden(&a, 1));
	keeper = merge_frame(&a, 1);
	mm_load(0, &a, MM_PAGE(1));
	assert_int_equal(keeper->class, FRAME_COUNTED);
	merge_passes(1);
	assert_int_equal(keeper->class, FRAME_FREE);
	merge_end(&a, &b);
}

/* What was merged before the mode was switched on is hidden like the rest. */
static void test_switched_on_later(void **state)
{
	(void)state;
	start();
	a.merge.is_secure = b.merge.is_secure = false;
	fill();
	merge_passes(SETTLED);
	assert_true(merge_is_one(&a, 0, &b, 0) && !is_hidden(&a, 0));
	a.merge.is_secure = true;
	merge_passes(IDLE);
	assert_true(is_hidden(&a, 0));
	assert_false(is_hidden(&b, 0));
	assert_int_equal(scan_n_given(&a), 3);
	fake_hart = SCANNER;
	assert_int_equal(scan_unmerge(&a), ERR_OK);
	fake_hart = 0;
	for (u32 k = 0; k < 3; k++)
		assert_false(is_hidden(&a, k));
	mm_audit();
	merge_end(&a, &b);
}

/* One batch, as an idle hart makes it: the next goes on from there. */
static void step(void)
{
	fake_hart = SCANNER;
	fake_time += time_ns_to_ticks(5000000000UL);
	(void)scan_idle();
}

/* The mode changes between two batches of one table: the next begins where any other could. */
static void test_switched_off_in_a_table(void **state)
{
	enum { FIRST = 3, N = 57 };
	u32 tries = 0;

	(void)state;
	start();
	for (u32 k = FIRST; k < FIRST + N; k++)
		mm_store(0, &a, MM_PAGE(k), 100 + k);
	merge_passes(1);
	for (; !is_hidden(&a, FIRST); step())
		assert_true(tries++ < 100);
	assert_false(is_hidden(&a, FIRST + N - 1));
	scan_set_policy(&a, (struct merge_policy){ DEDUP_MERGE, DOMAIN, false });
	step();
	merge_passes(SETTLED);
	for (u32 k = FIRST; k < FIRST + N; k++)
		assert_int_equal(mm_load(0, &a, MM_PAGE(k)), 100 + k);
	mm_audit();
	merge_end(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_are_hidden),
		cmocka_unit_test(test_load_is_a_copy),
		cmocka_unit_test(test_store_is_a_copy),
		cmocka_unit_test(test_pages_in_use),
		cmocka_unit_test(test_pando_looks),
		cmocka_unit_test(test_clone_of_hidden_pages),
		cmocka_unit_test(test_back_to_template),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_no_frame_to_hide_in),
		cmocka_unit_test(test_compact_hides_nothing),
		cmocka_unit_test(test_frames_are_drawn),
		cmocka_unit_test(test_pass_settles),
		cmocka_unit_test(test_switched_on_later),
		cmocka_unit_test(test_switched_off_in_a_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
