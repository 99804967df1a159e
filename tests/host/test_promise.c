// SPDX-License-Identifier: BSD-2-Clause
/* Promises: what is promised is there, whatever others do; and no more is kept from them than that. */
#include "merge_unit.h"

#define PAGE(n) (RAM + (n)*PAGE_SIZE)
#define MIB_LEN 4UL
#define N_PAGES (MIB_LEN << 20 >> PAGE_SHIFT)

static struct space t, s, other, hog;

/* A template with two pages, a clone of it, and a guest that could eat the machine. */
static void start(u32 n_harts)
{
	mm_start(32, n_harts);
	mm_space(&t, MIB_LEN);
	mm_store(0, &t, PAGE(0), 10);
	mm_store(0, &t, PAGE(700), 17);
	space_freeze(&t);
	space_clone(&s, &t);
	mm_space(&hog, 64);
}

static void end(void)
{
	frame_fail_after(0);
	space_fini(&t);
	space_fini(&s);
	space_fini(&hog);
	mm_end();
	assert_int_equal(frame_n_promised(), 0);
}

static u64 eat_all(void)
{
	u64 n = 0;

	while (n < 64UL << 20 >> PAGE_SHIFT &&
	       space_fault(&hog, GPA(PAGE(n)), ACCESS_WRITE) == ERR_OK)
		n++;
	return n;
}

static void write_all(struct space *of, u64 value)
{
	for (u64 n = 0; n < N_PAGES; n++)
		assert_int_equal(copy_to_guest(of, GPA(PAGE(n)), &(u64){ value + n }, 8), ERR_OK);
	for (u64 n = 0; n < N_PAGES; n++)
		assert_int_equal(mm_load(0, of, PAGE(n)), value + n);
}

static void test_is_there(void **state)
{
	(void)state;
	start(2);
	assert_int_equal(promise_make(&s), ERR_OK);
	assert_int_equal(promise_worst(&s), N_PAGES + 2 + 1 + 4);
	mm_audit();
	assert_true(eat_all() > 1000);
	mm_audit();
	assert_int_equal(frame_n_for_guests(), 0);
	mm_eat(FRAME_FOR_PANDO, UINT64_MAX); /* nor is it Pando's own */
	write_all(&s, 1);
	assert_int_equal(s.promise.n_frames, 0);
	assert_int_equal(s.promise.n_tables, 0);
	assert_int_equal(s.promise.n_roots, 0);
	assert_int_equal(space_fault(&hog, GPA(PAGE(16000)), ACCESS_WRITE), ERR_NOMEM);
	mm_audit();
	mm_uneat();
	end();
}

/* An image takes its block out of what was promised. */
static void test_image(void **state)
{
	static u8 image[BLOCK_SIZE];
	u64 n_promised;

	(void)state;
	start(1);
	mm_space(&other, MIB_LEN);
	assert_int_equal(promise_make(&other), ERR_OK);
	n_promised = frame_n_promised();
	assert_int_equal(space_load(&other, GPA(RAM), image, sizeof(image)), ERR_OK);
	assert_int_equal(mm_leaf(&other, RAM) & PTE_KIND, KIND_LEAF);
	assert_in_range(n_promised - frame_n_promised(), N_ENTRIES, N_ENTRIES + 2);
	mm_audit();
	space_fini(&other);
	end();
}

/* With one frame less than it takes it is refused, and nothing has changed. */
static void test_is_exact(void **state)
{
	u64 want, left, n_free;

	(void)state;
	start(2);
	space_unload();
	mm_settle();
	left = frame_n_for_guests();
	assert_int_equal(promise_make(&s), ERR_OK);
	want = left - frame_n_for_guests();
	assert_in_range(want, promise_worst(&s),
	                promise_worst(&s) + 1); /* one more: records of tables */
	promise_end(&s);
	mm_settle();
	assert_int_equal(frame_n_for_guests(), left);
	mm_eat(FRAME_FOR_GUEST, left - want + 1);
	frame_flush_cache();
	n_free = frame_n_free();
	assert_int_equal(promise_make(&s), ERR_NOMEM);
	assert_int_equal(frame_n_promised(), 0);
	assert_int_equal(frame_n_free(), n_free);
	mm_uneat();
	mm_eat(FRAME_FOR_GUEST, left - want);
	frame_flush_cache();
	assert_int_equal(promise_make(&s), ERR_OK);
	assert_int_equal(frame_n_for_guests(), 0);
	write_all(&s, 5);
	mm_audit();
	mm_uneat();
	end();
}

/* A running VM is promised the rest; what it has is not promised twice. */
static void test_promise_the_rest(void **state)
{
	(void)state;
	start(2);
	for (u64 n = 0; n < 600; n++)
		mm_store(0, &s, PAGE(n), n);
	assert_int_equal(promise_make(&s), ERR_OK);
	assert_int_equal(s.promise.n_frames, N_PAGES - 600);
	assert_int_equal(s.promise.n_tables, 0);
	assert_int_equal(s.promise.n_roots, 0);
	assert_int_equal(promise_make(&s), ERR_OK); /* once is enough */
	assert_int_equal(s.promise.n_frames, N_PAGES - 600);
	eat_all();
	write_all(&s, 3);
	end();
}

/* What the merge scanner may still show to others is not the space's own: it may have to be copied. */
static void test_keeper(void **state)
{
	(void)state;
	merge_start(&s, &other);
	mm_store(0, &s, PAGE(0), 5);
	mm_store(1, &other, PAGE(0), 5);
	merge_passes(SETTLED);
	assert_true(merge_is_one(&s, 0, &other, 0));
	mm_store(1, &other, PAGE(0), 6);
	assert_int_equal(frame_refs(merge_frame(&s, 0)), 1);
	assert_int_equal(promise_make(&s), ERR_OK);
	for (u64 n = 1; n < 8UL << 20 >> PAGE_SHIFT; n++)
		mm_store(0, &s, PAGE(n), n);
	mm_store(1, &other, PAGE(1), 5);
	merge_passes(SETTLED);
	assert_true(merge_is_one(&s, 0, &other, 1));
	mm_store(0, &s, PAGE(0), 7);
	assert_int_equal(s.promise.n_frames, 0);
	mm_audit();
	merge_end(&s, &other);
}

/* Nor is what it has hidden: one page in a table, one in a block of the space's own. */
static void test_hidden(void **state)
{
	(void)state;
	mm_start(32, SCANNER + 1);
	mm_space(&t, MIB_LEN);
	mm_store(0, &t, PAGE(0), 60);
	mm_store(0, &t, PAGE(1), 61);
	space_freeze(&t);
	space_clone(&s, &t);
	s.merge = (struct merge_policy){ DEDUP_ZERO, 0, true };
	mm_store(0, &s, PAGE(0), 60);
	mm_store(0, &s, PAGE(1), 62);
	merge_passes(4);
	assert_int_equal(merge_kind(&s, 0), KIND_PIECE);
	assert_int_equal(merge_kind(&s, 1), KIND_LEAF);
	space_fini(&t);
	assert_int_equal(promise_make(&s), ERR_OK);
	for (u64 n = 0; n < N_PAGES; n++)
		mm_store(0, &s, PAGE(n), n);
	assert_int_equal(s.promise.n_frames, 0);
	mm_audit();
	space_fini(&s);
	mm_end();
}

/* A child has its own promise, and the parent's covers copies of what it had already. */
static void test_fork(void **state)
{
	(void)state;
	start(2);
	assert_int_equal(promise_make(&s), ERR_OK);
	write_all(&s, 100);
	assert_int_equal(promise_renew(&s, 2), ERR_OK);
	space_fork(&other, &s);
	mm_audit();
	eat_all();
	write_all(&s, 200);
	write_all(&other, 300);
	mm_audit();
	space_fini(&other);
	end();
}

/* What the child held alone comes back; what both held is the parent's, and promised no longer when others ask. */
static void test_trim(void **state)
{
	u64 n_promised;

	(void)state;
	start(2);
	assert_int_equal(promise_make(&s), ERR_OK);
	write_all(&s, 100);
	assert_int_equal(promise_renew(&s, 2), ERR_OK);
	space_fork(&other, &s);
	space_fini(&other);
	mm_settle();
	n_promised = frame_n_promised();
	assert_int_equal(n_promised, N_PAGES + 3);
	space_clone(&other, &t);
	mm_eat(FRAME_FOR_GUEST, frame_n_for_guests() - 10);
	assert_int_equal(promise_make(&other), ERR_OK); /* out of what the parent does not need */
	assert_int_equal(s.promise.n_frames, 0);
	mm_audit();
	write_all(&s, 400);
	write_all(&other, 500);
	mm_uneat();
	space_fini(&other);
	end();
}

static void test_reset_and_freeze(void **state)
{
	(void)state;
	start(2);
	assert_int_equal(promise_make(&s), ERR_OK);
	write_all(&s, 100);
	assert_int_equal(promise_renew(&s, 1), ERR_OK);
	space_reset(&s, &t);
	eat_all();
	assert_int_equal(mm_load(0, &s, PAGE(700)), 17);
	write_all(&s, 200);
	mm_audit();
	space_fini(&hog);
	mm_settle();
	mm_space(&hog, 64);
	assert_int_equal(promise_renew(&s, 1), ERR_OK);
	space_reset(&s, &t);
	mm_store(0, &s, PAGE(5), 5);
	space_freeze(&s);
	assert_int_equal(frame_n_promised(), 0);
	mm_audit();
	end();
}

/* Nothing more is promised where all that is needed is: also when tables have drawn on the guests' reserve. */
static void test_renew_the_whole(void **state)
{
	(void)state;
	start(2);
	assert_int_equal(promise_make(&s), ERR_OK);
	mm_eat(FRAME_FOR_TABLE, UINT64_MAX);
	assert_false(frame_promise(1));
	assert_int_equal(promise_renew(&s, 1), ERR_OK);
	mm_uneat();
	end();
}

/* Records are put aside in pages that nobody else's tables use up, or take with them. */
static void test_records(void **state)
{
	static struct space guest[40];

	(void)state;
	start(2);
	space_clone(&other, &t);
	for (u32 k = 0; k < ARRAY_LEN(guest); k++)
		mm_space(&guest[k], 2);
	assert_int_equal(promise_make(&s), ERR_OK);
	assert_int_equal(promise_make(&other), ERR_OK);
	for (u32 k = 0; k < ARRAY_LEN(guest); k++)
		space_fini(&guest[k]);
	mm_settle();
	mm_audit();
	eat_all();
	mm_eat(FRAME_FOR_PANDO, UINT64_MAX);
	write_all(&s, 1);
	write_all(&other, 2);
	mm_audit();
	mm_uneat();
	space_fini(&other);
	end();
}

static struct pool pool = POOL_INIT("test", u64[8], FRAME_FOR_PANDO);

/* Objects that are promised are free, however many others are taken; and the page they lie in stays. */
static void test_objects(void **state)
{
	void *obj[200];

	(void)state;
	mm_start(32, 1);
	assert_true(pool_promise(&pool, 2));
	obj[0] = pool_alloc(&pool);
	pool_free(&pool, obj[0]);
	assert_true(pool.n_free >= 2);
	for (u32 k = 0; k < ARRAY_LEN(obj); k++) {
		obj[k] = pool_alloc(&pool);
		assert_non_null(obj[k]);
		assert_true(pool.n_free >= 2);
	}
	for (u32 k = 0; k < ARRAY_LEN(obj); k++)
		pool_free(&pool, obj[k]);
	assert_true(pool.n_free >= 2);
	pool_unpromise(&pool, 2);
	assert_int_equal(pool.n_free, 0);
	mm_end();
}

/* At the n-th thing that cannot be had, for every n: nothing has changed. */
static void test_failures(void **state)
{
	u64 n_free, n = 0;
	enum err e = ERR_NOMEM;

	(void)state;
	start(2);
	mm_settle();
	n_free = frame_n_free();
	while (e == ERR_NOMEM) {
		assert_in_range(n, 0, 20);
		frame_fail_from(++n);
		e = promise_make(&s);
		frame_fail_after(0);
		if (e == ERR_OK)
			break;
		mm_audit();
		mm_settle();
		assert_int_equal(frame_n_free(), n_free);
		assert_int_equal(frame_n_promised(), 0);
	}
	assert_true(n > 2); /* the number, a root */
	write_all(&s, 1);
	for (n = 1, e = ERR_NOMEM; e != ERR_OK; n++) {
		assert_in_range(n, 0, 20);
		frame_fail_from(n);
		e = promise_renew(&s, 2);
		frame_fail_after(0);
		mm_audit();
		assert_int_equal(s.promise.n_frames, e == ERR_OK ? 2 * (N_PAGES + 3) : 0);
	}
	space_fork(&other, &s);
	write_all(&other, 7);
	space_fini(&other);
	end();
}

/* Loads of absent pages want tables and no pages: one guest cannot have all that are left. */
static void test_tables_cannot_be_drained(void **state)
{
	u64 n = 0, left;

	(void)state;
	start(2);
	eat_all();
	space_fini(&hog);
	mm_settle();
	mm_space(&hog, 1024);
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	left = frame_n_free();
	assert_int_equal(space_fault(&hog, GPA(RAM + 100 * BLOCK_SIZE), ACCESS_WRITE), ERR_NOMEM);
	assert_int_equal(frame_n_free(), left); /* a store without a page gets no table */
	while (space_fault(&hog, GPA(RAM + n * BLOCK_SIZE), ACCESS_READ) == ERR_OK)
		n++;
	assert_in_range(n, 1, 16);
	assert_in_range(frame_n_free(), left - 17, left - 1);
	assert_int_equal(space_fault(&s, GPA(PAGE(5)), ACCESS_READ), ERR_OK); /* others still do */
	mm_audit();
	mm_uneat();
	assert_int_equal(space_fault(&hog, GPA(RAM + n * BLOCK_SIZE), ACCESS_READ), ERR_OK);
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX); /* the next time that memory is short */
	assert_int_equal(space_fault(&hog, GPA(RAM + 200 * BLOCK_SIZE), ACCESS_READ), ERR_OK);
	mm_uneat();
	end();
}

/* Reserved spaces among others, forked and reset at random, two harts with stocks of their own, and a guest that
 * takes whatever it can: who is reserved never hears "out of memory". */
enum { N_SPACES = 4 };
static struct space many[N_SPACES];
static bool is_alive[N_SPACES];

static void one_step(u32 k)
{
	struct space *m = &many[k];
	u32 j = (u32)(fake_random() % N_SPACES);
	u64 page = fake_random() % N_PAGES;

	switch (fake_random() % 16) {
	case 0:
		if (is_alive[j] || promise_renew(m, 2) != ERR_OK)
			return;
		space_fork(&many[j], m);
		is_alive[j] = true;
		return;
	case 1:
		if (promise_renew(m, 1) == ERR_OK)
			space_reset(m, &t);
		return;
	case 2:
		if (k != 0) {
			space_fini(m);
			is_alive[k] = false;
		}
		return;
	case 3: (void)eat_all(); return;
	case 4: mm_audit(); return;
	default: break;
	}
	for (u64 n = 0; n < 30; n++) {
		bool is_store = fake_random() % 4 != 0;
		gpa_t gpa = GPA(PAGE((page + n) % N_PAGES));
		enum err e = space_fault(m, gpa, is_store ? ACCESS_WRITE : ACCESS_READ);

		assert_int_equal(e, ERR_OK);
	}
}

static void test_random(void **state)
{
	(void)state;
	start(3);
	for (u32 k = 0; k < N_SPACES; k++) {
		is_alive[k] = true;
		space_clone(&many[k], &t);
		assert_int_equal(promise_make(&many[k]), ERR_OK);
	}
	for (u32 n = 0; n < 3000; n++) {
		u32 k = (u32)(fake_random() % N_SPACES);

		fake_hart = (u32)(fake_random() % 2);
		if (is_alive[k])
			one_step(k);
	}
	fake_hart = 0;
	for (u32 k = 0; k < N_SPACES; k++)
		if (is_alive[k])
			space_fini(&many[k]);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_is_there),
		cmocka_unit_test(test_image),
		cmocka_unit_test(test_is_exact),
		cmocka_unit_test(test_promise_the_rest),
		cmocka_unit_test(test_keeper),
		cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_reset_and_freeze),
		cmocka_unit_test(test_renew_the_whole),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_tables_cannot_be_drained),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
