// SPDX-License-Identifier: BSD-2-Clause
/* A reset that keeps the tables: every kind of entry that a clone can have written over, and when the root goes instead. */
#include "mm_unit.h"

#include "arch/phys.h"

#define PAGE(n) (RAM + (n)*PAGE_SIZE)
#define IMAGE   (RAM + BLOCK_SIZE) /* a 2 MiB leaf of the template */
#define ABSENT  (RAM + 3 * BLOCK_SIZE)
#define REGIONS 12U

static struct space base, t, c;
static u8 image[BLOCK_SIZE];

/* Breaks that have made a table of `s`. */
static u64 n_tables_made(const struct space *s)
{
	return s->breaks[BREAK_ROOT] + s->breaks[BREAK_DERIVE] + s->breaks[BREAK_SPLIT];
}

/* The template is a fork child: in its first table stand a page of its own, and pieces of a block. */
static void start(void)
{
	mm_start(64, 3);
	mm_space(&base, 2UL * REGIONS);
	memcpy(image, &(u64){ 77 }, sizeof(u64));
	assert_int_equal(space_load(&base, GPA(IMAGE), image, sizeof(image)), ERR_OK);
	for (u64 n = 0; n < 8; n++)
		mm_store(0, &base, PAGE(n), 100 + n);
	space_fork(&t, &base);
	mm_store(0, &t, PAGE(0), 200);
	space_freeze(&t);
	space_clone(&c, &t);
}

static void end(void)
{
	mm_audit();
	space_fini(&c);
	space_fini(&t);
	space_fini(&base);
	mm_end();
}

static void write_each_kind(u64 value)
{
	mm_store(0, &c, PAGE(0), value);  /* a leaf of the template */
	mm_store(0, &c, PAGE(1), value);  /* a piece of a listed block */
	mm_store(0, &c, PAGE(70), value); /* absent, in a table that is there */
	mm_store(0, &c, IMAGE, value);    /* a piece of a contiguous block */
	mm_store(0, &c, ABSENT, value);   /* where the template has no table */
}

static void check_each_kind(u32 hart)
{
	assert_int_equal(mm_load(hart, &c, PAGE(0)), 200);
	assert_int_equal(mm_load(hart, &c, PAGE(1)), 101);
	assert_int_equal(mm_load(hart, &c, PAGE(70)), 0);
	assert_int_equal(mm_load(hart, &c, IMAGE), 77);
	assert_int_equal(mm_load(hart, &c, ABSENT), 0);
}

/* Again and again: pages come back, tables are made once, and nobody needs to free anything. */
static void test_each_kind(void **state)
{
	struct table *root;
	u64 n_free, n_made;

	(void)state;
	start();
	write_each_kind(1);
	root = c.root;
	n_made = n_tables_made(&c);
	n_free = frame_n_free();
	for (u64 round = 2; round < 6; round++) {
		space_reset(&c, &t);
		assert_ptr_equal(c.root, root);
		assert_int_equal(frame_n_free(), n_free + 5);
		mm_audit();
		check_each_kind(0);
		mm_audit();
		write_each_kind(round);
		assert_int_equal(frame_n_free(), n_free);
		assert_int_equal(n_tables_made(&c), n_made);
		mm_audit();
	}
	assert_int_equal(mm_load(0, &t, PAGE(1)), 101);
	end();
}

/* Whoever has seen the clone's pages does not see them any more, and what it writes next is found by a fork. */
static void test_other_harts_and_a_fork(void **state)
{
	static struct space child;

	(void)state;
	start();
	write_each_kind(1);
	assert_int_equal(mm_load(1, &c, PAGE(1)), 1);
	assert_int_equal(mm_load(1, &c, IMAGE), 1);
	space_reset(&c, &t);
	check_each_kind(1);
	mm_store(1, &c, ABSENT, 5);
	mm_store(1, &c, PAGE(1), 5);
	space_fork(&child, &c);
	mm_audit();
	mm_store(0, &c, PAGE(1), 6);
	assert_int_equal(mm_load(1, &child, PAGE(1)), 5);
	/* Its tables do not tell any more what it has written. */
	space_reset(&c, &t);
	assert_ptr_equal(c.root, t.root);
	check_each_kind(0);
	assert_int_equal(mm_load(1, &child, ABSENT), 5);
	space_fini(&child);
	end();
}

/* Where much was written the caller does not wait for it. */
static void test_much(void **state)
{
	struct table *root;

	(void)state;
	start();
	for (u64 n = 0; n < 64; n++)
		mm_store(0, &c, PAGE(n), n);
	root = c.root;
	space_reset(&c, &t);
	assert_ptr_equal(c.root, root);
	for (u64 n = 0; n < 65; n++)
		mm_store(0, &c, PAGE(n), n);
	space_reset(&c, &t);
	assert_ptr_equal(c.root, t.root);
	for (u64 n = 4; n < REGIONS; n++)
		mm_store(0, &c, RAM + n * BLOCK_SIZE, n);
	space_reset(&c, &t);
	assert_ptr_not_equal(c.root, t.root);
	for (u64 n = 3; n < REGIONS; n++)
		mm_store(0, &c, RAM + n * BLOCK_SIZE, n);
	space_reset(&c, &t);
	assert_ptr_equal(c.root, t.root);
	for (u64 n = 3; n < REGIONS; n++)
		assert_int_equal(mm_load(0, &c, RAM + n * BLOCK_SIZE), 0);
	check_each_kind(0);
	end();
}

/* A clone that has written nothing, one that only has no memory for its tables, and one while others wait for frames. */
static void test_nothing_and_no_memory(void **state)
{
	(void)state;
	start();
	space_reset(&c, &t);
	assert_ptr_equal(c.root, t.root);
	for (u64 n = 1; n < 5; n++) {
		frame_fail_from(n);
		if (space_touch(&c, GPA(PAGE(1)), ACCESS_WRITE) == ERR_OK)
			n = 5;
		frame_fail_from(0);
		mm_audit();
		space_reset(&c, &t);
		mm_audit();
		check_each_kind(0);
	}
	mm_store(0, &c, PAGE(1), 1);
	(void)mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	space_reset(&c, &t);
	assert_ptr_equal(c.root, t.root);
	mm_uneat();
	end();
}

/* A page that the merge scanner has made one of zeroes since it was written. */
static void test_what_the_scanner_took(void **state)
{
	(void)state;
	start();
	c.merge.dedup = DEDUP_ZERO;
	mm_store(0, &c, PAGE(0), 0);
	for (u32 pass = 0; pass < 3; pass++)
		scan_compact(&c);
	assert_int_equal(pte_kind(mm_leaf(&c, PAGE(0))), KIND_ZERO);
	space_reset(&c, &t);
	assert_int_equal(pte_kind(mm_leaf(&c, PAGE(0))), KIND_LEAF);
	mm_audit();
	assert_int_equal(mm_load(0, &c, PAGE(0)), 200);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_kind),
		cmocka_unit_test(test_other_harts_and_a_fork),
		cmocka_unit_test(test_much),
		cmocka_unit_test(test_what_the_scanner_took),
		cmocka_unit_test(test_nothing_and_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
