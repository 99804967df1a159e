/* SPDX-License-Identifier: BSD-2-Clause */
/* Which pages are a space's own, run by run: hyp/mm/private.c. */
#include "mm_unit.h"

static u8 image[BLOCK_SIZE];

static void assert_run(struct space *space, u64 from, u64 base, u64 len)
{
	struct region run;

	assert_true(space_next_private(space, GPA(from), &run));
	assert_int_equal(run.base.v, base);
	assert_int_equal(run.len, len);
}

static void assert_no_run(struct space *space, u64 from)
{
	struct region run;

	assert_false(space_next_private(space, GPA(from), &run));
}

static void start(struct space *template, struct space *clone)
{
	mm_start(32, 2);
	mm_space(template, 8);
	assert_int_equal(space_load(template, GPA(RAM + BLOCK_SIZE), image, BLOCK_SIZE), ERR_OK);
	mm_store(0, template, MM_PAGE(9), 1);
	assert_run(template, 0, MM_PAGE(9), PAGE_SIZE);
	assert_run(template, MM_PAGE(10), RAM + BLOCK_SIZE, BLOCK_SIZE);
	assert_no_run(template, RAM + 2 * BLOCK_SIZE);
	space_freeze(template);
	space_clone(clone, template);
	assert_no_run(clone, 0);
}

/* What it has written; not what it has only read, and not what reads as zero. */
static void test_of_a_clone(void **state)
{
	u64 edge = RAM + 2 * BLOCK_SIZE;
	struct space t, c;

	(void)state;
	start(&t, &c);
	(void)mm_load(0, &c, MM_PAGE(9));
	(void)mm_load(0, &c, MM_PAGE(0));
	mm_store(0, &c, MM_PAGE(1), 1);
	mm_store(0, &c, MM_PAGE(2), 1);
	mm_store(0, &c, edge - PAGE_SIZE, 1);
	mm_store(0, &c, edge, 1);
	assert_run(&c, 0, MM_PAGE(1), 2 * PAGE_SIZE);
	assert_run(&c, MM_PAGE(2), MM_PAGE(2), PAGE_SIZE);
	assert_run(&c, MM_PAGE(3), edge - PAGE_SIZE, PAGE_SIZE);
	assert_run(&c, edge, edge, PAGE_SIZE);
	assert_no_run(&c, edge + PAGE_SIZE);
	space_fini(&c);
	space_fini(&t);
	mm_end();
}

/* Pages that are counted one by one, since the table has a block of its own already: two spaces reach
 * them, then one does. */
static void test_of_counted_pages(void **state)
{
	struct space t, c, grandchild;

	(void)state;
	start(&t, &c);
	mm_store(0, &c, MM_PAGE(1), 1);
	space_fork(&grandchild, &c);
	mm_store(0, &grandchild, MM_PAGE(4), 1);
	assert_run(&grandchild, 0, MM_PAGE(4), PAGE_SIZE);
	assert_no_run(&grandchild, MM_PAGE(5));
	space_fini(&c);
	mm_settle();
	while (space_reap(64))
		;
	assert_run(&grandchild, 0, MM_PAGE(1), PAGE_SIZE);
	space_fini(&grandchild);
	space_fini(&t);
	mm_end();
}

/* Its template gone, all that it reaches is its own: pieces of a block, and a whole 2 MiB leaf. */
static void test_of_the_last_user(void **state)
{
	struct space t, c;

	(void)state;
	start(&t, &c);
	mm_store(0, &c, MM_PAGE(1), 1);
	space_fini(&t);
	mm_settle();
	while (space_reap(64))
		;
	assert_run(&c, 0, MM_PAGE(1), PAGE_SIZE);
	assert_run(&c, MM_PAGE(2), MM_PAGE(9), PAGE_SIZE);
	assert_run(&c, MM_PAGE(10), RAM + BLOCK_SIZE, BLOCK_SIZE);
	assert_no_run(&c, RAM + 2 * BLOCK_SIZE);
	space_fini(&c);
	mm_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_a_clone),
		cmocka_unit_test(test_of_counted_pages),
		cmocka_unit_test(test_of_the_last_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
