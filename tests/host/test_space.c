// SPDX-License-Identifier: BSD-2-Clause
/* Spaces: copy-on-write in both directions, families of every shape, what they cost. */
#include "mm_unit.h"

#include "arch/phys.h"

#define PAGE(n)  (RAM + (n)*PAGE_SIZE)
#define DEPTH    1000
#define N_CLONES 1000

static struct space s[DEPTH + 1];
static u8 image[3 * BLOCK_SIZE];

static u64 peek(struct space *of, u64 gpa)
{
	u64 value;

	assert_int_equal(copy_from_guest(of, &value, GPA(gpa), sizeof(value)), ERR_OK);
	return value;
}

static void poke(struct space *of, u64 gpa, u64 value)
{
	assert_int_equal(copy_to_guest(of, GPA(gpa), &value, sizeof(value)), ERR_OK);
}

static void fill_image(void)
{
	for (u64 i = 0; i < sizeof(image); i += PAGE_SIZE)
		memcpy(image + i, &(u64){ i + 1 }, sizeof(u64));
}

static void reap_all(void)
{
	u32 was = fake_hart;

	for (fake_hart = 0; fake_hart < fake_n_harts; fake_hart++)
		space_unload();
	fake_hart = was;
	while (space_reap(1000))
		continue;
}

static void test_formats(void **state)
{
	u64 pte;

	(void)state;
	mm_start(32, 2);
	mm_space(&s[0], 8);
	assert_true(IS_ALIGNED(ptr_hpa(s[0].root->pte).v, 16384));
	fill_image();
	assert_int_equal(space_load(&s[0], GPA(RAM + BLOCK_SIZE), image, BLOCK_SIZE), ERR_OK);
	mm_store(0, &s[0], PAGE(0), 1);
	(void)mm_load(0, &s[0], PAGE(1));
	for (u32 n = 0; n < 3; n++) {
		pte = mm_leaf(&s[0], n < 2 ? PAGE(n) : RAM + BLOCK_SIZE);
		assert_int_equal(pte & (PTE_V | PTE_R | PTE_X | PTE_U | PTE_A | PTE_D),
		                 PTE_V | PTE_R | PTE_X | PTE_U | PTE_A | PTE_D);
		assert_int_equal(!!(pte & PTE_W), n != 1);
	}
	assert_true(IS_ALIGNED(pte_hpa(pte).v, BLOCK_SIZE));
	space_freeze(&s[0]);
	space_clone(&s[1], &s[0]);
	mm_store(0, &s[1], PAGE(0), 2);
	assert_true(IS_ALIGNED(ptr_hpa(s[1].root->pte).v, 16384));
	for (u32 n = 0; n < 2; n++)
		space_fini(&s[n]);
	mm_end();
}

static void test_regions(void **state)
{
	struct region r[2] = { { GPA(RAM), BLOCK_SIZE },
		               { GPA(RAM + 2 * BLOCK_SIZE), BLOCK_SIZE } };
	const struct region bad[] = {
		{ GPA(RAM + PAGE_SIZE), BLOCK_SIZE },
		{ GPA(RAM), PAGE_SIZE },
		{ GPA(GPA_LIMIT), BLOCK_SIZE },
		{ GPA(GPA_LIMIT - BLOCK_SIZE), 2 * BLOCK_SIZE },
		{ GPA(BLOCK_SIZE), ALIGN_DOWN(UINT64_MAX, BLOCK_SIZE) },
	};
	u8 byte;

	(void)state;
	mm_start(32, 2);
	for (u32 n = 0; n < ARRAY_LEN(bad); n++)
		assert_int_equal(space_init(&s[0], &bad[n], 1), ERR_RANGE);
	assert_int_equal(space_init(&s[0], r, 0), ERR_RANGE);
	assert_int_equal(space_init(&s[0], r, SPACE_REGIONS_MAX + 1), ERR_RANGE);
	assert_int_equal(space_init(&s[0], r, 2), ERR_OK);
	assert_int_equal(space_fault(&s[0], GPA(RAM - 1), ACCESS_READ), ERR_RANGE);
	assert_int_equal(space_fault(&s[0], GPA(RAM + BLOCK_SIZE), ACCESS_WRITE), ERR_RANGE);
	assert_int_equal(space_fault(&s[0], GPA(UINT64_MAX), ACCESS_WRITE), ERR_RANGE);
	assert_int_equal(copy_from_guest(&s[0], image, GPA(RAM), BLOCK_SIZE), ERR_OK);
	assert_int_equal(copy_from_guest(&s[0], image, GPA(RAM + 1), BLOCK_SIZE), ERR_RANGE);
	assert_int_equal(copy_to_guest(&s[0], GPA(RAM + 4), &byte, UINT64_MAX), ERR_RANGE);
	assert_int_equal(copy_prepare(&s[0], GPA(RAM), 1UL << 40), ERR_RANGE);
	assert_int_equal(space_load(&s[0], GPA(RAM), image, 2 * BLOCK_SIZE), ERR_RANGE);
	assert_int_equal(space_load(&s[0], GPA(RAM + 4096), image, 1), ERR_RANGE);
	space_fini(&s[0]);
	mm_end();
}

/* A parent with 2 MiB leaves, written from both sides: first the child, or first the parent. */
static void test_blocks_from_both_sides(void **state)
{
	(void)state;
	fill_image();
	for (u32 first = 0; first < 2; first++) {
		struct space *one = &s[first], *other = &s[!first];

		mm_start(48, 2);
		mm_space(&s[0], 8);
		assert_int_equal(space_load(&s[0], GPA(RAM), image, sizeof(image)), ERR_OK);
		mm_store(0, &s[0], PAGE(3), 33); /* the parent's own 2 MiB leaf has W */
		assert_true(mm_leaf(&s[0], PAGE(3)) & PTE_W);
		space_fork(&s[1], &s[0]);
		assert_false(mm_leaf(&s[0], PAGE(3)) & PTE_W);
		mm_store(0, one, PAGE(3), 100);
		mm_store(0, other, PAGE(4), 200);
		mm_audit();
		assert_int_equal(peek(one, PAGE(3)), 100);
		assert_int_equal(peek(other, PAGE(3)), 33);
		assert_int_equal(peek(one, PAGE(4)), 4 * PAGE_SIZE + 1);
		assert_int_equal(peek(other, PAGE(4)), 200);
		assert_int_equal(s[0].breaks[BREAK_SPLIT] + s[1].breaks[BREAK_SPLIT], 2);
		assert_int_equal(mm_load(1, one, PAGE(700)), mm_load(1, other, PAGE(700)));
		space_fini(one);
		reap_all();
		mm_audit();
		mm_store(0, other, PAGE(600), 1); /* the last user: back as a whole, no copy */
		assert_true(mm_leaf(other, PAGE(601)) & PTE_W);
		mm_store(0, other, PAGE(5), 2); /* a piece of a block that is ours alone */
		assert_int_equal(other->breaks[BREAK_COPY], 1);
		space_fini(other);
		mm_end();
	}
}

/* The parent rewrites a page between three forks: each child sees its own version, and what it
 * does is seen by nobody else. */
static void test_point_in_time(void **state)
{
	(void)state;
	mm_start(32, 2);
	mm_space(&s[0], 8);
	for (u32 n = 1; n <= 3; n++) {
		mm_store(0, &s[0], PAGE(9), n);
		mm_store(0, &s[0], PAGE(9 + n), n);
		space_fork(&s[n], &s[0]);
	}
	mm_store(0, &s[0], PAGE(9), 4);
	for (u64 n = 1; n <= 3; n++) {
		assert_int_equal(mm_load(1, &s[n], PAGE(9)), n);
		for (u64 k = 1; k <= 3; k++)
			assert_int_equal(mm_load(1, &s[n], PAGE(9 + k)), k <= n ? k : 0);
		mm_store(0, &s[n], PAGE(9), 10 * n);
	}
	assert_int_equal(mm_load(0, &s[0], PAGE(9)), 4);
	for (u64 n = 1; n <= 3; n++)
		assert_int_equal(mm_load(1, &s[n], PAGE(9)), 10 * n);
	mm_audit();
	for (u32 n = 0; n <= 3; n++)
		space_fini(&s[n]);
	mm_end();
}

/* Parent, middle and leaf of a chain die in each of the six orders; the rest goes on. */
static void test_kill_in_every_order(void **state)
{
	static const u8 order[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
		                        { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	(void)state;
	fill_image();
	for (u32 o = 0; o < 6; o++) {
		bool dead[3] = { false };

		mm_start(48, 2);
		mm_space(&s[0], 8);
		assert_int_equal(space_load(&s[0], GPA(RAM), image, sizeof(image)), ERR_OK);
		for (u64 n = 0; n < 3; n++) {
			mm_store(0, &s[n], PAGE(n), n + 50);
			mm_store(0, &s[n], PAGE(1600), n + 60);
			if (n < 2)
				space_fork(&s[n + 1], &s[n]);
		}
		for (u32 k = 0; k < 3; k++) {
			space_fini(&s[order[o][k]]);
			dead[order[o][k]] = true;
			reap_all();
			mm_audit();
			for (u64 n = 0; n < 3; n++) {
				if (dead[n])
					continue;
				assert_int_equal(mm_load(0, &s[n], PAGE(n)), n + 50);
				assert_int_equal(mm_load(0, &s[n], PAGE(1600)), n + 60);
				mm_store(0, &s[n], PAGE(n), n + 50);
			}
		}
		mm_end();
	}
}

/* A thousand generations, each with a page of its own; all but the last die, then the last. */
static void test_depth(void **state)
{
	(void)state;
	mm_start(64, 2);
	mm_space(&s[0], 8);
	for (u64 n = 0; n < DEPTH; n++) {
		mm_store(0, &s[n], PAGE(n), n + 1);
		space_fork(&s[n + 1], &s[n]);
		if (n % 16 == 0)
			reap_all();
		if (n >= 4) {
			space_fini(&s[n - 4]);
			if (n % 100 == 0)
				mm_audit();
		}
	}
	for (u64 n = 0; n < DEPTH; n++)
		assert_int_equal(peek(&s[DEPTH], PAGE(n)), n + 1);
	for (u32 n = DEPTH - 4; n <= DEPTH; n++)
		space_fini(&s[n]);
	mm_end();
}

/* The same without reaping in between, and all generations alive to the end. */
static void test_depth_all_alive(void **state)
{
	enum { N = 300 };

	(void)state;
	mm_start(64, 2);
	mm_space(&s[0], 4);
	for (u64 n = 0; n < N; n++) {
		mm_store(0, &s[n], PAGE(n), n + 1);
		space_fork(&s[n + 1], &s[n]);
	}
	mm_audit();
	for (u64 n = 0; n <= N; n++) {
		u64 k = n * 11 % (N + 1);

		assert_int_equal(peek(&s[k], PAGE(k)), k < N ? k + 1 : 0);
		assert_int_equal(peek(&s[k], PAGE(k / 2)), k ? k / 2 + 1 : 1);
		space_fini(&s[k]);
	}
	mm_end();
}

static void test_zero_frame_is_immortal(void **state)
{
	u32 n_maps = 0;

	(void)state;
	mm_start(32, 2);
	mm_space(&s[0], 4);
	for (u64 n = 0; n < 1024; n++)
		assert_int_equal(mm_load(0, &s[0], PAGE(n)), 0);
	for (u32 n = 1; n < 100; n++) { /* each derives a table of 512 such entries */
		space_fork(&s[n], &s[n - 1]);
		mm_store(0, &s[n], PAGE(n), n);
		mm_store(0, &s[n], PAGE(n + 512), n);
		n_maps += 1024;
	}
	mm_audit();
	for (u32 round = 0; n_maps < 1U << 20; round++) {
		s[99].is_marked = false; /* its tables go, and are derived anew */
		space_reset(&s[99], (s[98].frozen = true, &s[98]));
		mm_store(0, &s[99], PAGE(round % 512), round);
		mm_store(0, &s[99], PAGE(512 + round % 512), round);
		n_maps += 1024;
		reap_all();
	}
	assert_int_equal(peek(&s[99], PAGE(700)), 0);
	assert_int_equal(mm_load(0, &s[1], PAGE(2)), 0);
	for (u32 n = 0; n < 100; n++)
		space_fini(&s[n]);
	mm_end();
}

/* A thousand clones all write the same 64 pages, page by page in turn. */
static void test_thousand_clones(void **state)
{
	enum { N = 64 };
	u64 n_free;

	(void)state;
	mm_start(400, 2);
	mm_space(&s[0], 8);
	for (u64 p = 0; p < N; p++)
		mm_store(0, &s[0], PAGE(p), p);
	space_freeze(&s[0]);
	n_free = frame_n_free();
	for (u32 n = 1; n <= N_CLONES; n++)
		space_clone(&s[n], &s[0]);
	assert_int_equal(frame_n_free(), n_free); /* a clone allocates nothing */
	for (u64 p = 0; p < N; p++)
		for (u64 n = 1; n <= N_CLONES; n++)
			poke(&s[n], PAGE(p), n << 32 | p);
	for (u64 n = 1; n <= N_CLONES; n++)
		for (u64 p = 0; p < N; p++)
			assert_int_equal(peek(&s[n], PAGE(p)), n << 32 | p);
	for (u64 p = 0; p < N; p++)
		assert_int_equal(peek(&s[0], PAGE(p)), p);
	mm_audit();
	for (u32 n = 0; n <= N_CLONES; n++)
		space_fini(&s[n * 17 % (N_CLONES + 1)]);
	mm_end();
}

/* A VM that forks every second, whose children overlap and die: memory stays bounded. */
static void test_forks_for_ever(void **state)
{
	u64 lowest[2] = { UINT64_MAX, UINT64_MAX };

	(void)state;
	mm_start(48, 2);
	mm_space(&s[0], 16);
	for (u32 n = 0; n < 2000; n++) {
		u32 k = 1 + n % 4;

		if (n >= 4)
			space_fini(&s[k]);
		for (u32 w = 0; w < 8; w++)
			mm_store(0, &s[0], PAGE((n * 8 + w) * 37 % 4096 / 16 * 16), n);
		space_fork(&s[k], &s[0]);
		mm_store(1, &s[k], PAGE(n * 5 % 4096), n);
		reap_all();
		while (space_idle_work())
			continue;
		lowest[n / 1000] = u64_min(lowest[n / 1000], frame_n_free());
		if (n % 100 == 0)
			mm_audit();
	}
	assert_true(lowest[1] + 64 >= lowest[0]);
	for (u32 n = 0; n <= 4; n++)
		space_fini(&s[n]);
	mm_end();
}

/* Pando's own writes break shared pages as the guest's do, also across two pages. */
static void test_copies_break(void **state)
{
	u8 bytes[PAGE_SIZE * 2];

	(void)state;
	mm_start(32, 2);
	mm_space(&s[0], 4);
	memset(bytes, 0x11, sizeof(bytes));
	assert_int_equal(copy_to_guest(&s[0], GPA(PAGE(1) - 100), bytes, 200), ERR_OK);
	space_freeze(&s[0]);
	space_clone(&s[1], &s[0]);
	memset(bytes, 0x22, sizeof(bytes));
	assert_int_equal(copy_to_guest(&s[1], GPA(PAGE(1) - 50), bytes, 100), ERR_OK);
	assert_int_equal(copy_to_guest(&s[1], GPA(PAGE(1) + 60), (u8[10]){ 0 }, 10), ERR_OK);
	assert_int_equal(copy_to_guest(&s[0], GPA(PAGE(1)), bytes, 1), ERR_STATE);
	assert_int_equal(copy_prepare(&s[0], GPA(PAGE(7)), 1), ERR_STATE);
	assert_int_equal(copy_from_guest(&s[0], bytes, GPA(PAGE(1) - 100), 200), ERR_OK);
	for (u32 k = 0; k < 200; k++)
		assert_int_equal(bytes[k], 0x11);
	assert_int_equal(copy_from_guest(&s[1], bytes, GPA(PAGE(1) - 100), 200), ERR_OK);
	for (u32 k = 0; k < 200; k++)
		assert_int_equal(bytes[k], k >= 50 && k < 150    ? 0x22
		                           : k >= 160 && k < 170 ? 0
		                                                 : 0x11);
	space_fini(&s[0]);
	space_fini(&s[1]);
	mm_end();
}

/* A template stays as it is, whatever is asked of it. */
static void test_template_is_immutable(void **state)
{
	struct table *root;

	(void)state;
	mm_start(32, 2);
	mm_space(&s[0], 8);
	mm_store(0, &s[0], PAGE(0), 7);
	space_freeze(&s[0]);
	space_clone(&s[1], &s[0]);
	root = s[0].root;
	assert_int_equal(space_fault(&s[0], GPA(PAGE(0)), ACCESS_WRITE), ERR_STATE);
	assert_int_equal(space_fault(&s[0], GPA(PAGE(0)), ACCESS_READ), ERR_OK);
	assert_int_equal(space_fault(&s[0], GPA(PAGE(9)), ACCESS_READ), ERR_STATE);
	assert_int_equal(space_load(&s[0], GPA(RAM + BLOCK_SIZE), image, 10), ERR_STATE);
	assert_ptr_equal(s[0].root, root);
	assert_int_equal(mm_leaf(&s[0], PAGE(9)), 0);
	for (u32 n = 0; n < 2; n++)
		space_fini(&s[n]);
	mm_end();
}

/* The moment after a lock is given back belongs to whoever wants it: nothing of a half-made template or
 * a half-made fork may show. */
static struct space *being_shared;

static void look_between(const struct spinlock *l)
{
	if (being_shared && l == &being_shared->lock)
		assert_true(being_shared->frozen || table_is_shared(being_shared->root));
}

static void test_share_is_atomic(void **state)
{
	(void)state;
	mm_start(32, 2);
	mm_space(&s[0], 4);
	mm_store(0, &s[0], PAGE(0), 7);
	being_shared = &s[0];
	fake_on_release = look_between;
	space_fork(&s[1], &s[0]);
	being_shared = NULL;
	mm_store(0, &s[0], PAGE(0), 8);
	being_shared = &s[0];
	space_freeze(&s[0]);
	fake_on_release = NULL;
	space_fini(&s[0]);
	space_fini(&s[1]);
	mm_end();
}

static void test_reset(void **state)
{
	(void)state;
	mm_start(32, 2);
	mm_space(&s[0], 8);
	mm_store(0, &s[0], PAGE(0), 7);
	space_freeze(&s[0]);
	space_clone(&s[1], &s[0]);
	for (u64 n = 0; n < 50; n++) {
		assert_int_equal(mm_load(1, &s[1], PAGE(0)), 7);
		assert_int_equal(mm_load(0, &s[1], PAGE(n % 3 * 600 + 1)), 0);
		mm_store(0, &s[1], PAGE(0), n);
		mm_store(0, &s[1], PAGE(n % 3 * 600 + 1), n);
		assert_int_equal(mm_load(1, &s[1], PAGE(0)), n);
		space_reset(&s[1], &s[0]);
		mm_audit();
	}
	space_fini(&s[0]);
	assert_int_equal(mm_load(0, &s[1], PAGE(0)), 7);
	space_fini(&s[1]);
	mm_end();
}

static void test_load_when_fragmented(void **state)
{
	(void)state;
	fill_image();
	mm_start(32, 2);
	mm_space(&s[0], 8);
	mm_store(0, &s[0], RAM + BLOCK_SIZE + 100, 9); /* no whole block fits here */
	assert_int_equal(space_load(&s[0], GPA(RAM + BLOCK_SIZE), image, 8), ERR_OK);
	assert_int_equal(peek(&s[0], RAM + BLOCK_SIZE + 100), 9);
	frame_fail_after(2); /* nor here: no run of 512 */
	assert_int_equal(space_load(&s[0], GPA(RAM), image, 2 * BLOCK_SIZE + 5000), ERR_OK);
	frame_fail_after(0);
	for (u64 at = 0; at < 2 * BLOCK_SIZE + 5000; at += PAGE_SIZE)
		assert_int_equal(peek(&s[0], RAM + at), at + 1);
	assert_int_equal(peek(&s[0], RAM + BLOCK_SIZE + 100), 0);
	assert_int_equal(peek(&s[0], RAM + 2 * BLOCK_SIZE + 5000), 0);
	assert_int_equal(mm_leaf(&s[0], PAGE(1024)) & PTE_KIND, KIND_LEAF);
	space_fini(&s[0]);
	mm_end();
}

/* Tables whose entries are all counted, as a clone's clone meets them: whole words at a time. */
static void test_derive_of_full_tables(void **state)
{
	(void)state;
	mm_start(48, 2);
	mm_space(&s[0], 4);
	for (u32 n = 0; n < N_ENTRIES; n++)
		poke(&s[0], PAGE(n), n + 1);
	space_freeze(&s[0]);
	space_clone(&s[1], &s[0]);
	for (u32 n = 0; n < N_ENTRIES - 10; n++) /* the last word is not full */
		poke(&s[1], PAGE(n), n + 1001);
	space_freeze(&s[1]);
	for (u32 c = 2; c < 5; c++) {
		space_clone(&s[c], &s[1]);
		poke(&s[c], PAGE(7 * c), c);
		mm_audit();
	}
	for (u32 c = 1; c < 5; c++)
		for (u32 n = 0; n < N_ENTRIES; n++)
			assert_int_equal(peek(&s[c], PAGE(n)), c > 1 && n == 7 * c  ? c
			                                       : n < N_ENTRIES - 10 ? n + 1001
			                                                            : n + 1);
	for (u32 c = 0; c < 5; c++) {
		space_fini(&s[c]);
		reap_all();
		mm_audit();
	}
	mm_end();
}

static void test_usage(void **state)
{
	struct space_usage u;

	(void)state;
	fill_image();
	mm_start(32, 2);
	mm_space(&s[0], 8);
	assert_int_equal(space_load(&s[0], GPA(RAM + BLOCK_SIZE), image, BLOCK_SIZE), ERR_OK);
	mm_store(0, &s[0], PAGE(0), 1);
	mm_store(0, &s[0], PAGE(1), 1);
	(void)mm_load(0, &s[0], PAGE(2));
	space_usage(&s[0], &u);
	assert_int_equal(u.private_frames, 514);
	assert_int_equal(u.shared_frames, 0);
	assert_int_equal(u.zero_pages, 1);
	assert_int_equal(u.table_frames, 6);
	space_fork(&s[1], &s[0]);
	space_usage(&s[1], &u);
	assert_int_equal(u.private_frames, 0);
	assert_int_equal(u.shared_frames, 514);
	assert_int_equal(u.table_frames, 0);
	mm_store(0, &s[1], PAGE(0), 2);
	space_usage(&s[1], &u);
	assert_int_equal(u.private_frames, 1);
	assert_int_equal(u.shared_frames, 513);
	assert_int_equal(u.table_frames, 6);
	space_fini(&s[0]);
	reap_all();
	space_usage(&s[1], &u);
	assert_int_equal(u.private_frames, 514);
	assert_int_equal(u.retained_frames, 1); /* the page that was copied away from */
	assert_true(space_relieve());
	space_usage(&s[1], &u);
	assert_int_equal(u.retained_frames, 0);
	assert_int_equal(u.private_frames, 514);
	space_fini(&s[1]);
	mm_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_regions),
		cmocka_unit_test(test_blocks_from_both_sides),
		cmocka_unit_test(test_point_in_time),
		cmocka_unit_test(test_kill_in_every_order),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_depth_all_alive),
		cmocka_unit_test(test_zero_frame_is_immortal),
		cmocka_unit_test(test_thousand_clones),
		cmocka_unit_test(test_forks_for_ever),
		cmocka_unit_test(test_copies_break),
		cmocka_unit_test(test_template_is_immutable),
		cmocka_unit_test(test_share_is_atomic),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_load_when_fragmented),
		cmocka_unit_test(test_derive_of_full_tables),
		cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
