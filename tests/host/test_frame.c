// SPDX-License-Identifier: BSD-2-Clause
/* Frames: the map of memory, the buddy lists, the harts' stocks, the reserve; pools. */
#include "mm_unit.h"

#include "arch/phys.h"

#define MIB         (1UL << 20)
#define AT(mib)     HPA(FAKE_RAM_BASE + (mib)*MIB)
#define FRAMES(mib) ((mib)*MIB / PAGE_SIZE)

/* What frame_init takes for itself. */
static u64 n_records(u64 mib)
{
	return FRAMES(mib) * sizeof(struct frame) / PAGE_SIZE;
}

static bool is_own(u64 hpa)
{
	return frame_of(HPA(hpa))->class == FRAME_OWN;
}

static void test_ranges_with_holes(void **state)
{
	struct mem_range ram[] = { { AT(40), 20 * MIB }, { AT(1), 15 * MIB } };
	struct mem_range reserved[] = {
		{ HPA(AT(2).v + 5), 10 },               /* one page, less than whole */
		{ HPA(AT(3).v + PAGE_SIZE - 1), 2 },    /* two pages */
		{ AT(14), 27 * MIB },                   /* end of one range to begin of the other */
		{ AT(42), 0 },                          /* nothing */
		{ HPA(AT(44).v - PAGE_SIZE), 8 * MIB }, /* covers the next */
		{ AT(45), MIB },
		{ HPA(AT(59).v), UINT64_MAX - AT(59).v + 1 }, /* to the end of the world */
	};
	u64 n;

	(void)state;
	fake_machine(64, 1);
	assert_int_equal(frame_init(ram, 2, reserved, ARRAY_LEN(reserved)), ERR_OK);
	n = FRAMES(13) - 3 + FRAMES(3) - 1 + FRAMES(7) + 1 - n_records(60);
	assert_int_equal(frame_n_total(), n);
	assert_int_equal(frame_n_free(), n);
	assert_true(is_own(AT(2).v) && !is_own(AT(2).v + PAGE_SIZE));
	assert_true(is_own(AT(3).v) && is_own(AT(3).v + PAGE_SIZE));
	assert_true(is_own(AT(30).v) && is_own(AT(14).v) && !is_own(AT(14).v - PAGE_SIZE));
	assert_true(is_own(AT(44).v - PAGE_SIZE) && is_own(AT(52).v - 2 * PAGE_SIZE));
	assert_false(is_own(AT(52).v - PAGE_SIZE) || is_own(AT(42).v));
	assert_int_equal(mm_eat(FRAME_FOR_PANDO, UINT64_MAX), n);
	mm_uneat();
	assert_int_equal(frame_n_free(), n);
}

/* A range to the end of the address space wraps to 0; it is reserved all the same. */
static void test_reserved_wraps(void **state)
{
	struct mem_range ram = { AT(0), 64 * MIB };
	struct mem_range reserved = { AT(32), UINT64_MAX };

	(void)state;
	fake_machine(64, 1);
	assert_int_equal(frame_init(&ram, 1, &reserved, 1), ERR_OK);
	assert_int_equal(frame_n_total(), FRAMES(32) - n_records(64));
	assert_true(is_own(AT(32).v) && is_own(AT(63).v));
}

static void test_ram_named_twice(void **state)
{
	struct mem_range ram[] = { { AT(0), 40 * MIB }, { AT(20), 30 * MIB }, { AT(4), MIB } };

	(void)state;
	fake_machine(64, 1);
	assert_int_equal(frame_init(ram, 3, NULL, 0), ERR_OK);
	assert_int_equal(frame_n_total(), FRAMES(50) - n_records(50));
	assert_int_equal(mm_eat(FRAME_FOR_PANDO, UINT64_MAX), frame_n_total());
	mm_uneat();
}

/* The frame table is to lie in a run that has room for it, not over what is reserved. */
static void test_table_finds_room(void **state)
{
	struct mem_range ram[] = { { AT(0), 2 * MIB }, { AT(2), 62 * MIB } };
	struct mem_range reserved = { HPA(AT(2).v + 64 * PAGE_SIZE), 2 * MIB };

	(void)state;
	fake_machine(64, 1);
	reserved.base.v -= 2 * MIB;
	reserved.len = 4 * MIB - 128 * PAGE_SIZE;
	memset(hpa_ptr(reserved.base), 0x5a, reserved.len);
	assert_int_equal(frame_init(ram, 2, &reserved, 1), ERR_OK);
	for (u64 at = 0; at < reserved.len; at += PAGE_SIZE)
		assert_int_equal(*((u8 *)hpa_ptr(reserved.base) + at), 0x5a);
}

static void test_refuses(void **state)
{
	struct mem_range small = { AT(0), 16 * MIB }, whole = { AT(0), 64 * MIB };
	struct mem_range far[] = { { AT(0), 64 * MIB }, { HPA(1UL << 55), MIB } };
	struct mem_range many[FRAME_RANGES_MAX + 1];

	(void)state;
	fake_machine(64, 1);
	for (u32 k = 0; k < ARRAY_LEN(many); k++)
		many[k] = (struct mem_range){ AT(1), PAGE_SIZE };
	assert_int_equal(frame_init(&small, 1, NULL, 0), ERR_NOMEM); /* less its own table */
	assert_int_equal(frame_init(&small, 0, NULL, 0), ERR_NOMEM);
	assert_int_equal(frame_init(&whole, 1, &whole, 1), ERR_NOMEM);
	assert_int_equal(frame_init(far, 2, NULL, 0), ERR_NOMEM);
	assert_int_equal(frame_init(&whole, 1, many, ARRAY_LEN(many)), ERR_NOMEM);
	assert_int_equal(frame_init(many, ARRAY_LEN(many), NULL, 0), ERR_NOMEM);
	assert_int_equal(frame_init(&whole, 1, many, ARRAY_LEN(many) - 1), ERR_OK);
}

static u64 n_blocks(void)
{
	static struct frame *f[64];
	u64 n = 0;

	while ((f[n] = frame_alloc_order(9, FRAME_FOR_PANDO))) {
		assert_true(IS_ALIGNED(frame_hpa(f[n]).v, BLOCK_SIZE));
		n++;
	}
	for (u64 k = 0; k < n; k++)
		frame_free_order(f[k], 9);
	return n;
}

/* Whatever was taken in whatever order: once it is back there are as many 2 MiB runs as before. */
static void test_coalesces(void **state)
{
	enum { N = 3000 };
	static struct {
		struct frame *f;
		u32 order;
	} run[N];
	u64 before, n_free;

	(void)state;
	fake_machine(48, 1);
	frame_flush_cache();
	before = n_blocks();
	n_free = frame_n_free();
	assert_in_range(before, 20, 24);
	fake_seed(7);
	for (u32 n = 0; n < N; n++) {
		run[n].order = fake_random() % 4 == 0 ? (u32)(fake_random() % 4) : 0;
		run[n].f = frame_alloc_order(run[n].order, FRAME_FOR_PANDO);
		assert_non_null(run[n].f);
		assert_true(IS_ALIGNED(frame_hpa(run[n].f).v, PAGE_SIZE << run[n].order));
		memset(hpa_ptr(frame_hpa(run[n].f)), (int)n, PAGE_SIZE << run[n].order);
	}
	for (u32 left = N; left > 0; left--) {
		u32 n = (u32)(fake_random() % left);

		assert_int_equal(*(u8 *)hpa_ptr(frame_hpa(run[n].f)), n & 0xff);
		frame_free_order(run[n].f, run[n].order);
		run[n] = run[left - 1];
		memset(hpa_ptr(frame_hpa(run[n].f)), (int)n, PAGE_SIZE << run[n].order);
	}
	assert_int_equal(frame_n_free(), n_free);
	assert_int_equal(n_blocks(), before);
}

static void test_stock_of_zeroed_frames(void **state)
{
	struct frame *f;
	u64 n_free;

	(void)state;
	fake_machine(32, 1);
	n_free = frame_n_free();
	while (frame_zero_ahead())
		continue;
	assert_int_equal(frame_n_free(), n_free);
	for (u32 n = 0; n < 200; n++) {
		f = frame_alloc_zeroed(FRAME_FOR_GUEST);
		assert_non_null(f);
		for (u32 k = 0; k < PAGE_SIZE; k++)
			assert_int_equal(((u8 *)hpa_ptr(frame_hpa(f)))[k], 0);
		memset(hpa_ptr(frame_hpa(f)), 0xff, PAGE_SIZE);
		frame_free(f);
	}
	frame_flush_cache();
	assert_int_equal(frame_n_free(), n_free);
	assert_int_equal(frame_n_listed(), n_free);
}

static void test_failures_by_order(void **state)
{
	struct frame *f[4];

	(void)state;
	fake_machine(32, 1);
	while (frame_zero_ahead())
		continue;
	frame_fail_after(1);
	assert_null(frame_alloc_zeroed(FRAME_FOR_GUEST)); /* with a stock of them, too */
	f[0] = frame_alloc_zeroed(FRAME_FOR_GUEST);
	assert_non_null(f[0]);
	frame_fail_after(2);
	f[1] = frame_alloc(FRAME_FOR_GUEST);
	assert_non_null(f[1]);
	assert_null(frame_alloc_order(2, FRAME_FOR_PANDO));
	frame_fail_from(2);
	f[2] = frame_alloc(FRAME_FOR_GUEST);
	assert_non_null(f[2]);
	for (u32 n = 0; n < 3; n++)
		assert_null(frame_alloc(FRAME_FOR_PANDO));
	frame_fail_from(0);
	f[3] = frame_alloc(FRAME_FOR_PANDO);
	assert_non_null(f[3]);
	for (u32 n = 0; n < 4; n++)
		frame_free(f[n]);
}

/* Frames that Pando's own allocations brought to a hart's stock are not a guest's to take. */
static void test_reserve(void **state)
{
	u64 reserve, n_tables = 0, n_total;

	(void)state;
	fake_machine(64, 2);
	reserve = frame_n_total() / 64;
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	assert_int_equal(frame_n_free(), reserve);
	assert_int_equal(frame_n_for_guests(), 0);
	for (n_total = 0; mm_eat(FRAME_FOR_PANDO, 1); n_total++)
		n_tables += mm_eat(FRAME_FOR_GUEST, 1);
	assert_int_equal(n_total, reserve);
	assert_int_equal(n_tables, 0);
	mm_uneat();
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	for (u32 n = 0; n < 100; n++) { /* a frame that Pando gives back stays Pando's */
		struct frame *f = frame_alloc(FRAME_FOR_PANDO);

		assert_non_null(f);
		frame_free(f);
		assert_int_equal(frame_n_listed(), reserve); /* for all harts to see */
		assert_null(frame_alloc(FRAME_FOR_GUEST));
		assert_null(frame_alloc_zeroed(FRAME_FOR_GUEST));
	}
	mm_uneat();
	fake_hart = 1;
	while (frame_zero_ahead())
		continue;
	fake_hart = 0;
	mm_eat(FRAME_FOR_PANDO, UINT64_MAX);
	fake_hart = 1;
	assert_null(frame_alloc_zeroed(FRAME_FOR_GUEST)); /* the reserve comes before its stock */
	fake_hart = 0;
	mm_uneat();
	fake_hart = 1;
	mm_eat(FRAME_FOR_GUEST, 1);
	fake_hart = 0;
	mm_eat(FRAME_FOR_PANDO, UINT64_MAX);
	fake_hart = 1;
	assert_null(frame_alloc(FRAME_FOR_GUEST));
	fake_hart = 0;
	mm_uneat();
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	assert_false(root_ahead());
	assert_int_equal(frame_n_free(), reserve);
	mm_uneat();
}

/* A hart with nothing to do must not sit on frames that others look for. */
static void test_idle_hart_gives_back(void **state)
{
	(void)state;
	fake_machine(32, 2);
	fake_hart = 1;
	while (space_idle_work())
		continue;
	assert_true(frame_n_listed() + frame_n_pooled() < frame_n_free());
	fake_hart = 0;
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	fake_hart = 1;
	while (space_idle_work())
		continue;
	fake_hart = 0;
	assert_true(mm_eat(FRAME_FOR_GUEST, UINT64_MAX) > 0);
	assert_true(space_relieve()); /* the roots that were kept ready */
	assert_true(mm_eat(FRAME_FOR_GUEST, UINT64_MAX) > 0);
	assert_int_equal(frame_n_for_guests(), 0);
	mm_uneat();
}

static void test_pool_pages_go_back(void **state)
{
	static struct pool pool = { .name = "test", .obj_len = 208, .lock = LOCK_INIT(LOCK_POOL) };
	enum { N = 1000 };
	static u8 *obj[N];
	u64 n_free;

	(void)state;
	fake_machine(32, 1);
	n_free = frame_n_free();
	for (u32 n = 0; n < N; n++) {
		obj[n] = pool_alloc(&pool);
		assert_non_null(obj[n]);
		assert_true(IS_ALIGNED((u64)obj[n], 16));
		for (u32 k = 0; k < 208; k++)
			assert_int_equal(obj[n][k], 0);
		memset(obj[n], 0xff, 208);
	}
	assert_int_equal(pool.n_objects, N);
	for (u32 n = 0; n < N; n += 2)
		pool_free(&pool, obj[n]);
	for (u32 n = 0; n < N; n += 2)
		obj[n] = pool_alloc(&pool);
	assert_true(frame_n_free() >= n_free - N / 19 - 1); /* 19 of them in a page: no page more */
	for (u32 n = N; n-- > 0;)
		pool_free(&pool, obj[n * 7 % N]);
	assert_int_equal(pool.n_objects, 0);
	assert_null(pool.partial);
	assert_int_equal(frame_n_free(), n_free);
	frame_fail_after(1);
	assert_null(pool_alloc(&pool));
	assert_int_equal(frame_n_free(), n_free);
}

static void test_pages(void **state)
{
	u64 n_free;
	u8 *pages;

	(void)state;
	fake_machine(32, 1);
	n_free = frame_n_free();
	pages = pages_alloc(3, FRAME_FOR_PANDO);
	assert_non_null(pages);
	for (u64 k = 0; k < 8 * PAGE_SIZE; k++)
		assert_int_equal(pages[k], 0);
	assert_int_equal(frame_n_free(), n_free - 8);
	mm_audit();
	pages_free(pages, 3);
	assert_int_equal(frame_n_free(), n_free);
	frame_fail_after(1);
	assert_null(pages_alloc(0, FRAME_FOR_PANDO));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges_with_holes),
		cmocka_unit_test(test_reserved_wraps),
		cmocka_unit_test(test_ram_named_twice),
		cmocka_unit_test(test_table_finds_room),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_coalesces),
		cmocka_unit_test(test_stock_of_zeroed_frames),
		cmocka_unit_test(test_failures_by_order),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_idle_hart_gives_back),
		cmocka_unit_test(test_pool_pages_go_back),
		cmocka_unit_test(test_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
