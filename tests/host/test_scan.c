// SPDX-License-Identifier: BSD-2-Clause
/*
 * The merge scanner's rounds (docs/dedup.md): spaces that end meanwhile, blocks, templates that are compacted, pages that
 * are given back, and what it does without memory.
 */
#include "merge_unit.h"

#include "mm/index.h"

static struct space a, b, c;

static u32 n_left;
static bool is_done;

static void leave_the_cursor(void)
{
	n_left++;
	(void)space_cursor_put(CURSOR_SCAN, is_done);
}

/* A space that the scanner is in does not end before it has left it, to come back or not. */
static void test_end_at_the_cursor(void **state)
{
	(void)state;
	merge_start(&a, &b);
	for (u32 k = 0; k < 2; k++) {
		merge_space(&c, 1);
		space_cursor_rewind(CURSOR_SCAN);
		assert_ptr_equal(space_cursor_get(CURSOR_SCAN), &c);
		n_left = 0;
		is_done = k;
		fake_on_blocked = leave_the_cursor;
		space_fini(&c);
		fake_on_blocked = NULL;
		assert_int_equal(n_left, 1);
		assert_ptr_equal(space_cursor_get(CURSOR_SCAN), &b);
	}
	assert_true(space_cursor_put(CURSOR_SCAN, true));
	assert_ptr_equal(space_cursor_get(CURSOR_SCAN), &a);
	assert_false(space_cursor_put(CURSOR_SCAN, true)); /* the end of the list */
	merge_end(&a, &b);
}

/* ---- blocks, compaction, unmerge ---- */

static u64 image[BLOCK_SIZE / 8];

static void fill_image(u32 n_zero, u64 salt)
{
	for (u64 i = 0; i < ARRAY_LEN(image); i++)
		image[i] = i / (PAGE_SIZE / 8) < N_ENTRIES - n_zero ? i + salt : 0;
}

static void load(struct space *s, u64 gpa)
{
	assert_int_equal(space_load(s, GPA(gpa), image, sizeof(image)), ERR_OK);
}

static void test_blocks(void **state)
{
	(void)state;
	merge_start(&a, &b);
	fill_image(20, 1);
	load(&a, RAM);
	fill_image(N_ENTRIES / 2, BIT(30)); /* nothing in common */
	load(&a, RAM + BLOCK_SIZE);
	merge_passes(SETTLED);
	assert_int_equal(merge_stats_now().split, 1);
	assert_int_equal(merge_stats_now().zero, N_ENTRIES / 2);
	scan_split_always(true);
	merge_passes(2);
	assert_int_equal(merge_stats_now().split, 2);
	assert_int_equal(mm_load(1, &a, RAM + BLOCK_SIZE + 8), BIT(30) + 1);
	assert_int_equal(mm_load(1, &a, RAM + 2 * BLOCK_SIZE - 8), 0);
	mm_audit();
	merge_end(&a, &b);
}

static void store_in_passing(void)
{
	if (!fake_is_in_guest(1))
		fake_enter(1, &a, 1);
	assert_non_null(fake_access(1, MM_PAGE(0), true));
}

/* A block that is written all the time, by a hart that never leaves its guest by itself, stays one. */
static void test_hot_block(void **state)
{
	(void)state;
	merge_start(&a, &b);
	fill_image(N_ENTRIES / 2, 1);
	load(&a, RAM);
	for (u32 k = 0; k < SETTLED; k++) {
		store_in_passing();
		merge_passes(1);
	}
	assert_int_equal(merge_stats_now().split, 0);
	assert_int_equal(merge_stats_now().dirty, SETTLED * N_ENTRIES);
	merge_passes(1);
	assert_int_equal(merge_stats_now().split, 1);
	merge_end(&a, &b);
}

/* Stored to once more while it is judged: then no page of it has W, and no hart still writes by the block's entry. */
static void test_written_before_the_split(void **state)
{
	(void)state;
	merge_start(&a, &b);
	fill_image(N_ENTRIES / 2, 1);
	load(&a, RAM);
	merge_passes(1);
	fake_on_compare = store_in_passing;
	merge_passes(1);
	fake_on_compare = NULL;
	assert_int_equal(merge_stats_now().split, 1);
	assert_false(mm_leaf(&a, MM_PAGE(0)) & PTE_W);
	assert_true(!fake_is_in_guest(1) || !fake_access(1, MM_PAGE(0), true));
	mm_audit();
	merge_end(&a, &b);
}

/* Before the first clone exists, from an index that is not there yet. */
static void test_compact(void **state)
{
	struct space_usage u;
	struct space clone;

	(void)state;
	merge_start(&a, &b);
	fill_image(N_ENTRIES / 2, 1);
	load(&a, RAM);
	load(&a, RAM + BLOCK_SIZE);
	for (u32 k = 0; k < 10; k++)
		mm_store(0, &a, MM_PAGE(1024 + k), 5 + k % 2);
	fake_hart = SCANNER;
	scan_compact(&a);
	space_usage(&a, &u);
	assert_int_equal(u.zero_pages, N_ENTRIES);
	assert_int_equal(u.merged_frames, N_ENTRIES + 10);
	space_freeze(&a);
	space_clone(&clone, &a);
	fake_hart = 0;
	mm_audit();
	for (u32 k = 0; k < 2 * N_ENTRIES; k++)
		assert_int_equal(mm_load(1, &clone, MM_PAGE(k)),
		                 image[k % N_ENTRIES * (PAGE_SIZE / 8)]);
	mm_store(0, &clone, MM_PAGE(1025), 9);
	mm_store(0, &clone, MM_PAGE(0), 8);
	assert_int_equal(mm_load(1, &clone, MM_PAGE(N_ENTRIES)), 1);
	assert_int_equal(mm_load(1, &clone, MM_PAGE(1027)), 6);
	mm_audit();
	space_fini(&clone);
	merge_end(&a, &b);
}

/* What a space was promised lets it have its pages back, whatever others have taken. */
static void test_unmerge_reserved(void **state)
{
	(void)state;
	merge_start(&a, &b);
	for (u32 k = 0; k < 4; k++) {
		mm_store(0, &a, MM_PAGE(k), 5 + k);
		mm_store(1, &b, MM_PAGE(k), 5 + k);
	}
	merge_passes(SETTLED);
	assert_int_equal(scan_n_given(&a), 4);
	assert_int_equal(promise_make(&a), ERR_OK);
	a.merge.dedup = b.merge.dedup = DEDUP_OFF;
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	assert_int_equal(scan_unmerge(&a), ERR_OK);
	assert_int_equal(scan_n_given(&a), 0);
	assert_int_equal(scan_unmerge(&b), ERR_NOMEM);
	mm_uneat();
	merge_end(&a, &b);
}

/* A block that was looked into and split; its pieces have hashes until the table is dissolved. */
static void test_pieces_are_forgotten(void **state)
{
	(void)state;
	merge_start(&a, &b);
	for (u32 i = 0; i < ARRAY_LEN(image); i++)
		image[i] = 0x900 + i % N_ENTRIES;
	load(&a, RAM + BLOCK_SIZE);
	for (u32 n = 0; n < 12 && merge_stats_now().split == 0; n++)
		merge_passes(1);
	assert_int_equal(merge_kind(&a, 512 + 33), KIND_PIECE);
	fake_hart = SCANNER;
	scan_set_policy(&a, (struct merge_policy){ DEDUP_OFF, 0, false });
	fake_hart = 0;
	for (u32 k = 0; k < N_ENTRIES; k++)
		mm_store(1, &b, MM_PAGE(0) + 8 * k, 0x900 + k);
	merge_passes(SETTLED);
	assert_false(frame_is_keeper(merge_frame(&b, 0)));
	merge_end(&a, &b);
}

static void test_unmerge(void **state)
{
	struct space_usage u;

	(void)state;
	merge_start(&a, &b);
	for (u32 k = 0; k < 20; k++) {
		mm_store(0, &a, MM_PAGE(k), k < 10 ? 0 : 5);
		mm_store(0, &b, MM_PAGE(k), k < 10 ? 0 : 5);
	}
	merge_passes(SETTLED);
	space_usage(&a, &u);
	assert_int_equal(u.private_frames, 0);
	fake_hart = SCANNER;
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	assert_int_equal(scan_unmerge(&a), ERR_NOMEM);
	space_usage(&a, &u);
	assert_int_equal(u.private_frames, 0);
	mm_uneat();
	for (u32 h = 0; h <= SCANNER; h++) {
		fake_hart = h;
		frame_flush_cache();
	}
	assert_int_equal(scan_unmerge(&a), ERR_OK);
	space_usage(&a, &u);
	assert_int_equal(u.private_frames, 20);
	assert_int_equal(u.merged_frames + u.zero_pages + u.shared_frames, 0);
	fake_hart = 0;
	for (u32 k = 0; k < 20; k++)
		assert_int_equal(mm_load(1, &a, MM_PAGE(k)), k < 10 ? 0 : 5);
	mm_audit();
	merge_end(&a, &b);
}

/* ---- memory ---- */

#define N_DISTINCT 1900U

/* Pages that differ in every word: the hash looks at some only. */
static void fill_page(struct space *s, u32 page)
{
	u64 *word = (u64 *)(void *)fake_touch(0, s, MM_PAGE(page), true);

	assert_non_null(word);
	for (u32 k = 0; k < PAGE_SIZE / 8; k++)
		word[k] = 1000 + page;
}

/* More distinct pages than the first index has room for. */
static void test_index_grows(void **state)
{
	u64 first;

	(void)state;
	mm_start(48, SCANNER + 1);
	merge_space(&a, 1);
	merge_space(&b, 1);
	for (u32 k = 0; k < N_DISTINCT; k++) {
		fill_page(&a, k);
		fill_page(&b, k);
	}
	while (index_bytes() == 0)
		merge_passes(1);
	first = index_bytes();
	merge_passes(2 * SETTLED);
	assert_true(index_bytes() > first);
	assert_in_range(merge_stats_now().merged, N_DISTINCT * 9 / 10, N_DISTINCT);
	mm_audit();
	for (u32 k = 0; k < N_DISTINCT; k++)
		assert_int_equal(mm_load(1, &b, MM_PAGE(k)), 1000 + k);
	merge_end(&a, &b);
}

static void test_no_memory_for_an_index(void **state)
{
	(void)state;
	merge_start(&a, &b);
	mm_store(0, &a, MM_PAGE(0), 5);
	mm_store(0, &b, MM_PAGE(0), 5);
	mm_store(0, &b, MM_PAGE(1), 0);
	frame_fail_from(1);
	merge_passes(SETTLED);
	assert_int_equal(index_bytes(), 0);
	assert_int_equal(merge_kind(&b, 1), KIND_ZERO);
	assert_false(merge_is_one(&a, 0, &b, 0));
	frame_fail_from(0);
	merge_passes(SETTLED);
	assert_true(merge_is_one(&a, 0, &b, 0));
	merge_end(&a, &b);
}

/* When guests want its memory the index goes; what was merged is found again by the next one. */
static void test_index_is_given_back(void **state)
{
	(void)state;
	merge_start(&a, &b);
	mm_store(0, &a, MM_PAGE(0), 5);
	mm_store(0, &b, MM_PAGE(0), 5);
	mm_store(0, &a, MM_PAGE(1), 6);
	merge_passes(SETTLED);
	assert_true(index_bytes() > 0);
	fake_hart = SCANNER;
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	assert_true(space_relieve());
	fake_hart = 0;
	assert_int_equal(index_bytes(), 0);
	merge_passes(SETTLED);
	assert_int_equal(index_bytes(), 0); /* memory is as short as before */
	mm_uneat();
	mm_store(0, &b, MM_PAGE(1), 5);
	mm_store(0, &b, MM_PAGE(2), 6);
	merge_passes(SETTLED);
	assert_true(index_bytes() > 0);
	assert_true(merge_is_one(&b, 1, &a, 0) && merge_is_one(&b, 1, &b, 0));
	assert_true(merge_is_one(&b, 2, &a, 1));
	mm_audit();
	merge_end(&a, &b);
}

static void history_without(u64 nth)
{
	u64 found;

	merge_start(&a, &b);
	fill_image(N_ENTRIES / 2, 1);
	load(&a, RAM);
	load(&b, RAM + BLOCK_SIZE);
	for (u32 k = 0; k < 40; k++)
		mm_store(0, &b, MM_PAGE(k), 7 + k % 2);
	frame_fail_after(nth);
	merge_passes(SETTLED);
	frame_fail_after(0);
	mm_audit();
	for (u32 k = 0; k < N_ENTRIES; k++) {
		assert_int_equal(copy_from_guest(&a, &found, GPA(MM_PAGE(k)), 8), ERR_OK);
		assert_int_equal(found, image[k * (PAGE_SIZE / 8)]);
		assert_int_equal(copy_from_guest(&b, &found, GPA(MM_PAGE(k)), 8), ERR_OK);
		assert_int_equal(found, k < 40 ? 7 + k % 2 : 0);
	}
	merge_end(&a, &b);
}

/* Each allocation of a few passes is refused once. */
static void test_every_allocation_fails_once(void **state)
{
	(void)state;
	for (u64 nth = 1; nth <= 12; nth++)
		history_without(nth);
}

static u32 n_holds;

static void count_holds(const struct spinlock *l)
{
	n_holds += l == &a.lock;
}

/* What an operator asks about a large VM keeps its breaks waiting for one region at a time. */
static void test_no_long_holds(void **state)
{
	struct region run;

	(void)state;
	merge_start(&a, &b);
	for (u32 k = 0; k < 4; k++)
		mm_store(0, &a, MM_PAGE(k * N_ENTRIES), 0);
	merge_passes(SETTLED);
	fake_on_release = count_holds;
	n_holds = 0;
	assert_int_equal(scan_n_given(&a), 4);
	assert_in_range(n_holds, 4, 8);
	n_holds = 0;
	assert_false(space_next_private(&a, GPA(0), &run));
	assert_in_range(n_holds, 4, 8);
	n_holds = 0;
	scan_set_policy(&a, (struct merge_policy){ DEDUP_OFF, 0, false });
	assert_in_range(n_holds, 4, 8);
	fake_on_release = NULL;
	merge_end(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end_at_the_cursor),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_hot_block),
		cmocka_unit_test(test_written_before_the_split),
		cmocka_unit_test(test_compact),
		cmocka_unit_test(test_unmerge),
		cmocka_unit_test(test_unmerge_reserved),
		cmocka_unit_test(test_pieces_are_forgotten),
		cmocka_unit_test(test_index_grows),
		cmocka_unit_test(test_no_memory_for_an_index),
		cmocka_unit_test(test_index_is_given_back),
		cmocka_unit_test(test_every_allocation_fails_once),
		cmocka_unit_test(test_no_long_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
