// SPDX-License-Identifier: BSD-2-Clause
/*
 * What others may do at any moment while the merge scanner works (docs/dedup.md), and frames that several pages have come
 * to share: keepers.
 */
#include "merge_unit.h"

#include "arch/phys.h"

#define KEEPER_REFS_MAX BIT(24)

static struct space a, b;

static u64 stored;
static u32 n_stored;
static bool no_more;

/* Another hart is in a guest of `a` and stores what its TLB lets it store. */
static void store_in_passing(void)
{
	u8 *byte;

	if (!fake_is_in_guest(1))
		fake_enter(1, &a, 1);
	byte = no_more ? NULL : fake_access(1, MM_PAGE(0), true);
	if (!byte)
		return;
	stored++;
	n_stored++;
	memcpy(byte, &stored, sizeof(stored));
}

/* Once the page has been compared it is written, and after that, if anything lets it. */
static void test_written_between_the_looks(void **state)
{
	(void)state;
	merge_start(&a, &b);
	mm_store(0, &b, MM_PAGE(0), 5);
	for (u32 k = 0; k < 3; k++)
		merge_passes(1);
	mm_store(1, &a, MM_PAGE(0), 5);
	merge_passes(1);
	stored = 100;
	n_stored = 0;
	no_more = false;
	fake_on_compare = store_in_passing;
	merge_passes(1);
	fake_on_compare = NULL;
	assert_true(n_stored > 0);
	assert_int_equal(mm_load(2, &a, MM_PAGE(0)), stored);
	assert_int_equal(mm_load(2, &b, MM_PAGE(0)), 5);
	assert_false(merge_is_one(&a, 0, &b, 0));
	mm_audit();
	merge_end(&a, &b);
}

#define A_BIT 64U

static u32 n_walks;

/* The page is one of `a`'s own page tables, and the machine sets a bit in it, if it may read.  Before W is gone that is
 * a store as any other. */
static void walk_in_passing(void)
{
	u8 *byte;

	if (mm_leaf(&a, MM_PAGE(0)) & PTE_W)
		return;
	if (!fake_is_in_guest(1))
		fake_enter(1, &a, 1);
	byte = fake_access(1, MM_PAGE(0), false);
	n_walks++;
	if (!byte)
		return;
	*byte |= A_BIT;
	n_stored++;
}

/* Where the machine sets A bits of guest page tables whatever W says, none is lost between the last look and the change. */
static void test_machine_that_ignores_w(void **state)
{
	(void)state;
	merge_start(&a, &b);
	machine.isolation_strong = false;
	mm_store(1, &a, MM_PAGE(0), 0);
	merge_passes(1);
	n_walks = n_stored = 0;
	fake_on_compare = walk_in_passing;
	merge_passes(1);
	fake_on_compare = NULL;
	assert_true(n_walks > 0);
	assert_int_equal(merge_kind(&a, 0), KIND_ZERO);
	assert_int_equal(mm_load(2, &a, MM_PAGE(0)), n_stored ? A_BIT : 0);
	mm_audit();
	merge_end(&a, &b);
}

/* Harts that read whenever they can, and stay in their guests. */
static void read_in_passing(void)
{
	if (!fake_is_in_guest(1))
		fake_enter(1, &a, 1);
	if (!fake_is_in_guest(2))
		fake_enter(2, &b, 2);
	assert_non_null(fake_access(1, MM_PAGE(0), false));
	assert_non_null(fake_access(2, MM_PAGE(0), false));
}

/* What a frame gave up may be anybody's: nobody is left who reads it through a TLB. */
static void test_read_between_the_fences(void **state)
{
	(void)state;
	merge_start(&a, &b);
	mm_store(0, &b, MM_PAGE(0), 5);
	mm_store(0, &a, MM_PAGE(0), 5);
	fake_on_compare = read_in_passing;
	merge_passes(SETTLED);
	fake_on_compare = NULL;
	assert_true(merge_is_one(&a, 0, &b, 0));
	for (u32 h = 1; h < 3; h++) {
		u8 *byte = fake_is_in_guest(h) ? fake_access(h, MM_PAGE(0), false) : NULL;

		assert_true(!byte || frame_of(ptr_hpa(byte)) == merge_frame(&a, 0));
	}
	mm_audit();
	merge_end(&a, &b);
}

/* A keeper that only page 0 of `a` is left with. */
static struct frame *lonely_keeper(void)
{
	struct frame *f;

	merge_start(&a, &b);
	mm_store(0, &a, MM_PAGE(0), 5);
	mm_store(0, &b, MM_PAGE(0), 5);
	merge_passes(SETTLED);
	f = merge_frame(&a, 0);
	assert_ptr_equal(f, merge_frame(&b, 0));
	mm_store(0, &b, MM_PAGE(0), 6);
	assert_true(frame_is_keeper(f) && frame_refs(f) == 1);
	mm_audit();
	return f;
}

static void test_keeper_taken_by_its_last_user(void **state)
{
	struct frame *f = lonely_keeper();
	u64 copies = a.breaks[BREAK_COPY];

	(void)state;
	mm_store(0, &a, MM_PAGE(0), 7);
	assert_ptr_equal(merge_frame(&a, 0), f);
	assert_int_equal(a.breaks[BREAK_COPY], copies);
	assert_false(frame_is_keeper(f));
	mm_store(0, &b, MM_PAGE(1), 5); /* what it was listed for */
	merge_passes(SETTLED);
	assert_false(merge_is_one(&a, 0, &b, 1));
	assert_int_equal(mm_load(1, &a, MM_PAGE(0)), 7);
	merge_end(&a, &b);
}

static void test_keeper_freed_by_its_last_user(void **state)
{
	struct frame *f = lonely_keeper();

	(void)state;
	space_fini(&a);
	mm_settle();
	assert_int_equal(f->class, FRAME_FREE);
	mm_audit();
	merge_space(&a, 1);
	mm_store(0, &b, MM_PAGE(1), 5);
	merge_passes(SETTLED);
	assert_int_equal(frame_refs(merge_frame(&b, 1)), 1);
	merge_end(&a, &b);
}

static void owner_writes(void)
{
	fake_on_compare = NULL;
	mm_store(0, &a, MM_PAGE(0), 7);
}

/* The scanner has its count on the keeper when the owner wants it back: the owner copies. */
static void test_keeper_found_while_its_owner_writes(void **state)
{
	struct frame *f = lonely_keeper();

	(void)state;
	mm_store(0, &b, MM_PAGE(1), 5);
	merge_passes(2);
	fake_on_compare = owner_writes;
	merge_passes(SETTLED);
	assert_null(fake_on_compare);
	assert_ptr_equal(merge_frame(&b, 1), f);
	assert_ptr_not_equal(merge_frame(&a, 0), f);
	assert_int_equal(mm_load(1, &a, MM_PAGE(0)), 7);
	assert_int_equal(mm_load(1, &b, MM_PAGE(1)), 5);
	assert_int_equal(frame_refs(f), 1);
	mm_audit();
	merge_end(&a, &b);
}

/* A count that is far up already takes no more. */
static void test_crowded_keeper(void **state)
{
	struct frame *f = lonely_keeper();

	(void)state;
	mm_store(0, &b, MM_PAGE(1), 5);
	atomic_store(&f->count, FRAME_MERGED | KEEPER_REFS_MAX);
	merge_passes(SETTLED);
	assert_int_equal(atomic_load(&f->count), FRAME_MERGED | KEEPER_REFS_MAX);
	assert_ptr_not_equal(merge_frame(&b, 1), f);
	atomic_store(&f->count, FRAME_MERGED | 1);
	mm_audit();
	merge_end(&a, &b);
}

/* Nor is a table copied that names it. */
static void test_crowded_keeper_in_a_shared_table(void **state)
{
	struct frame *f = lonely_keeper();
	struct space child, grandchild;

	(void)state;
	space_fork(&child, &a);
	atomic_store(&f->count, FRAME_MERGED | FRAME_REFS_MAX);
	fake_hart = 0;
	assert_int_equal(space_fault(&child, GPA(MM_PAGE(1)), ACCESS_WRITE), ERR_NOMEM);
	assert_int_equal(atomic_load(&f->count), FRAME_MERGED | FRAME_REFS_MAX);
	atomic_store(&f->count, FRAME_MERGED | 1);
	mm_store(0, &child, MM_PAGE(1), 8);
	assert_int_equal(frame_refs(f), 2);
	mm_audit();
	space_fork(&grandchild, &child); /* of the copy */
	atomic_store(&f->count, FRAME_MERGED | FRAME_REFS_MAX);
	fake_hart = 0;
	assert_int_equal(space_fault(&grandchild, GPA(MM_PAGE(1)), ACCESS_WRITE), ERR_NOMEM);
	atomic_store(&f->count, FRAME_MERGED | 2);
	mm_audit();
	space_fini(&grandchild);
	space_fini(&child);
	merge_end(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_between_the_looks),
		cmocka_unit_test(test_machine_that_ignores_w),
		cmocka_unit_test(test_read_between_the_fences),
		cmocka_unit_test(test_keeper_taken_by_its_last_user),
		cmocka_unit_test(test_keeper_freed_by_its_last_user),
		cmocka_unit_test(test_keeper_found_while_its_owner_writes),
		cmocka_unit_test(test_crowded_keeper),
		cmocka_unit_test(test_crowded_keeper_in_a_shared_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
