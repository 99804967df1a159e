// SPDX-License-Identifier: BSD-2-Clause
/*
 * Whose memory is whose.  That the figures add up to the frame table's is checked after every step of
 * the model test (mm_usage); here, that each frame is in the right figure, and what a count costs.
 */
#include "mm_unit.h"

#define PAGE(n) (RAM + (n)*PAGE_SIZE)
#define RAM_MIB 8

static struct usage_sum sum;

static void add(struct space *s, void *arg)
{
	usage_add(s, arg);
}

static void count_all(void)
{
	u64 n[FRAME_N_CLASSES];

	memset(&sum, 0, sizeof(sum));
	fake_hart = fake_n_harts - 1;
	usage_begin(n);
	space_for_each(add, &sum);
	usage_end();
}

static void reap(void)
{
	mm_settle();
	count_all();
}

static void test_family(void **state)
{
	static u8 image[BLOCK_SIZE];
	struct space t, a, b;

	(void)state;
	mm_start(48, 2);
	mm_space(&t, RAM_MIB);
	for (u64 n = 0; n < 3; n++)
		mm_store(0, &t, PAGE(n), n);
	(void)mm_load(0, &t, PAGE(5));
	assert_int_equal(space_load(&t, GPA(PAGE(1024)), image, sizeof(image)), ERR_OK);
	count_all();
	assert_int_equal(sum.private_frames, 3 + N_ENTRIES);
	assert_int_equal(sum.shared_frames, 0);
	assert_int_equal(sum.table_frames, 6);
	space_freeze(&t);
	space_clone(&a, &t);
	space_clone(&b, &t);
	assert_int_equal(a.family, t.family);
	count_all(); /* three reach them: counted once */
	assert_int_equal(sum.private_frames, 0);
	assert_int_equal(sum.shared_frames, 3 + N_ENTRIES);
	assert_int_equal(sum.table_frames, 6);
	mm_store(0, &a, PAGE(0),
	         9); /* a's own root and tables, and a page; page 0 is t's and b's still */
	count_all();
	assert_int_equal(sum.private_frames, 1);
	assert_int_equal(sum.shared_frames, 3 + N_ENTRIES);
	assert_int_equal(sum.retained_frames, 0);
	assert_int_equal(sum.table_frames, 12);
	space_fini(&b);
	space_fini(&a);
	reap();
	assert_int_equal(sum.private_frames, 3 + N_ENTRIES);
	space_fini(&t);
	mm_end();
}

/* The template has gone, and both that are left have a page 0 of their own: its slot serves nobody. */
static void test_retained_by_two(void **state)
{
	struct space t, a, b;

	(void)state;
	mm_family(&t, &a);
	space_clone(&b, &t);
	mm_store(0, &a, MM_PAGE(0), 1);
	mm_store(0, &b, MM_PAGE(0), 2);
	count_all();
	assert_int_equal(sum.retained_frames, 0);
	space_fini(&t);
	reap();
	assert_int_equal(sum.retained_frames, 1);
	assert_int_equal(sum.private_frames, 2);
	assert_int_equal(sum.shared_frames,
	                 2); /* page 1, in a block of two users; page 600, in a table of two */
	space_fini(&a);
	reap();
	assert_int_equal(sum.retained_frames, 1);
	assert_int_equal(sum.private_frames, 3);
	assert_true(space_relieve());
	count_all();
	assert_int_equal(sum.retained_frames, 0);
	space_fini(&b);
	mm_end();
}

static void test_families(void **state)
{
	struct space one, two;

	(void)state;
	mm_start(32, 2);
	mm_space(&one, RAM_MIB);
	mm_space(&two, RAM_MIB);
	assert_int_not_equal(one.family, two.family);
	space_fini(&one);
	space_fini(&two);
	mm_end();
}

/* The second clone is not walked: what the first has counted of the root that they share is taken. */
static void test_once_a_round(void **state)
{
	struct space_usage u;
	struct space t, a;

	(void)state;
	mm_family(&t, &a);
	usage_round();
	space_usage_next(&t, &u);
	assert_int_equal(u.shared_frames, 3);
	t.root->n_pages += 1000;
	space_usage_next(&a, &u);
	assert_int_equal(u.shared_frames, 1003);
	space_usage(&a, &u);
	assert_int_equal(u.shared_frames, 3);
	mm_end_family(&t, &a);
}

/* ---- random histories against a look at every page ---- */

#define N_SPACES 6
#define N_PAGES  (RAM_MIB << 20 >> PAGE_SHIFT)

static struct space space[N_SPACES];
static bool live[N_SPACES];

static void check_pages(struct space *s)
{
	u64 n_mapped = 0, n_zero = 0;
	struct space_usage u;

	for (u64 n = 0; n < N_PAGES; n++) {
		u64 pte = mm_leaf(s, PAGE(n));

		n_mapped += (pte & PTE_V) && pte_kind(pte) != KIND_ZERO;
		n_zero += (pte & PTE_V) && pte_kind(pte) == KIND_ZERO;
	}
	space_usage_next(s, &u);
	assert_int_equal(u.private_frames + u.shared_frames, n_mapped);
	assert_int_equal(u.zero_pages, n_zero);
}

static void end(u32 k)
{
	mm_settle();
	space_fini(&space[k]);
	live[k] = false;
}

static void step(void)
{
	u32 k = (u32)(fake_random() % N_SPACES), other = (u32)(fake_random() % N_SPACES);

	if (!live[k])
		mm_space(&space[k], RAM_MIB);
	live[k] = true;
	for (u32 n = 0; n < 8; n++) {
		u64 gpa = PAGE(fake_random() % N_PAGES);

		if (fake_random() % 2)
			mm_store(0, &space[k], gpa, n);
		else
			(void)mm_load(0, &space[k], gpa);
	}
	if (other == k)
		return;
	if (live[other])
		end(other);
	mm_settle();
	space_fork(&space[other], &space[k]);
	live[other] = true;
	if (fake_random() % 4 == 0)
		end(k);
}

static void test_every_page(void **state)
{
	(void)state;
	mm_start(64, 2);
	for (u32 n = 0; n < 200; n++) {
		step();
		usage_round();
		for (u32 k = 0; k < N_SPACES; k++)
			if (live[k])
				check_pages(&space[k]);
		mm_usage();
	}
	for (u32 k = 0; k < N_SPACES; k++)
		if (live[k])
			end(k);
	mm_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_family),     cmocka_unit_test(test_retained_by_two),
		cmocka_unit_test(test_families),   cmocka_unit_test(test_once_a_round),
		cmocka_unit_test(test_every_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
