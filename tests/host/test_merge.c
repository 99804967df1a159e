// SPDX-License-Identifier: BSD-2-Clause
/*
 * The merge scanner, page by page (docs/dedup.md): what becomes one frame, and what does not.  A page is one word and zeroes; equal words are equal pages.
 */
#include "merge_unit.h"

#include "arch/phys.h"
#include "mm/twin.h"

static struct space a, b, c;

/* ---- what becomes one ---- */

static void test_zero_page(void **state)
{
	(void)state;
	merge_start(&a, &b);
	mm_store(0, &a, MM_PAGE(0), 5);
	mm_store(0, &a, MM_PAGE(0), 0);
	mm_store(0, &a, MM_PAGE(1) + 4088, 1);
	merge_passes(2);
	assert_int_equal(merge_kind(&a, 0), KIND_ZERO);
	assert_int_equal(merge_kind(&a, 1), KIND_LEAF);
	assert_int_equal(merge_stats_now().zero, 1);
	mm_audit();
	mm_store(0, &a, MM_PAGE(0), 6);
	assert_int_equal(mm_load(1, &a, MM_PAGE(0)), 6);
	merge_end(&a, &b);
}

/* A clone's page that is as in the template again is the template's slot again, in whatever kind of block. */
static void test_back_to_template(void **state)
{
	static u64 image[BLOCK_SIZE / 8];
	struct space template, clone;

	(void)state;
	mm_start(32, SCANNER + 1);
	mm_space(&template, 8);
	for (u64 i = 0; i < ARRAY_LEN(image); i++)
		image[i] = i + 1;
	assert_int_equal(space_load(&template, GPA(RAM), image, sizeof(image)), ERR_OK);
	mm_store(0, &template, MM_PAGE(600), 60); /* will be listed */
	mm_store(0, &template, MM_PAGE(605), 61);
	space_freeze(&template);
	space_clone(&clone, &template);
	clone.merge = (struct merge_policy){ DEDUP_ZERO, 1, false };
	for (u32 round = 0; round < 2; round++) {
		mm_store(0, &clone, MM_PAGE(7), 70 + round);
		mm_store(0, &clone, MM_PAGE(605), 80 + round);
		mm_store(0, &clone, MM_PAGE(600), 90);
		merge_passes(2);
		assert_int_equal(merge_stats_now().back, 2 * round);
		mm_store(0, &clone, MM_PAGE(7), 7 * N_ENTRIES + 1);
		mm_store(0, &clone, MM_PAGE(605), 61);
		merge_passes(8); /* the second time it has to wait */
		assert_int_equal(merge_kind(&clone, 7), KIND_PIECE);
		assert_int_equal(merge_kind(&clone, 605), KIND_PIECE);
		assert_int_equal(merge_kind(&clone, 600), KIND_LEAF);
		assert_ptr_equal(merge_frame(&clone, 605), merge_frame(&template, 605));
		mm_audit();
	}
	space_fini(&template);
	space_fini(&clone);
	mm_end();
}

static void test_equal_pages(void **state)
{
	struct space_usage u;

	(void)state;
	merge_start(&a, &b);
	for (u32 k = 0; k < 3; k++) {
		mm_store(0, &a, MM_PAGE(k), 5);
		mm_store(0, &b, MM_PAGE(600 + k), 5);
	}
	mm_store(0, &b, MM_PAGE(700), 6);
	merge_passes(SETTLED);
	for (u32 k = 0; k < 3; k++) {
		assert_true(merge_is_one(&a, k, &a, 0) && merge_is_one(&b, 600 + k, &a, 0));
		assert_int_equal(mm_load(1, &b, MM_PAGE(600 + k)), 5);
	}
	assert_int_equal(frame_refs(merge_frame(&a, 0)), 6);
	assert_true(frame_is_keeper(merge_frame(&a, 0)));
	assert_int_equal(merge_stats_now().merged, 5);
	space_usage(&a, &u);
	assert_int_equal(u.merged_frames, 3);
	mm_audit();
	mm_store(0, &a, MM_PAGE(1), 8);
	assert_int_equal(mm_load(1, &a, MM_PAGE(0)), 5);
	assert_int_equal(mm_load(1, &b, MM_PAGE(600)), 5);
	assert_int_equal(mm_load(1, &a, MM_PAGE(1)), 8);
	merge_end(&a, &b);
}

static void test_collisions_are_compared(void **state)
{
	(void)state;
	merge_start(&a, &b);
	twin_weaken_hash(0);
	for (u32 k = 0; k < 3; k++) {
		mm_store(0, &a, MM_PAGE(k), 5 + k);
		mm_store(0, &b, MM_PAGE(k), 5 + k);
	}
	mm_store(0, &a, MM_PAGE(3) + 8, 5); /* the same word elsewhere */
	merge_passes(2 * SETTLED);
	for (u32 k = 0; k < 3; k++) {
		assert_true(merge_is_one(&a, k, &b, k));
		assert_int_equal(frame_refs(merge_frame(&a, k)), 2);
		assert_int_equal(mm_load(1, &b, MM_PAGE(k)), 5 + k);
	}
	mm_audit();
	merge_end(&a, &b);
}

#define N_ALIKE 60U

/* Pages that differ in one word only, which the hash does not look at most often; each has one twin. */
static void test_pages_that_hash_alike(void **state)
{
	(void)state;
	merge_start(&a, &b);
	for (u32 k = 0; k < N_ALIKE; k++) {
		mm_store(0, &a, MM_PAGE(k) + 8 + k * 64, 5);
		mm_store(0, &b, MM_PAGE(N_ALIKE - k) + 8 + k * 64, 5);
	}
	merge_passes(2 * SETTLED);
	for (u32 k = 0; k < N_ALIKE; k++)
		assert_true(merge_is_one(&a, k, &b, N_ALIKE - k));
	mm_audit();
	for (u32 k = 0; k < N_ALIKE; k++)
		assert_int_equal(mm_load(1, &b, MM_PAGE(N_ALIKE - k) + 8 + k * 64), 5);
	merge_end(&a, &b);
}

/* A page that comes when its likes have been merged already. */
static void test_one_more_that_hashes_alike(void **state)
{
	(void)state;
	merge_start(&a, &b);
	for (u32 k = 0; k < 2; k++) {
		mm_store(0, &a, MM_PAGE(k) + 8, 5);
		mm_store(0, &b, MM_PAGE(k) + 8, 5);
	}
	merge_passes(SETTLED);
	for (u32 k = 2; k < N_ALIKE; k++)
		mm_store(0, &a, MM_PAGE(k) + 8 * k, 5);
	merge_passes(SETTLED);
	mm_store(0, &b, MM_PAGE(7) + 8, 5);
	mm_store(0, &b, MM_PAGE(8) + 8 * 50, 5);
	merge_passes(SETTLED);
	assert_true(merge_is_one(&a, 0, &b, 7));
	assert_true(merge_is_one(&a, 50, &b, 8));
	mm_audit();
	merge_end(&a, &b);
}

/* ---- what does not ---- */

static void test_policies(void **state)
{
	(void)state;
	merge_start(&a, &b);
	merge_space(&c, 2);
	a.merge.dedup = DEDUP_OFF;
	b.merge.dedup = DEDUP_ZERO;
	for (u32 k = 0; k < 2; k++) {
		mm_store(0, &a, MM_PAGE(k), 5 * k);
		mm_store(0, &b, MM_PAGE(k), 5 * k);
		mm_store(0, &c, MM_PAGE(k), 5 * k);
		mm_store(0, &a, MM_PAGE(2 + k), 5);
		mm_store(0, &b, MM_PAGE(2 + k), 5);
	}
	merge_passes(SETTLED);
	assert_int_equal(merge_stats_now().zero, 2);
	assert_int_equal(merge_stats_now().kept + merge_stats_now().merged, 0);
	assert_int_equal(merge_kind(&a, 0), KIND_LEAF);
	a.merge = b.merge = (struct merge_policy){ DEDUP_MERGE, 1, false };
	merge_passes(SETTLED);
	assert_true(merge_is_one(&a, 1, &b, 1));
	assert_false(merge_is_one(&a, 1, &c, 1)); /* another domain */
	b.merge = (struct merge_policy){ DEDUP_ZERO, 0, false };
	c.merge = b.merge;
	mm_store(0, &b, MM_PAGE(4), 9);
	mm_store(0, &c, MM_PAGE(4), 9);
	merge_passes(SETTLED); /* hashes that are good for no domain */
	b.merge = a.merge;
	c.merge = (struct merge_policy){ DEDUP_MERGE, 2, false };
	merge_passes(SETTLED);
	assert_false(merge_is_one(&b, 4, &c, 4));
	mm_audit();
	space_fini(&c);
	merge_end(&a, &b);
}

/* Which words of a page its hash looks at, as bits. */
static void find_samples(struct frame *f, u32 domain, u64 samples[N_ENTRIES / 64])
{
	u64 *word = hpa_ptr(frame_hpa(f));
	u32 hash = twin_note(f, domain).hash;

	memset(samples, 0, N_ENTRIES / 8);
	for (u32 k = 0; k < N_ENTRIES; k++) {
		word[k] ^= 1;
		if (twin_note(f, domain).hash != hash)
			samples[k / 64] |= BIT(k % 64);
		word[k] ^= 1;
	}
}

/* One in each part of the page, where it cannot be known; in each domain, and after each boot, elsewhere. */
static void test_samples_are_drawn(void **state)
{
	u64 one[N_ENTRIES / 64], two[N_ENTRIES / 64], three[N_ENTRIES / 64];
	struct frame *f;

	(void)state;
	merge_start(&a, &b);
	mm_store(0, &a, MM_PAGE(0), 5);
	f = merge_frame(&a, 0);
	find_samples(f, 1, one);
	find_samples(f, 2, two);
	twin_init(2);
	find_samples(f, 1, three);
	assert_memory_not_equal(one, two, sizeof(one));
	assert_memory_not_equal(one, three, sizeof(one));
	for (u32 k = 0; k < ARRAY_LEN(one); k++) { /* two of 32 words each */
		assert_int_equal(__builtin_popcountl(one[k] & UINT32_MAX), 1);
		assert_int_equal(__builtin_popcountl(one[k] >> 32), 1);
	}
	merge_end(&a, &b);
}

/* Nothing that a space holds is found any more by the domain that it has left, or by itself in the new one with
 * what it left behind. */
static void test_change_of_domain(void **state)
{
	struct frame *kept;

	(void)state;
	merge_start(&a, &b);
	merge_space(&c, 2);
	mm_store(0, &a, MM_PAGE(0), 5); /* merged */
	mm_store(0, &b, MM_PAGE(0), 5);
	mm_store(0, &a, MM_PAGE(1), 6); /* listed */
	merge_passes(SETTLED);
	kept = merge_frame(&a, 0);
	assert_ptr_equal(kept, merge_frame(&b, 0));
	fake_hart = SCANNER;
	scan_set_policy(&a, c.merge);
	fake_hart = 0;
	mm_store(0, &b, MM_PAGE(1), 5);
	mm_store(0, &b, MM_PAGE(2), 6);
	mm_store(0, &c, MM_PAGE(0), 6);
	merge_passes(SETTLED);
	assert_ptr_not_equal(merge_frame(&b, 1), kept);
	assert_false(merge_is_one(&a, 1, &b, 2));
	assert_int_equal(frame_refs(merge_frame(&b, 2)), 1);
	assert_false(frame_is_keeper(merge_frame(&b, 2))); /* no trace of a twin */
	assert_true(merge_is_one(&a, 1, &c, 0));
	assert_int_equal(frame_refs(kept), 2); /* what was merged stays so */
	mm_audit();
	space_fini(&c);
	merge_end(&a, &b);
}

/* A frame that the index still names for another domain's page, which it held before. */
static void test_recycled_frame(void **state)
{
	struct frame *old;

	(void)state;
	merge_start(&a, &b);
	mm_store(0, &a, MM_PAGE(0), 5);
	merge_passes(3);
	old = merge_frame(&a, 0);
	assert_int_equal(old->link.merge.domain, 1);
	space_fini(&a);
	for (u32 h = 0; h <= SCANNER; h++) {
		fake_hart = h;
		space_unload();
	}
	fake_hart = 0;
	while (space_reap(100))
		continue;
	merge_space(&a, 2);
	for (u32 page = 0; page == 0 || (merge_frame(&a, page - 1) != old && page < 500); page++)
		mm_store(0, &a, MM_PAGE(page), 5);
	mm_store(0, &b, MM_PAGE(0), 5);
	merge_passes(SETTLED);
	assert_false(frame_is_keeper(merge_frame(&b, 0)));
	assert_int_equal(frame_refs(merge_frame(&b, 0)), 1);
	mm_audit();
	merge_end(&a, &b);
}

/* Reserved memory stays what it is: given up, it could not be had again. */
static void test_reserved_space(void **state)
{
	(void)state;
	merge_start(&a, &b);
	mm_store(0, &b, MM_PAGE(0), 0);
	fake_hart = SCANNER;
	assert_int_equal(promise_make(&b), ERR_OK);
	fake_hart = 0;
	merge_passes(SETTLED);
	assert_int_equal(merge_stats_now().zero, 0);
	assert_int_equal(merge_kind(&b, 0), KIND_LEAF);
	fake_hart = SCANNER;
	promise_end(&b);
	merge_passes(2);
	assert_int_equal(merge_kind(&b, 0), KIND_ZERO);
	mm_audit();
	merge_end(&a, &b);
}

/* ---- written since ---- */

static void dirty_pages(bool traps)
{
	u64 before;

	merge_start(&a, &b);
	fake_traps_on_d = traps;
	mm_store(0, &a, MM_PAGE(0), 5);
	for (u32 k = 0; k < SETTLED; k++) {
		merge_passes(1);
		mm_store(0, &a, MM_PAGE(0), 0); /* zeroes, but written each time */
		before = a.breaks[BREAK_SPURIOUS];
		mm_store(0, &a, MM_PAGE(0), 0);
		assert_int_equal(a.breaks[BREAK_SPURIOUS], before);
	}
	assert_int_equal(a.breaks[BREAK_SPURIOUS], traps ? SETTLED : 0);
	assert_int_equal(merge_stats_now().zero, 0);
	assert_int_equal(merge_stats_now().dirty, SETTLED);
	merge_passes(2);
	assert_int_equal(merge_stats_now().zero, 1);
	mm_audit();
	merge_end(&a, &b);
}

static void test_dirty_pages(void **state)
{
	(void)state;
	dirty_pages(false);
}

static void test_dirty_pages_where_d_traps(void **state)
{
	(void)state;
	dirty_pages(true);
}

/* A store by Pando is one as well: the page is looked at anew. */
static void test_written_by_pando(void **state)
{
	u64 value = 6, zero = 0;

	(void)state;
	merge_start(&a, &b);
	mm_store(0, &a, MM_PAGE(0), 5);
	mm_store(0, &a, MM_PAGE(1), 7);
	mm_store(0, &b, MM_PAGE(0), 6);
	merge_passes(SETTLED);
	assert_int_equal(copy_to_guest(&a, GPA(MM_PAGE(0)), &value, 8), ERR_OK);
	assert_int_equal(copy_to_guest(&a, GPA(MM_PAGE(1)), &zero, 8), ERR_OK);
	merge_passes(SETTLED);
	assert_true(merge_is_one(&a, 0, &b, 0));
	assert_int_equal(merge_kind(&a, 1), KIND_ZERO);
	assert_int_equal(copy_to_guest(&a, GPA(MM_PAGE(0)), &zero, 8), ERR_OK); /* a break */
	assert_int_equal(mm_load(1, &b, MM_PAGE(0)), 6);
	mm_audit();
	merge_end(&a, &b);
}

/* A page that is the template's again saves a frame, until the template's last user is this clone. */
static void test_back_and_alone(void **state)
{
	struct space template, clone;

	(void)state;
	mm_start(32, SCANNER + 1);
	mm_space(&template, 8);
	mm_store(0, &template, MM_PAGE(0), 5);
	space_freeze(&template);
	space_clone(&clone, &template);
	clone.merge = (struct merge_policy){ DEDUP_ZERO, 1, false };
	mm_store(0, &clone, MM_PAGE(0), 6);
	merge_passes(2);
	mm_store(0, &clone, MM_PAGE(0), 5);
	merge_passes(2);
	assert_int_equal(merge_kind(&clone, 0), KIND_PIECE);
	assert_int_equal(scan_n_given(&clone), 1);
	space_fini(&template);
	mm_settle();
	merge_passes(1);
	assert_int_equal(merge_kind(&clone, 0), KIND_LEAF);
	assert_int_equal(scan_n_given(&clone), 0);
	mm_audit();
	space_fini(&clone);
	mm_end();
}

/* What has been given up is not among what may have been written since, until it is. */
static void test_given_is_not_armed(void **state)
{
	const struct table *t;

	(void)state;
	merge_start(&a, &b);
	for (u32 k = 0; k < 3; k++)
		mm_store(0, &a, MM_PAGE(k), 5 * (k % 2));
	mm_store(0, &a, MM_PAGE(3), 5);
	merge_passes(SETTLED);
	assert_true(merge_is_one(&a, 1, &a, 3));
	t = table_below(a.root->pte[pte_index(GPA(RAM), 2)]);
	t = table_below(t->pte[pte_index(GPA(RAM), 1)]);
	assert_int_equal(t->given[0], BIT(0) | BIT(1) | BIT(2)); /* 3 keeps its frame */
	assert_int_equal(t->armed_at[0] & t->given[0], 0);
	mm_store(0, &a, MM_PAGE(1), 6);
	assert_int_equal(t->armed_at[0] & t->given[0], BIT(1));
	merge_end(&a, &b);
}

/* A page that broke waits; a table in which many broke rests. */
static void test_back_off(void **state)
{
	u32 n = 0;
	u64 resting;

	(void)state;
	merge_start(&a, &b);
	mm_store(0, &a, MM_PAGE(0), 0);
	merge_passes(2);
	mm_store(0, &a, MM_PAGE(0), 1);
	mm_store(0, &a, MM_PAGE(0), 0);
	for (; merge_kind(&a, 0) != KIND_ZERO && n < 20; n++)
		merge_passes(1);
	assert_int_equal(n, 6); /* D, four that it waits, and the merge */
	assert_int_equal(merge_stats_now().broken, 1);
	assert_int_equal(merge_stats_now().resting, 4);
	for (u32 page = 0; page < 20; page++)
		mm_store(0, &a, MM_PAGE(page), 0);
	merge_passes(9);
	for (u32 page = 0; page < 20; page++)
		mm_store(0, &a, MM_PAGE(page), 0);
	resting = merge_stats_now().resting;
	merge_passes(1);
	assert_true(merge_stats_now().resting >= resting + N_ENTRIES);
	merge_passes(20);
	assert_int_equal(merge_kind(&a, 19), KIND_ZERO);
	merge_end(&a, &b);
}

/* A table that is written all the time rests, longer and longer, and is back when it is not. */
static void test_hot_table(void **state)
{
	u64 dirty[16];

	(void)state;
	merge_start(&a, &b);
	for (u32 pass = 0; pass < ARRAY_LEN(dirty); pass++) {
		for (u32 page = 0; page < 300; page++)
			mm_store(0, &a, MM_PAGE(page), 0);
		merge_passes(1);
		dirty[pass] = merge_stats_now().dirty;
	}
	assert_int_equal(dirty[1], 600);
	assert_int_equal(dirty[2], 600); /* rests once */
	assert_int_equal(dirty[3], 900);
	assert_int_equal(dirty[6], 900); /* three times */
	assert_int_equal(dirty[7], 1200);
	assert_int_equal(dirty[14], 1200); /* seven */
	merge_passes(40);
	assert_int_equal(merge_kind(&a, 299), KIND_ZERO);
	merge_end(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zero_page),
		cmocka_unit_test(test_back_to_template),
		cmocka_unit_test(test_equal_pages),
		cmocka_unit_test(test_collisions_are_compared),
		cmocka_unit_test(test_pages_that_hash_alike),
		cmocka_unit_test(test_one_more_that_hashes_alike),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_samples_are_drawn),
		cmocka_unit_test(test_change_of_domain),
		cmocka_unit_test(test_recycled_frame),
		cmocka_unit_test(test_reserved_space),
		cmocka_unit_test(test_dirty_pages),
		cmocka_unit_test(test_dirty_pages_where_d_traps),
		cmocka_unit_test(test_written_by_pando),
		cmocka_unit_test(test_back_and_alone),
		cmocka_unit_test(test_given_is_not_armed),
		cmocka_unit_test(test_back_off),
		cmocka_unit_test(test_hot_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
