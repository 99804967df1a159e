// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who takes which lock: calls that test_interleave does not make, or that read only.  What is looked at is that the call
 * has the lock, for as often as it must have it.
 */
#include "merge_unit.h"

#include "arch/phys.h"
#include "mm/hide.h"
#include "mm/slot.h"

static struct space a, template, clone;
static u32 n_releases[LOCK_N_RANKS];

static void count(const struct spinlock *l)
{
	n_releases[lock_rank(l)]++;
}

static void start(void)
{
	mm_start(64, SCANNER + 1);
	mm_space(&template, 8);
	mm_store(0, &template, MM_PAGE(0), 1);
	space_freeze(&template);
	space_clone(&clone, &template);
	mm_store(0, &clone, MM_PAGE(0), 2);
	mm_space(&a, 8);
	mm_store(0, &a, MM_PAGE(0), 5);
	mm_store(0, &a, MM_PAGE(1), 6);
	fake_hart = SCANNER;
	assert_true(root_ahead());
}

static void end(void)
{
	space_fini(&a);
	space_fini(&clone);
	space_fini(&template);
	mm_end();
}

/* ---- a space's lock ---- */

static u64 word;

static void own_pages(void)
{
	u64 gpa = MM_PAGE(0);

	assert_int_equal(space_own_pages(&a, &gpa, 1), 1);
}

static void add_block(void)
{
	assert_int_equal(space_add_block(&a, GPA(RAM + BLOCK_SIZE)), ERR_OK);
}

static void load_block(void)
{
	assert_int_equal(space_load(&a, GPA(RAM + BLOCK_SIZE), &word, 8), ERR_OK);
}

static void load_page(void) /* after a block was tried */
{
	assert_int_equal(space_load(&a, GPA(RAM), &word, 8), ERR_OK);
}

static void next_private(void)
{
	struct region run;

	assert_true(space_next_private(&a, GPA(RAM), &run));
}

static void next_slot(void)
{
	struct slot slot;

	assert_true(slot_next(&a, GPA(0), &slot));
}

static void usage(void)
{
	struct space_usage u;

	space_usage(&a, &u);
	assert_int_equal(u.private_frames, 2);
}

static void n_given(void)
{
	assert_int_equal(scan_n_given(&a), 0);
}

static void unmerge(
	void) /* counts, in the one region and behind it, and then looks for the first */
{
	assert_int_equal(scan_unmerge(&a), ERR_OK);
}

static void set_policy(void)
{
	scan_set_policy(&a, (struct merge_policy){ DEDUP_ZERO, 0, false });
}

static void leave_domain(void) /* four regions are forgotten */
{
	a.merge = (struct merge_policy){ DEDUP_MERGE, 1, false };
	set_policy();
}

static void spare(void)
{
	scan_spare(&a);
}

static void promise(void)
{
	assert_int_equal(promise_make(&a), ERR_OK);
}

static void promise_again(void) /* is made, renewed and ended */
{
	assert_int_equal(promise_make(&a), ERR_OK);
	assert_int_equal(promise_renew(&a, 2), ERR_OK);
	promise_end(&a);
}

static void promise_seek_more(void) /* after it was made */
{
	assert_int_equal(promise_make(&a), ERR_OK);
	assert_int_equal(promise_seek(&a, 1), ERR_OK);
}

static void freeze(void)
{
	space_freeze(&a);
}

static void reset(void)
{
	space_reset(&clone, &template);
}

static void relieve(void) /* each of three spaces is dissolved */
{
	space_relieve();
}

static void promise_too_much(
	void) /* twice tried; in between three spaces are dissolved, and trimmed */
{
	frame_fail_from(1);
	assert_int_equal(promise_make(&a), ERR_NOMEM);
	frame_fail_from(0);
}

/* ---- others ---- */

static void stats(void)
{
	struct merge_stats st;

	scan_stats(&st);
}

static void frames(void)
{
	assert_true(frame_promise(1));
	frame_unpromise(1);
}

static void can_have(void)
{
	assert_true(frame_can_have((struct frame_want){ FRAME_FOR_GUEST, 0 }, 0));
}

static void n_free(void)
{
	assert_true(frame_n_free() > 0);
}

static void root(void)
{
	assert_true(root_promise());
}

static void unroot(void)
{
	root_unpromise();
}

static struct pool pool = POOL_INIT("test", u64[4], FRAME_FOR_PANDO);

static void objects(void)
{
	assert_true(pool_promise(&pool, 2));
}

static void promised_object(void)
{
	word = (u64)pool_alloc_promised(&pool);
}

static void unpromise_object(void)
{
	pool_free(&pool, (void *)word);
	pool_unpromise(&pool, 1);
}

static void put_later(void)
{
	hide_put_later(space_zero_entry());
}

static void visit(struct space *s, void *arg)
{
	(void)s;
	(void)arg;
}

static void for_each(void)
{
	space_for_each(visit, NULL);
}

static void rewind_cursor(void)
{
	space_cursor_rewind(CURSOR_SCAN);
}

static void count_table(struct table *t, void *arg)
{
	(void)t;
	(void)arg;
}

static void for_each_dying(void)
{
	table_for_each_dying(count_table, NULL);
}

static void roll_over(void)
{
	static struct tlb t;

	machine.vmid_bits = 0;
	tlb_init(&t, ptr_hpa(a.root->pte));
	tlb_open(&t);
	tlb_close();
}

static void with_start(void (*call)(void), enum lock_rank rank, u32 n)
{
	start();
	memset(n_releases, 0, sizeof(n_releases));
	fake_on_release = count;
	call();
	fake_on_release = NULL;
	assert_int_equal(n_releases[rank], n);
	end();
}

static void test_locks_of_spaces(void **state)
{
	static const struct {
		void (*call)(void);
		u32 n;
	} row[] = {
		{ own_pages, 1 },
		{ add_block, 1 },
		{ load_block, 1 },
		{ load_page, 2 },
		{ next_slot, 1 },
		{ next_private, 1 },
		{ usage, 1 },
		{ n_given, 2 },
		{ unmerge, 3 },
		{ set_policy, 1 },
		{ spare, 1 },
		{ promise, 1 },
		{ freeze, 1 },
		{ promise_again, 3 },
		{ reset, 1 },
		{ relieve, 3 },
		{ promise_too_much, 8 },
		{ leave_domain, 5 },
		{ promise_seek_more, 2 },
	};

	(void)state;
	for (u32 k = 0; k < ARRAY_LEN(row); k++)
		with_start(row[k].call, LOCK_SPACE, row[k].n);
}

static void test_other_locks(void **state)
{
	static const struct {
		void (*call)(void);
		enum lock_rank rank;
	} row[] = {
		{ stats, LOCK_SCAN },           { set_policy, LOCK_SCAN },
		{ frames, LOCK_FRAMES },        { can_have, LOCK_FRAMES },
		{ n_free, LOCK_FRAMES },        { for_each, LOCK_SPACES },
		{ rewind_cursor, LOCK_SPACES }, { for_each_dying, LOCK_REAP },
		{ put_later, LOCK_POOL },       { roll_over, LOCK_VMID },
	};

	(void)state;
	for (u32 k = 0; k < ARRAY_LEN(row); k++)
		with_start(row[k].call, row[k].rank, 1);
}

static void n_taken(void (*call)(void), enum lock_rank rank, u32 n)
{
	n_releases[rank] = 0;
	fake_on_release = count;
	call();
	fake_on_release = NULL;
	assert_int_equal(n_releases[rank], n);
}

/* What is put aside, taken and given back. */
static void test_promises(void **state)
{
	(void)state;
	start();
	n_taken(objects, LOCK_POOL, 1);
	n_taken(promised_object, LOCK_POOL, 1);
	n_taken(unpromise_object, LOCK_POOL, 2);
	n_taken(root, LOCK_REAP, 1);
	n_taken(unroot, LOCK_REAP, 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_locks_of_spaces),
		cmocka_unit_test(test_other_locks),
		cmocka_unit_test(test_promises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
