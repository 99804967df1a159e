// SPDX-License-Identifier: BSD-2-Clause
/*
 * The audit finds what is wrong: each case spoils one item of a sound state by hand, the audit must say so
 * in the right words, and be clean again when the item is put right.
 */
#include "mm_unit.h"

#define PAGE(n) (RAM + (n)*PAGE_SIZE)

static struct space t, s, own, parent, child;
static struct frame *free_frame, *pool_frame;

static struct table *below(struct space *of, u64 gpa, u32 level)
{
	struct table *at = of->root;

	while (at->level > level)
		at = table_below(at->pte[pte_index(GPA(gpa), at->level)]);
	return at;
}

static struct frame *frame_at(struct space *of, u64 gpa)
{
	return frame_of(pte_hpa(mm_leaf(of, gpa)));
}

static u64 *leaf_at(struct space *of, u64 gpa, u32 level)
{
	return &below(of, gpa, level)->pte[pte_index(GPA(gpa), level)];
}

/* `t`, a template: pieces 0, 1, 2, the zero frame at 5, a block at 1024.  `s`, its clone: a page of its
 * own at 0.  `own`: a page, and a block with W.  `parent` and `child`: one root. */
static void build(void)
{
	static u8 image[BLOCK_SIZE];

	mm_start(48, 2);
	mm_space(&t, 8);
	for (u64 n = 0; n < 3; n++)
		mm_store(0, &t, PAGE(n), n);
	(void)mm_load(0, &t, PAGE(5));
	assert_int_equal(space_load(&t, GPA(PAGE(1024)), image, sizeof(image)), ERR_OK);
	space_freeze(&t);
	space_clone(&s, &t);
	mm_store(0, &s, PAGE(0), 9);
	mm_space(&own, 8);
	mm_store(0, &own, PAGE(0), 9);
	assert_int_equal(space_load(&own, GPA(PAGE(1024)), image, sizeof(image)), ERR_OK);
	mm_space(&parent, 8);
	space_fork(&child, &parent);
	free_frame = frame_alloc_order(0, FRAME_FOR_PANDO);
	pool_frame = frame_alloc_order(0, FRAME_FOR_PANDO);
	assert_true(free_frame && pool_frame);
	free_frame->class = pool_frame->class = FRAME_POOL;
	pool_frame->link.next = NULL;
	mm_audit();
}

/* Each of these spoils something, and a second call puts it right. */
static void frame_count(void)
{
	atomic_fetch_xor(&frame_at(&own, PAGE(0))->count, 4);
}

static void table_count(void)
{
	atomic_fetch_xor(&below(&t, PAGE(0), 0)->count, 4);
}

static void table_count_0(void)
{
	atomic_fetch_xor(&child.root->count, 4);
}

static void block_count(void)
{
	atomic_fetch_xor(&below(&t, PAGE(0), 0)->block->count, 4);
}

static void big_block_count(void)
{
	atomic_fetch_xor(&frame_at(&t, PAGE(1024))->link.block->count, 4);
}

static void shared_piece_w(void)
{
	*leaf_at(&s, PAGE(1), 0) ^= PTE_W;
}

static void shared_leaf_w(void)
{
	atomic_fetch_xor(&frame_at(&own, PAGE(0))->count, 2 | 1);
}

static void zero_w(void)
{
	*leaf_at(&s, PAGE(5), 0) ^= PTE_W;
}

static void shared_table_w(void)
{
	*leaf_at(&t, PAGE(1), 0) ^= PTE_W;
}

static void shared_block_w(void)
{
	*leaf_at(&s, PAGE(1024), 1) ^= PTE_W;
}

static void not_armed_at(void)
{
	below(&own, PAGE(0), 0)->armed_at[0] ^= 1;
}

static void not_armed(void)
{
	below(&own, PAGE(0), 0)->armed ^= true;
}

static void entries_armed(void)
{
	below(&t, PAGE(0), 0)->armed_at[7] ^= 1;
}

static void path_not_armed(void)
{
	below(&own, PAGE(0), 1)->armed_at[0] ^= 1;
}

static void root_not_armed(void)
{
	own.root->armed ^= true;
}

static void block_not_armed(void)
{
	below(&own, PAGE(0), 1)->armed_at[0] ^= 4;
}

static void shared_and_armed(void)
{
	parent.root->armed ^= true;
}

static void armed_template(void)
{
	t.root->armed ^= true;
}

static void leaf_bitmap(void)
{
	below(&own, PAGE(0), 0)->counted[0] ^= 1;
}

static void piece_bitmap(void)
{
	below(&t, PAGE(0), 0)->counted[0] ^= 2;
}

static void absent_bitmap(void)
{
	below(&own, PAGE(0), 0)->counted[3] ^= 1;
}

static void live_bitmap(void)
{
	below(&own, PAGE(0), 1)->counted[5] ^= 1;
}

static void zero_frame(void)
{
	frame_at(&s, PAGE(5))->class ^= FRAME_ZERO ^ FRAME_POOL;
}

static void slot(void)
{
	frame_at(&t, PAGE(1))->slot ^= 1;
}

static void piece_without_block(void)
{
	static struct block *kept;
	struct table *at = below(&s, PAGE(0), 0);
	struct block *now = at->block;

	at->block = now ? NULL : kept;
	kept = now;
}

static void leaf_class(void)
{
	frame_at(&own, PAGE(0))->class ^= FRAME_COUNTED ^ FRAME_POOL;
}

static void list_len(void)
{
	below(&t, PAGE(0), 0)->block->n ^= 8;
}

static void list_class(void)
{
	below(&t, PAGE(0), 0)->block->first->class ^= FRAME_BLOCK ^ FRAME_POOL;
}

static void bounds_lo(void)
{
	own.root->lo ^= 1;
}

static void bounds_hi(void)
{
	own.root->hi ^= 1;
}

static void hart_root(void)
{
	atomic_fetch_xor(&own.tlb.root, 1UL << 20);
}

static void level(void)
{
	table_below(own.root->pte[pte_index(GPA(RAM), 2)])->level ^= 2;
}

static void stray_frame(void)
{
	pool_frame->class ^= FRAME_POOL ^ FRAME_COUNTED;
	atomic_store(&pool_frame->count, 1);
}

static void stray_block_frame(void)
{
	pool_frame->class ^= FRAME_POOL ^ FRAME_BLOCK;
}

static void stray_table_frame(void)
{
	pool_frame->link.table = t.root;
	pool_frame->class ^= FRAME_POOL ^ FRAME_TABLE;
}

static void stray_table(void)
{
	static struct table *stray;

	if (stray) {
		table_put(stray);
		while (space_reap(10))
			continue;
		stray = NULL;
	} else {
		stray = table_alloc(0, FRAME_FOR_TABLE);
	}
}

static void stray_block(void)
{
	static struct block *stray;

	if (stray) {
		block_put(stray);
		stray = NULL;
	} else {
		stray = block_new_listed(NULL, 0);
	}
}

static void free_lists(void)
{
	free_frame->class ^= FRAME_POOL ^ FRAME_FREE;
}

static void promise_of_nobody(void)
{
	own.promise.n_tables ^= 1;
}

/* What only a first or a second call does. */
static bool is_second(void)
{
	static u32 n;

	return n++ % 2 == 1;
}

static void frames_promised(void)
{
	if (is_second())
		frame_unpromise(5);
	else
		assert_true(frame_promise(5));
}

static void tables_promised(void)
{
	if (is_second())
		table_unpromise(1, 1);
	else
		assert_true(table_promise(1, 1));
}

static void frames_missing(void)
{
	static u64 n;

	if (is_second()) {
		mm_uneat();
		frame_unpromise(n);
		return;
	}
	n = frame_n_for_guests() - 100;
	assert_true(frame_promise(n));
	mm_eat(FRAME_PROMISED, UINT64_MAX);
}

#define CASE(fn_, words_)                                    \
	{                                                    \
		.fn = (fn_), .name = #fn_, .words = (words_) \
	}

static const struct {
	void (*fn)(void);
	const char *name, *words;
} cases[] = {
	CASE(frame_count, "writable and shared"),
	CASE(table_count, "count of a table is wrong"),
	CASE(table_count_0, "count of a table is wrong"),
	CASE(block_count, "count of a block is wrong"),
	CASE(big_block_count, "count of a block is wrong"),
	CASE(shared_piece_w, "writable and shared"),
	CASE(shared_leaf_w, "writable and shared"),
	CASE(zero_w, "writable and shared"),
	CASE(shared_table_w, "writable and shared"),
	CASE(shared_block_w, "writable and shared 2 MiB leaf"),
	CASE(not_armed_at, "writable and not armed"),
	CASE(not_armed, "armed entries in an unarmed table"),
	CASE(entries_armed, "armed entries in an unarmed table"),
	CASE(path_not_armed, "armed table below"),
	CASE(root_not_armed, "armed table below"),
	CASE(block_not_armed, "writable 2 MiB leaf, and not armed"),
	CASE(shared_and_armed, "armed and shared table"),
	CASE(promise_of_nobody, "promise of a space that is not reserved"),
	CASE(frames_promised, "promised frames and promises disagree"),
	CASE(tables_promised, "tables put aside and promises disagree"),
	CASE(frames_missing, "promised frames are missing"),
	CASE(armed_template, "template is armed"),
	CASE(leaf_bitmap, "bitmap of counted leaves"),
	CASE(piece_bitmap, "bitmap of counted leaves"),
	CASE(absent_bitmap, "absent entry is marked"),
	CASE(live_bitmap, "bitmap of live entries"),
	CASE(zero_frame, "zero entry names another"),
	CASE(slot, "piece is not slot i"),
	CASE(piece_without_block, "piece is not slot i"),
	CASE(leaf_class, "leaf names a frame"),
	CASE(list_len, "block list has another length"),
	CASE(list_class, "slot of a block has another class"),
	CASE(bounds_lo, "live slot outside"),
	CASE(bounds_hi, "live slot outside"),
	CASE(hart_root, "harts load another root"),
	CASE(level, "table of the wrong level"),
	CASE(stray_frame, "leaked frame"),
	CASE(stray_block_frame, "frames of class block"),
	CASE(stray_table_frame, "frames of class table"),
	CASE(stray_table, "leaked table"),
	CASE(stray_block, "blocks that no table reaches"),
	CASE(free_lists, "free lists and frame classes"),
};

static void test_finds_each(void **state)
{
	(void)state;
	build();
	for (u32 n = 0; n < ARRAY_LEN(cases); n++) {
		struct audit_result r;

		cases[n].fn();
		fake_hart = 1;
		audit_run(&r);
		fake_hart = 0;
		if (cases[n].fn == stray_table) /* leaked, too many records, too many frames */
			assert_int_equal(r.faults, 3);
		if (r.faults == 0 || !strstr(r.first, cases[n].words))
			fail_msg("%s: %lu faults, '%s'", cases[n].name, (unsigned long)r.faults,
			         r.first);
		cases[n].fn();
		audit_run(&r);
		if (r.faults)
			fail_msg("%s left: %s", cases[n].name, r.first);
	}
	frame_free_order(free_frame, 0);
	frame_free_order(pool_frame, 0);
	space_fini(&t);
	space_fini(&s);
	space_fini(&own);
	space_fini(&parent);
	space_fini(&child);
	mm_end();
}

/* A count that is too low is found too, also where the block or table has no other fault. */
static void test_count_too_low(void **state)
{
	struct audit_result r;

	(void)state;
	build();
	atomic_fetch_sub(&frame_at(&own, PAGE(0))->count, 1);
	audit_run(&r);
	assert_true(r.faults > 0);
	atomic_fetch_add(&frame_at(&own, PAGE(0))->count, 1);
	atomic_fetch_sub(&below(&t, PAGE(0), 0)->block->count, 1);
	audit_run(&r);
	assert_true(r.faults > 0);
	atomic_fetch_add(&below(&t, PAGE(0), 0)->block->count, 1);
	mm_audit();
	frame_free_order(free_frame, 0);
	frame_free_order(pool_frame, 0);
	space_fini(&t);
	space_fini(&s);
	space_fini(&own);
	space_fini(&parent);
	space_fini(&child);
	mm_end();
}

/* A table that waits to be freed still holds its counts; nobody may use it. */
static void test_dying_tables(void **state)
{
	struct audit_result r;
	struct table *root;

	(void)state;
	build();
	root = own.root;
	fake_enter(0, &own, 0);
	fake_leave(0); /* may still walk it */
	fake_hart = 1;
	space_fini(&own);
	audit_run(&r);
	assert_int_equal(r.faults, 0);
	assert_int_equal(atomic_load(&root->count), 0);
	atomic_store(&root->count, 1);
	audit_run(&r);
	assert_true(r.faults > 0 && strstr(r.first, "waits to be freed and is in use"));
	atomic_store(&root->count, 0);
	fake_hart = 0;
	frame_free_order(free_frame, 0);
	frame_free_order(pool_frame, 0);
	space_fini(&t);
	space_fini(&s);
	space_fini(&parent);
	space_fini(&child);
	mm_end();
}

/* While an audit looks, idle harts leave everything as it is. */
static void test_no_work_meanwhile(void **state)
{
	struct space dying;
	u64 n_free;

	(void)state;
	mm_start(32, 2);
	mm_space(&dying, 4);
	for (u32 n = 0; n < 20; n++)
		mm_store(0, &dying, RAM + n * PAGE_SIZE, n);
	space_fini(&dying);
	for (fake_hart = 0; fake_hart < 2; fake_hart++)
		space_unload();
	fake_hart = 0;
	n_free = frame_n_free();
	assert_true(root_ahead());
	space_hold_off_work();
	assert_false(space_reap(100));
	assert_false(space_idle_work());
	space_give_back();
	assert_int_equal(frame_n_free(), n_free);
	assert_true(frame_n_pooled() > 0);
	space_allow_work();
	while (space_reap(100))
		continue;
	assert_true(frame_n_free() >= n_free + 20);
	mm_end();
}

static u32 n_waits;

static void end_work(void)
{
	if (++n_waits == 3)
		space_end_work();
}

/* What has been begun is waited for. */
static void test_work_is_waited_for(void **state)
{
	(void)state;
	mm_start(32, 2);
	assert_true(space_begin_work());
	n_waits = 0;
	fake_on_blocked = end_work;
	space_hold_off_work();
	fake_on_blocked = NULL;
	assert_int_equal(n_waits, 3);
	space_allow_work();
	mm_end();
}

/* Nor does the merge scanner go on, whoever called for it. */
static void test_no_scan_meanwhile(void **state)
{
	struct merge_stats st;

	(void)state;
	mm_start(32, 2);
	mm_space(&s, 4);
	s.merge.dedup = DEDUP_ZERO;
	mm_store(0, &s, RAM, 0);
	fake_hart = 1;
	space_hold_off_work();
	scan_once();
	scan_stats(&st);
	assert_int_equal(st.visited, 0);
	space_allow_work();
	scan_once();
	scan_stats(&st);
	assert_true(st.visited > 0);
	space_fini(&s);
	mm_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_each),         cmocka_unit_test(test_count_too_low),
		cmocka_unit_test(test_dying_tables),       cmocka_unit_test(test_no_work_meanwhile),
		cmocka_unit_test(test_work_is_waited_for), cmocka_unit_test(test_no_scan_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
