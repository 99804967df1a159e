// SPDX-License-Identifier: BSD-2-Clause
/* Who may still use a translation: windows, fences, hgatp reloads, epochs. */
#include "mm_unit.h"

#include "arch/csr.h"
#include "arch/phys.h"

static struct space a, b, c;
static u64 watched;             /* GPA whose leaf in `a` a kick looks at */
static struct frame *old;       /* `a` must not let go of it while a hart is in its guest */
static struct table *old_table; /* likewise */
static u32 n_watched, n_in_guest;

/* What a hart sees of the kicker's half-done work at the moment when it is told to leave. */
static void watch(u32 h)
{
	u64 pte = mm_leaf(&a, watched);

	if (!fake_is_in_guest(h))
		return;
	n_watched++;
	assert_int_equal(pte & PTE_W, 0);
	if (old)
		assert_int_equal(atomic_load(&old->count), 2);
	if (old_table)
		assert_int_equal(atomic_load(&old_table->count), 2);
	assert_true(lock_is_held(&a.lock));
	fake_leave(h);
}

static u64 word(u32 h, u64 gpa)
{
	u8 *byte = fake_access(h, gpa, false);

	assert_non_null(byte);
	return *(u64 *)(void *)byte;
}

/* The first store after a clone: three harts in the guest, one breaks. */
static void test_derived_root_is_reloaded(void **state)
{
	u64 hgatp;

	(void)state;
	mm_start(32, 4);
	mm_space(&b, 8);
	mm_store(0, &b, MM_PAGE(0), 10);
	space_freeze(&b);
	space_clone(&a, &b);
	for (u32 h = 0; h < 3; h++) {
		fake_enter(h, &a, h);
		assert_int_equal(word(h, MM_PAGE(0)), 10);
	}
	hgatp = mm_hgatp(1);
	fake_on_kick = watch;
	watched = MM_PAGE(0);
	n_watched = 0;
	old = NULL;
	old_table = b.root;
	fake_leave(0);
	mm_store(0, &a, MM_PAGE(0), 20);
	old_table = NULL;
	assert_int_equal(n_watched, 2);
	assert_false(fake_is_in_guest(1) || fake_is_in_guest(2));
	for (u32 h = 1; h < 3; h++) {
		fake_enter(h, &a, h);
		assert_true(mm_hgatp(h) != hgatp);
		assert_int_equal(mm_hgatp(h) & HGATP_PPN, ptr_hpa(a.root->pte).v >> PAGE_SHIFT);
		assert_int_equal(word(h, MM_PAGE(0)), 20);
		fake_leave(h);
	}
	assert_int_equal(mm_load(3, &b, MM_PAGE(0)), 10);
	space_fini(&a);
	space_fini(&b);
	mm_end();
}

/* A change of frame in a table that is ours already: fence, let go, and only then W. */
static void test_leaf_break_with_siblings(void **state)
{
	u32 n_fence_i[3];

	(void)state;
	mm_start(32, 4);
	mm_space(&a, 8);
	mm_store(0, &a, MM_PAGE(0), 10);
	mm_store(0, &a, MM_PAGE(1), 11);
	space_fork(&b, &a);
	mm_store(0, &a, MM_PAGE(1), 12); /* the path is ours from now on */
	for (u32 h = 1; h < 3; h++) {
		fake_enter(h, &a, h);
		assert_int_equal(word(h, MM_PAGE(0)), 10);
		n_fence_i[h] = mm_fences(h, FAKE_FENCE_I);
	}
	n_fence_i[0] = mm_fences(0, FAKE_FENCE_I);
	fake_on_kick = watch;
	watched = MM_PAGE(0);
	n_watched = 0;
	old = NULL; /* a piece: its block stays */
	mm_store(0, &a, MM_PAGE(0), 20);
	assert_int_equal(n_watched, 2);
	assert_true(mm_fences(0, FAKE_FENCE_I) > n_fence_i[0]);
	for (u32 h = 1; h < 3; h++) {
		fake_enter(h, &a, h);
		assert_int_equal(word(h, MM_PAGE(0)), 20);
		assert_true(mm_fences(h, FAKE_FENCE_I) > n_fence_i[h]); /* the page may hold code */
		fake_leave(h);
	}
	space_fini(&a);
	space_fini(&b);
	mm_end();
}

/* The same with a counted frame: the other side may write it as soon as we have let go of it. */
static void test_old_frame_outlives_the_fence(void **state)
{
	(void)state;
	mm_start(32, 4);
	mm_space(&a, 8);
	mm_store(0, &a, MM_PAGE(0), 10);
	space_fork(&b, &a);
	mm_store(0, &a, MM_PAGE(1), 11); /* counted: this table has a block already */
	space_fork(&c, &a);
	mm_store(0, &a, MM_PAGE(2), 12);
	for (u32 h = 1; h < 3; h++) {
		fake_enter(h, &a, h);
		assert_int_equal(word(h, MM_PAGE(1)), 11);
	}
	old = frame_of(pte_hpa(mm_leaf(&a, MM_PAGE(1))));
	fake_on_kick = watch;
	watched = MM_PAGE(1);
	n_watched = 0;
	mm_store(0, &a, MM_PAGE(1), 21);
	assert_int_equal(n_watched, 2);
	assert_int_equal(mm_load(0, &c, MM_PAGE(1)), 11);
	space_fini(&a);
	space_fini(&b);
	space_fini(&c);
	mm_end();
}

/* W without a change of frame: the local hart alone; a sibling's fault on its old entry is spurious. */
static void test_own_page_needs_no_kick(void **state)
{
	u64 n;

	(void)state;
	mm_start(32, 4);
	mm_space(&a, 8);
	mm_store(0, &a, MM_PAGE(0), 10);
	space_fork(&b, &a);
	mm_store(0, &a, MM_PAGE(1), 11);
	space_fini(&b);
	mm_settle();
	for (u32 h = 0; h < 2; h++) {
		fake_enter(h, &a, h);
		assert_int_equal(word(h, MM_PAGE(0)), 10); /* read-only in both TLBs now */
	}
	fake_leave(0);
	n = fake_n_kicks[1];
	mm_store(0, &a, MM_PAGE(0), 20);
	assert_int_equal(a.breaks[BREAK_COPY], 0);
	assert_int_equal(fake_n_kicks[1], n);
	assert_true(fake_is_in_guest(1));
	assert_null(fake_access(1, MM_PAGE(0), true));
	fake_leave(1);
	n = a.breaks[BREAK_SPURIOUS];
	mm_store(1, &a, MM_PAGE(0), 30);
	assert_int_equal(a.breaks[BREAK_SPURIOUS], n + 1);
	assert_int_equal(mm_load(0, &a, MM_PAGE(0)), 30);
	space_fini(&a);
	mm_end();
}

/* A page is absent for two harts; one maps it, the other remembers that it was not there. */
static void test_absent_for_a_sibling(void **state)
{
	(void)state;
	mm_start(32, 4);
	mm_space(&a, 8);
	mm_store(0, &a, MM_PAGE(1), 1);
	fake_enter(1, &a, 1);
	assert_null(fake_access(1, MM_PAGE(0), false));
	assert_null(fake_access(1, MM_PAGE(600), false));
	mm_store(0, &a, MM_PAGE(0), 5);
	assert_null(fake_access(1, MM_PAGE(0), false));
	fake_leave(1);
	assert_int_equal(mm_load(1, &a, MM_PAGE(0)), 5);
	mm_store(0, &a, MM_PAGE(600), 6);
	assert_int_equal(mm_load(1, &a, MM_PAGE(600)), 6);
	space_fini(&a);
	mm_end();
}

/* What a hart maps for itself it finds at once, though it remembers that nothing was there. */
static void test_absent_for_the_hart_itself(void **state)
{
	(void)state;
	mm_start(32, 4);
	mm_space(&a, 8);
	mm_store(0, &a, MM_PAGE(0), 1);
	fake_enter(0, &a, 0);
	assert_null(fake_access(0, MM_PAGE(1), false));
	assert_null(fake_access(0, MM_PAGE(N_ENTRIES), false));
	fake_leave(0);
	assert_int_equal(space_fault(&a, GPA(MM_PAGE(1)), ACCESS_READ), ERR_OK);
	assert_int_equal(space_add_block(&a, GPA(MM_PAGE(N_ENTRIES))), ERR_OK);
	fake_enter(0, &a, 0);
	assert_int_equal(word(0, MM_PAGE(1)), 0);
	assert_int_equal(word(0, MM_PAGE(N_ENTRIES)), 0);
	fake_leave(0);
	space_fini(&a);
	mm_end();
}

/* Two siblings each change a frame before either enters again: both owe the other's fence. */
static void test_two_breaks_before_one_entry(void **state)
{
	(void)state;
	mm_start(32, 4);
	mm_space(&a, 8);
	for (u64 n = 0; n < 3; n++)
		mm_store(0, &a, MM_PAGE(n), 10 + n);
	space_fork(&b, &a);
	mm_store(0, &a, MM_PAGE(2), 22);
	for (u32 h = 0; h < 2; h++) {
		fake_enter(h, &a, h);
		for (u64 n = 0; n < 2; n++)
			assert_int_equal(word(h, MM_PAGE(n)), 10 + n);
		fake_leave(h);
	}
	for (u32 h = 0; h < 2; h++) {
		fake_hart = h;
		assert_int_equal(space_fault(&a, GPA(MM_PAGE(h)), ACCESS_WRITE), ERR_OK);
	}
	fake_hart = 0;
	for (u32 h = 0; h < 2; h++) {
		u64 value = 30 + h;

		fake_enter(h, &a, h);
		memcpy(fake_access(h, MM_PAGE(h), true), &value, 8);
		fake_leave(h);
	}
	for (u32 h = 0; h < 2; h++) {
		fake_enter(h, &a, h);
		for (u64 n = 0; n < 2; n++)
			assert_int_equal(word(h, MM_PAGE(n)), 30 + n);
		fake_leave(h);
	}
	space_fini(&a);
	space_fini(&b);
	mm_end();
}

/* A hart that is not in its guest, since it wants the very lock, is not waited for. */
static void try_lock(u32 h)
{
	u32 was = fake_hart;

	if (fake_is_in_guest(h)) {
		fake_leave(h);
		fake_hart = h;
		assert_false(lock_try(&a.lock));
		fake_hart = was;
		n_in_guest++;
	}
}

static void test_nobody_waits_for_a_spinning_hart(void **state)
{
	(void)state;
	mm_start(32, 4);
	mm_space(&a, 8);
	mm_store(0, &a, MM_PAGE(0), 10);
	space_fork(&b, &a);
	fake_enter(1, &a, 1);
	fake_leave(1); /* spins on a.lock from here on, as far as anyone can tell */
	fake_enter(2, &a, 2);
	assert_int_equal(word(2, MM_PAGE(0)), 10);
	fake_enter(3, &b, 0); /* in a guest, but not of this space */
	fake_on_kick = try_lock;
	n_in_guest = 0;
	memset(fake_n_kicks, 0, sizeof(fake_n_kicks));
	mm_store(0, &a, MM_PAGE(0), 20);
	assert_int_equal(n_in_guest, 1);
	assert_int_equal(fake_n_kicks[1], 0);
	assert_int_equal(fake_n_kicks[3], 0);
	assert_int_equal(mm_load(1, &a, MM_PAGE(0)), 20);
	fake_leave(3);
	space_fini(&a);
	space_fini(&b);
	mm_end();
}

/* A hart that left its guest and entered another window meanwhile is not waited for either. */
static void reenter(u32 h)
{
	if (n_in_guest++ == 0) {
		fake_leave(h);
		fake_enter(h, &a, h);
	}
}

static void test_next_window_is_another(void **state)
{
	(void)state;
	mm_start(32, 4);
	mm_space(&a, 8);
	mm_store(0, &a, MM_PAGE(0), 10);
	space_fork(&b, &a);
	fake_enter(1, &a, 1);
	assert_int_equal(word(1, MM_PAGE(0)), 10);
	fake_on_kick = reenter;
	n_in_guest = 0;
	mm_store(0, &a, MM_PAGE(0), 20);
	assert_true(fake_is_in_guest(1));
	assert_int_equal(word(1, MM_PAGE(0)), 20);
	fake_leave(1);
	space_fini(&a);
	space_fini(&b);
	mm_end();
}

/* ---- epochs ---- */

/* Tables that wait to be freed. */
static u32 n_dying;

static void count_one(struct table *t, void *arg)
{
	(void)t;
	(void)arg;
	n_dying++;
}

static u32 dying(void)
{
	n_dying = 0;
	table_for_each_dying(count_one, NULL);
	return n_dying;
}

static void ignore_kick(u32 h)
{
	(void)h;
}

/* Two harts have the old root in hgatp; one passes.  The oldest counts, not the last. */
static void test_oldest_hart_counts(void **state)
{
	u64 old_root, left;

	(void)state;
	mm_family(&a, &b);
	mm_store(0, &b, MM_PAGE(0), 20);
	for (u32 h = 0; h < 3; h++) {
		fake_enter(h, &b, h);
		assert_int_equal(word(h, MM_PAGE(0)), 20);
		fake_leave(h);
	}
	old_root = ptr_hpa(b.root->pte).v;
	fake_hart = 3;
	space_reap(1000); /* what the break left behind; kept back by nobody now */
	left = dying();
	b.is_marked = false; /* as after a fork: its tables go */
	space_reset(&b, &a);
	assert_int_equal(dying(), left + 1);
	fake_enter(0, &b, 0);
	fake_leave(0);
	fake_hart = 0;
	assert_true(space_reap(1000));
	assert_int_equal(frame_of(HPA(old_root))->class, FRAME_TABLE);
	fake_enter(1, &b, 1);
	fake_leave(1);
	fake_hart = 0;
	assert_true(space_reap(1000));
	assert_int_equal(frame_of(HPA(old_root))->class, FRAME_TABLE); /* hart 2 may walk it */
	fake_enter(2, &a, 0);                                          /* another space will do */
	fake_leave(2);
	fake_hart = 0;
	space_reap(1);
	assert_int_not_equal(frame_of(HPA(old_root))->class, FRAME_TABLE);
	mm_end_family(&a, &b);
}

/* A hart in its guest does not pass by itself: it is kicked, and asked again later. */
static void test_reaper_kicks(void **state)
{
	u32 n;

	(void)state;
	mm_family(&a, &b);
	space_clone(&c, &a);
	mm_store(0, &b, MM_PAGE(0), 20);
	mm_settle();
	fake_enter(1, &c, 1);
	fake_on_kick = ignore_kick;
	b.is_marked = false; /* as after a fork: its tables go */
	space_reset(&b, &a);
	n = fake_n_kicks[1];
	fake_hart = 0;
	assert_true(space_reap(1));
	assert_true(fake_n_kicks[1] > n);
	for (n = 0; space_idle_work(); n++)
		assert_true(n < 1000); /* nothing can be done about it now: an idle hart sleeps */
	assert_true(space_reap_is_wanted());
	fake_leave(1);
	assert_true(space_reap(1)); /* it still has old pointers */
	fake_enter(1, &c, 1);
	n = dying();
	space_reap(1);
	assert_true(dying() >= n); /* the root went, its tables came */
	fake_leave(1);
	space_fini(&c);
	mm_end_family(&a, &b);
}

/* Also a hart that had let go, and is in its first window since. */
static void test_first_window_counts(void **state)
{
	u64 old_root;

	(void)state;
	mm_family(&a, &b);
	mm_store(0, &b, MM_PAGE(0), 20);
	fake_hart = 1;
	space_attach(&b, 1, false);
	mm_store(0, &b, MM_PAGE(600), 60); /* meanwhile it owes a fence again */
	fake_enter_again(1, &b);
	fake_leave(1);
	old_root = ptr_hpa(b.root->pte).v;
	b.is_marked = false; /* as after a fork: its tables go */
	space_reset(&b, &a);
	fake_enter(0, &b, 0);
	fake_leave(0);
	fake_hart = 3;
	assert_true(space_reap(1000));
	assert_int_equal(frame_of(HPA(old_root))->class, FRAME_TABLE);
	fake_enter(1, &b, 1);
	fake_leave(1);
	fake_hart = 3;
	space_reap(1000);
	assert_int_not_equal(frame_of(HPA(old_root))->class, FRAME_TABLE);
	mm_end_family(&a, &b);
}

/* The hart that reaps need not wait for itself: it lets go of what it has loaded. */
static void test_reaper_lets_go(void **state)
{
	u64 old_root;

	(void)state;
	mm_family(&a, &b);
	mm_store(0, &b, MM_PAGE(0), 20);
	old_root = ptr_hpa(b.root->pte).v;
	b.is_marked = false; /* as after a fork: its tables go */
	space_reset(&b, &a);
	assert_int_equal(mm_hgatp(0) & HGATP_PPN, old_root >> PAGE_SHIFT);
	space_reap(1);
	assert_int_not_equal(frame_of(HPA(old_root))->class, FRAME_TABLE);
	assert_int_not_equal(mm_hgatp(0) & HGATP_PPN, old_root >> PAGE_SHIFT);
	fake_speculate(0, MM_PAGE(1));
	mm_end_family(&a, &b);
}

static void let_pass(struct space *s)
{
	for (u32 h = 0; h < 2; h++) {
		fake_enter(h, s, h);
		fake_leave(h);
	}
}

/* A table below two others: a space lets go of it, then the other parent, which was past before, is freed.  A hart that
 * owes the space's fence still walks there. */
static void test_past_parent_of_a_table_in_use(void **state)
{
	struct table *t;
	hpa_t at;

	(void)state;
	mm_start(32, 4);
	mm_space(&a, 8);
	mm_store(0, &a, MM_PAGE(0), 10);
	mm_store(0, &a, MM_PAGE(600), 60);
	space_fork(&b, &a);
	mm_store(1, &b, MM_PAGE(600), 61);
	t = table_below(a.root->pte[pte_index(GPA(RAM), 2)]);
	t = table_below(t->pte[pte_index(GPA(RAM), 1)]);
	at = ptr_hpa(t->pte);
	space_fini(&b);
	let_pass(&a); /* b's root may go */
	fake_hart = 3;
	assert_true(space_reap(1)); /* what was below it waits now, and names the table of page 0 */
	assert_int_equal(dying(), 1);
	assert_int_equal(atomic_load(&t->count), 2);
	fake_enter(1, &a, 1);
	assert_int_equal(word(1, MM_PAGE(0)), 10);
	fake_leave(1); /* past, and remembers where the table is */
	mm_store(0, &a, MM_PAGE(0), 20);
	assert_int_equal(atomic_load(&t->count), 1);
	fake_hart = 3;
	assert_true(space_reap(1000));
	assert_int_equal(atomic_load(&t->count), 0);
	assert_int_equal(frame_of(at)->class, FRAME_TABLE);
	fake_speculate(1, MM_PAGE(1));
	let_pass(&a);
	fake_hart = 3;
	assert_false(space_reap(1000));
	assert_int_not_equal(frame_of(at)->class, FRAME_TABLE);
	space_fini(&a);
	mm_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_derived_root_is_reloaded),
		cmocka_unit_test(test_leaf_break_with_siblings),
		cmocka_unit_test(test_old_frame_outlives_the_fence),
		cmocka_unit_test(test_own_page_needs_no_kick),
		cmocka_unit_test(test_absent_for_a_sibling),
		cmocka_unit_test(test_absent_for_the_hart_itself),
		cmocka_unit_test(test_two_breaks_before_one_entry),
		cmocka_unit_test(test_nobody_waits_for_a_spinning_hart),
		cmocka_unit_test(test_next_window_is_another),
		cmocka_unit_test(test_oldest_hart_counts),
		cmocka_unit_test(test_reaper_kicks),
		cmocka_unit_test(test_first_window_counts),
		cmocka_unit_test(test_reaper_lets_go),
		cmocka_unit_test(test_past_parent_of_a_table_in_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
