// SPDX-License-Identifier: BSD-2-Clause
/*
 * Out of memory, everywhere: each operation is repeated with a failure at its n-th allocation,
 * for every n until it needs no more.  After each failure the audit is clean and nothing that anyone
 * can read has changed; then the same operation succeeds.
 */
#include "mm_unit.h"

#define PAGE(n) (RAM + (n)*PAGE_SIZE)
#define N_PAGES 8

static const u64 page[N_PAGES] = { 0, 1, 300, 600, 1024, 1025, 1536, 1537 };
static struct space t, s, other; /* a template, its clone, and what an operation makes */
static u8 image[2 * BLOCK_SIZE];

static u64 peek(struct space *of, u64 gpa)
{
	u64 value;

	assert_int_equal(copy_from_guest(of, &value, GPA(gpa), sizeof(value)), ERR_OK);
	return value;
}

static u64 content(u64 n)
{
	return n < 1024 ? (n == 600 ? 0 : n + 5) : n < 1536 ? (n - 1024) * PAGE_SIZE + 7 : 0;
}

/* 0, 1, 300: pieces of a sealed table; 600: absent in a table; 1024 on: a block; 1536 on: nothing. */
static void start(void)
{
	mm_start(32, 2);
	for (u64 at = 0; at < sizeof(image); at += PAGE_SIZE)
		memcpy(image + at, &(u64){ at + 7 }, 8);
	mm_space(&t, 16);
	for (u32 k = 0; k < 3; k++)
		mm_store(0, &t, PAGE(page[k]), content(page[k]));
	mm_store(0, &t, PAGE(601), 1);
	assert_int_equal(space_load(&t, GPA(PAGE(1024)), image, BLOCK_SIZE), ERR_OK);
	space_freeze(&t);
	space_clone(&s, &t);
}

static void check(struct space *of)
{
	mm_audit();
	for (u32 k = 0; k < N_PAGES; k++)
		assert_int_equal(peek(of, PAGE(page[k])), content(page[k]));
}

static void end(void)
{
	frame_fail_after(0);
	space_fini(&t);
	space_fini(&s);
	mm_end();
}

/* A break of each class, as the first thing that happens to a clone. */
static void break_page(u64 gpa, enum access access, void (*fail_at)(u64), bool by_copy)
{
	enum err e = ERR_NOMEM;
	u32 n = 0;

	start();
	while (e == ERR_NOMEM) {
		assert_in_range(n, 0, 40);
		fail_at(++n);
		if (by_copy)
			e = access == ACCESS_WRITE ? copy_to_guest(&s, GPA(gpa), &(u8){ 7 }, 1)
			                           : copy_to_guest(&s, GPA(gpa), &(u64){ 0 }, 8);
		else
			e = space_fault(&s, GPA(gpa), access);
		frame_fail_after(0);
		if (e == ERR_NOMEM) {
			check(&s);
			check(&t);
		}
	}
	assert_int_equal(e, ERR_OK);
	assert_true(n > 1 || fail_at == frame_fail_after || access != ACCESS_WRITE);
	if (by_copy)
		assert_int_equal(peek(&s, gpa) & 0xff, access == ACCESS_WRITE ? 7 : 0);
	else
		check(&s);
	check(&t);
	end();
}

static void every_class(void (*fail_at)(u64))
{
	for (u32 k = 0; k < N_PAGES; k++) {
		break_page(PAGE(page[k]), ACCESS_WRITE, fail_at, false);
		break_page(PAGE(page[k]), ACCESS_READ, fail_at, false);
		break_page(PAGE(page[k]), ACCESS_WRITE, fail_at, true);
		break_page(PAGE(page[k]), ACCESS_FETCH, fail_at, true);
	}
}

static void test_one_failure(void **state)
{
	(void)state;
	every_class(frame_fail_after);
}

static void test_failures_to_the_end(void **state)
{
	(void)state;
	every_class(frame_fail_from);
}

static void test_space_init(void **state)
{
	struct region r = { GPA(RAM), BLOCK_SIZE };
	u32 n = 1;

	(void)state;
	start();
	for (;; n++) {
		enum err e;

		frame_fail_from(n);
		e = space_init(&other, &r, 1);
		frame_fail_after(0);
		if (e == ERR_OK)
			break;
		assert_int_equal(e, ERR_NOMEM);
		check(&s);
	}
	assert_in_range(n, 2, 6);
	assert_int_equal(peek(&other, PAGE(0)), 0);
	space_fini(&other);
	end();
}

/* No block can be had at some point: pages serve.  Nothing at all can be had: load it again. */
static void load_with_failure(void (*fail_at)(u64), u32 n, bool *again)
{
	enum err e;

	mm_start(32, 2);
	mm_space(&other, 8);
	fail_at(n);
	e = space_load(&other, GPA(RAM), image, sizeof(image));
	frame_fail_after(0);
	mm_audit();
	*again = e != ERR_OK;
	if (*again) {
		assert_int_equal(e, ERR_NOMEM);
		assert_int_equal(space_load(&other, GPA(RAM), image, sizeof(image)), ERR_OK);
		mm_audit();
	}
	for (u64 at = 0; at < sizeof(image); at += PAGE_SIZE)
		assert_int_equal(peek(&other, RAM + at), at + 7);
	space_fini(&other);
	mm_end();
}

static void test_space_load(void **state)
{
	bool again = true;

	(void)state;
	start();
	end();
	for (u32 n = 1; n < 10; n++) {
		load_with_failure(frame_fail_after, n, &again);
		assert_false(again);
	}
	for (u32 n = 1; n < 10; n++)
		load_with_failure(frame_fail_from, n, &again);
	assert_false(again);
}

/* What a dead space left behind is enough for the next one, though nobody has reaped it yet. */
static void test_init_reaps_first(void **state)
{
	(void)state;
	start();
	mm_store(0, &s, PAGE(0), 1);
	mm_store(0, &s, PAGE(1536), 1);
	for (fake_hart = 2; fake_hart-- > 0;)
		space_unload();
	fake_hart = 0;
	mm_settle();
	mm_eat(FRAME_FOR_PANDO, UINT64_MAX);
	space_fini(&s);
	mm_space(&s, 16);
	mm_uneat();
	end();
}

/* Freeze and fork cannot fail: without memory for a block's record the frames stay counted. */
static void test_freeze_without_memory(void **state)
{
	(void)state;
	for (u32 n = 1; n < 6; n++) {
		start();
		for (u64 k = 0; k < 4; k++)
			mm_store(0, &s, PAGE(k * 2048 / 2 + 2), k);
		frame_fail_from(n);
		space_fork(&other, &s);
		space_freeze(&s);
		mm_audit();
		assert_int_equal(peek(&s, PAGE(page[4])), content(page[4]));
		frame_fail_after(0);
		mm_store(0, &other, PAGE(1024), 99);
		mm_store(0, &other, PAGE(2), 98);
		check(&t);
		assert_int_equal(peek(&s, PAGE(1024)), content(1024));
		assert_int_equal(peek(&s, PAGE(1026)), 1);
		mm_audit();
		space_fini(&other);
		end();
	}
}

/* A table that could not be sealed is derived: the copy has frames of its own, and frames that two name. */
static void test_seal_skips_what_is_shared(void **state)
{
	(void)state;
	mm_start(32, 2);
	mm_space(&s, 4);
	for (u64 n = 0; n < 4; n++)
		mm_store(0, &s, PAGE(n), n);
	frame_fail_from(1);
	space_fork(&other, &s);
	frame_fail_after(0);
	mm_audit();
	assert_int_equal(block_n_records(), 0);
	mm_store(0, &other, PAGE(1), 11);
	mm_store(0, &other, PAGE(9), 19);
	space_freeze(&other);
	mm_audit();
	assert_int_equal(block_n_records(), 1);
	mm_store(0, &s, PAGE(2), 12);
	for (u64 n = 0; n < 4; n++) {
		assert_int_equal(peek(&s, PAGE(n)), n == 2 ? 12 : n);
		assert_int_equal(peek(&other, PAGE(n)), n == 1 ? 11 : n);
	}
	space_fini(&s);
	space_fini(&other);
	mm_end();
}

/* The same where a whole word of entries is counted: four that are writable, three of four, none. */
static void test_seal_stops_at_what_is_shared(void **state)
{
	enum { N = 64, N_WRITTEN = 7 };

	(void)state;
	mm_start(32, 2);
	mm_space(&s, 4);
	for (u64 n = 0; n < N; n++)
		mm_store(0, &s, PAGE(n), n);
	frame_fail_from(1);
	space_fork(&other, &s);
	frame_fail_after(0);
	for (u64 n = 0; n < N_WRITTEN; n++)
		mm_store(0, &other, PAGE(n), 100 + n);
	space_freeze(&other);
	mm_audit();
	assert_int_equal(block_n_records(), 1);
	for (u64 n = 0; n < N; n++) {
		assert_int_equal(peek(&s, PAGE(n)), n);
		assert_int_equal(peek(&other, PAGE(n)), n < N_WRITTEN ? 100 + n : n);
	}
	space_fini(&s);
	space_fini(&other);
	mm_end();
}

static void test_reset_without_memory(void **state)
{
	(void)state;
	start();
	for (u32 k = 0; k < N_PAGES; k++)
		mm_store(0, &s, PAGE(page[k]), 99);
	frame_fail_from(1);
	space_reset(&s, &t);
	check(&s);
	check(&t);
	end();
}

/* A guest eats all there is: it is told so, others go on, and it goes on when frames return. */
static void test_guest_eats_all(void **state)
{
	u64 n = 0;

	(void)state;
	start();
	mm_space(&other, 128);
	while (space_fault(&other, GPA(PAGE(n)), ACCESS_WRITE) == ERR_OK)
		n++;
	assert_true(n > 6000);
	for (u64 k = 0; k < n; k += 100)
		assert_int_equal(peek(&other, PAGE(k)), 0);
	assert_int_equal(space_fault(&other, GPA(PAGE(n)), ACCESS_WRITE), ERR_NOMEM);
	check(&s);
	check(&t);
	assert_int_equal(copy_to_guest(&other, GPA(PAGE(n)), &n, 8), ERR_NOMEM);
	/* The reserve: tables for zero pages, and for a whole new VM, can still be had. */
	assert_int_equal(space_fault(&s, GPA(PAGE(600)), ACCESS_READ), ERR_OK);
	assert_int_equal(space_fault(&s, GPA(PAGE(0)), ACCESS_WRITE), ERR_NOMEM);
	check(&s);
	space_fini(&s);
	mm_settle();
	mm_space(&s, 4);
	space_fini(&s);
	space_clone(&s, &t);
	space_fini(&other);
	for (u32 k = 0; k < N_PAGES; k++)
		mm_store(0, &s, PAGE(page[k]), 3);
	end();
}

/* Slots that a table no longer maps are dissolved before anyone hears "out of memory"... */
static void test_retained_slots(void **state)
{
	u64 n;

	(void)state;
	mm_start(32, 2);
	mm_space(&s, 16);
	for (u64 k = 0; k < 512; k++)
		mm_store(0, &s, PAGE(k), k);
	space_fork(&other, &s);
	for (u64 k = 0; k < 256; k++)
		mm_store(0, &s, PAGE(k), k + 1000);
	space_fini(&other);
	mm_settle();
	n = mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	for (u64 k = 0; k < 200; k++)
		mm_store(0, &s, PAGE(1024 + k), k);
	mm_audit();
	for (u64 k = 0; k < 512; k++)
		assert_int_equal(peek(&s, PAGE(k)), k < 256 ? k + 1000 : k);
	mm_uneat();
	assert_true(n > 4000);
	space_fini(&s);
	mm_end();
}

/* ... but not those of a template, and not those of a block that two still use. */
static void test_templates_keep_their_blocks(void **state)
{
	struct space_usage u;
	u32 was;

	(void)state;
	start();
	mm_store(0, &s, PAGE(0), 1);
	was = (u32)block_n_records();
	space_usage(&t, &u);
	assert_false(space_relieve() && block_n_records() != was);
	assert_int_equal(block_n_records(), was);
	check(&t);
	space_freeze(&s);
	space_fini(&t);
	mm_settle();
	was = (u32)block_n_records();
	space_usage(&s, &u);
	assert_int_equal(u.retained_frames, 1); /* page 0 as it was in t */
	(void)space_relieve();
	assert_int_equal(block_n_records(), was);
	space_usage(&s, &u);
	assert_int_equal(u.retained_frames, 1);
	assert_int_equal(peek(&s, PAGE(0)), 1);
	space_fini(&s);
	mm_end();
}

/* Nor what several spaces reach, though one table alone stands over the block: that table is immutable. */
static void test_shared_tables_keep_their_blocks(void **state)
{
	(void)state;
	mm_start(32, 2);
	mm_space(&s, 8);
	mm_store(0, &s, PAGE(0), 5);
	mm_store(0, &s, PAGE(1), 6);
	space_fork(&other, &s);
	mm_store(0, &s, PAGE(0), 7);
	space_fini(&other);
	mm_settle();
	space_fork(&other, &s);
	(void)space_relieve();
	assert_int_equal(block_n_records(), 1);
	assert_int_equal(pte_kind(mm_leaf(&s, PAGE(1))), KIND_PIECE);
	space_fini(&other);
	mm_settle();
	(void)space_relieve();
	assert_int_equal(block_n_records(), 0);
	assert_int_equal(pte_kind(mm_leaf(&s, PAGE(1))), KIND_LEAF);
	space_fini(&s);
	mm_end();
}

/* Idle harts do the same, once a space has ended. */
static void test_idle_harts_dissolve(void **state)
{
	struct space_usage u;

	(void)state;
	start();
	mm_store(0, &s, PAGE(0), 1);
	mm_store(0, &s, PAGE(1024), 1);
	space_fini(&t);
	for (fake_hart = 0; fake_hart < 2; fake_hart++)
		space_unload();
	fake_hart = 1;
	space_usage(&s, &u);
	while (space_idle_work())
		continue;
	space_usage(&s, &u);
	assert_int_equal(u.retained_frames, 0);
	assert_int_equal(peek(&s, PAGE(1)), content(1));
	assert_int_equal(peek(&s, PAGE(1025)), content(1025));
	mm_audit();
	assert_int_equal(block_n_records(), 1); /* page 601: a block without unused slots */
	fake_hart = 0;
	mm_store(0, &s, PAGE(1), 2); /* what has been dissolved is ours to write */
	assert_int_equal(s.breaks[BREAK_COPY], 2);
	space_fini(&s);
	mm_end();
}

/* Kept-ready roots count as free: whoever is refused a frame gets them on the second try. */
static void test_ready_roots_are_given_up(void **state)
{
	(void)state;
	start();
	while (root_ahead())
		continue;
	while (mm_eat(FRAME_FOR_GUEST, UINT64_MAX) > 0)
		continue;
	assert_true(frame_n_pooled() > 0);
	assert_int_equal(copy_to_guest(&s, GPA(PAGE(0)), &(u64){ 3 }, 8), ERR_OK);
	assert_int_equal(frame_n_pooled(), 0);
	mm_uneat();
	end();
}

/* What is there for the lack of memory asks for none: relief, dissolving, and the audit with its figures. */
static void test_relief_and_audit_need_none(void **state)
{
	u64 n_blocks;

	(void)state;
	start();
	mm_store(0, &s, PAGE(0), 1);
	mm_store(0, &s, PAGE(1024), 1);
	space_fini(&t);
	for (fake_hart = 2; fake_hart-- > 0;)
		space_unload();
	fake_hart = 0;
	n_blocks = block_n_records();
	frame_fail_from(1);
	mm_audit();
	assert_true(space_relieve());
	assert_int_equal(block_n_records(), n_blocks - 2);
	mm_audit();
	frame_fail_from(0);
	/* Nor would one have been missed: the first that asks is refused. */
	frame_fail_after(1);
	(void)space_relieve();
	mm_audit();
	assert_null(frame_alloc(FRAME_FOR_PANDO));
	frame_fail_after(0);
	assert_int_equal(peek(&s, PAGE(0)), 1);
	assert_int_equal(peek(&s, PAGE(1)), content(1));
	assert_int_equal(peek(&s, PAGE(1025)), content(1025));
	space_fini(&s);
	mm_end();
}

/* Whoever looks for blocks to dissolve holds no list meanwhile, and loses its way by no space that ends. */
static struct space child[7];
static u32 n_visits;

static void count_space(struct space *one, void *arg)
{
	(void)arg;
	assert_non_null(one->root);
}

static void use_the_list(const struct spinlock *l)
{
	if (lock_rank(l) != LOCK_SPACE)
		return;
	fake_on_release = NULL;
	if (++n_visits == 3)
		space_fini(&child[3]); /* the list begins with the youngest: the next */
	else
		space_for_each(count_space, NULL);
	fake_on_release = use_the_list;
}

static void test_dissolve_holds_no_list(void **state)
{
	(void)state;
	mm_start(32, 2);
	mm_space(&t, 4);
	for (u32 n = 1; n <= 6; n++)
		space_fork(&child[n], &t);
	while (space_idle_work())
		continue;
	space_fini(&child[1]);
	n_visits = 0;
	fake_on_release = use_the_list;
	while (space_idle_work())
		continue;
	fake_on_release = NULL;
	assert_int_equal(n_visits, 5 + 5); /* all, and all again since one has ended */
	mm_audit();
	for (u32 n = 2; n <= 6; n++)
		if (n != 3)
			space_fini(&child[n]);
	space_fini(&t);
	mm_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_relief_and_audit_need_none),
		cmocka_unit_test(test_one_failure),
		cmocka_unit_test(test_failures_to_the_end),
		cmocka_unit_test(test_space_init),
		cmocka_unit_test(test_init_reaps_first),
		cmocka_unit_test(test_space_load),
		cmocka_unit_test(test_freeze_without_memory),
		cmocka_unit_test(test_seal_skips_what_is_shared),
		cmocka_unit_test(test_seal_stops_at_what_is_shared),
		cmocka_unit_test(test_reset_without_memory),
		cmocka_unit_test(test_guest_eats_all),
		cmocka_unit_test(test_retained_slots),
		cmocka_unit_test(test_templates_keep_their_blocks),
		cmocka_unit_test(test_shared_tables_keep_their_blocks),
		cmocka_unit_test(test_idle_harts_dissolve),
		cmocka_unit_test(test_dissolve_holds_no_list),
		cmocka_unit_test(test_ready_roots_are_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
