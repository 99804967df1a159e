// SPDX-License-Identifier: BSD-2-Clause
#include "mm_unit.h"
#include "arch/csr.h"

#include "arch/phys.h"
#include "mm/hide.h"
#include "mm/index.h"

static u64 n_free_at_start;
static struct frame *eaten; /* chained by link.next */

u64 mm_settle(void)
{
	u32 was = fake_hart;

	for (u32 round = 0; round < 4; round++) {
		for (fake_hart = 0; fake_hart < fake_n_harts; fake_hart++) {
			if (fake_is_in_guest(fake_hart))
				fake_leave(fake_hart);
			space_unload();
		}
		fake_hart = fake_n_harts - 1;
		while (space_reap(1000))
			continue;
	}
	root_drain();
	hide_settle();
	hide_drain();
	index_drop();
	for (fake_hart = 0; fake_hart < fake_n_harts; fake_hart++)
		frame_flush_cache();
	fake_hart = was;
	return frame_n_free();
}

void mm_start(u32 mib, u32 n_harts)
{
	fake_machine(mib, n_harts);
	eaten = NULL;
	n_free_at_start = mm_settle();
}

void mm_end(void)
{
	mm_audit();
	assert_int_equal(mm_settle(), n_free_at_start);
	mm_audit();
	assert_int_equal(table_n_records(), 0);
	assert_int_equal(block_n_records(), 0);
}

void mm_audit(void)
{
	struct audit_result r;
	u32 was = fake_hart;

	fake_hart = fake_n_harts - 1;
	audit_run(&r);
	if (r.faults)
		fail_msg("audit: %lu faults, first: %s", (unsigned long)r.faults, r.first);
	mm_usage();
	fake_hart = was;
}

static void add_space(struct space *s, void *arg)
{
	usage_add(s, arg);
}

static void add_own(struct space *s, void *arg)
{
	struct usage_sum *sum = arg;
	struct space_usage u;

	space_usage_next(s, &u);
	sum->private_frames += u.private_frames;
	sum->table_frames += u.table_frames;
}

void mm_usage(void)
{
	struct usage_sum sum = { 0 }, dying = { 0 }, own = { 0 };
	u64 n[FRAME_N_CLASSES];

	usage_begin(n);
	space_for_each(add_space, &sum);
	usage_add_dying(&dying);
	usage_end();
	assert_int_equal(sum.private_frames + sum.shared_frames + sum.retained_frames +
	                         dying.private_frames + dying.shared_frames + dying.retained_frames,
	                 n[FRAME_COUNTED] + n[FRAME_BLOCK]);
	assert_int_equal(sum.table_frames + dying.table_frames, n[FRAME_TABLE]);
	usage_round();
	space_for_each(add_own, &own);
	assert_int_equal(own.private_frames, sum.private_frames);
	assert_in_range(own.table_frames, 0, sum.table_frames);
}

void mm_space(struct space *s, u64 mib)
{
	struct region r = { GPA(RAM), mib << 20 };

	assert_int_equal(space_init(s, &r, 1), ERR_OK);
}

void mm_store(u32 h, struct space *s, u64 gpa, u64 value)
{
	u8 *byte = fake_touch(h, s, gpa, true);

	assert_non_null(byte);
	memcpy(byte, &value, sizeof(value));
}

u64 mm_load(u32 h, struct space *s, u64 gpa)
{
	u8 *byte = fake_touch(h, s, gpa, false);
	u64 value;

	assert_non_null(byte);
	memcpy(&value, byte, sizeof(value));
	return value;
}

u64 mm_leaf(const struct space *s, u64 gpa)
{
	const struct table *t = s->root;

	for (;;) {
		u64 pte = t->pte[pte_index(GPA(gpa), t->level)];

		if (!pte || !pte_is_table(pte))
			return pte;
		t = table_below(pte);
	}
}

u64 mm_eat(enum frame_use use, u64 limit)
{
	struct frame *f;
	u64 n = 0;

	while (n < limit && (f = frame_alloc(use))) {
		f->class = FRAME_POOL;
		f->link.next = eaten;
		eaten = f;
		n++;
	}
	return n;
}

void mm_uneat(void)
{
	mm_uneat_some(UINT64_MAX);
}

void mm_uneat_some(u64 n)
{
	while (eaten && n-- > 0) {
		struct frame *f = eaten;

		eaten = f->link.next;
		frame_free(f);
	}
}

void mm_family(struct space *template, struct space *clone)
{
	mm_start(32, 4);
	mm_space(template, 8);
	mm_store(0, template, MM_PAGE(0), 10);
	mm_store(0, template, MM_PAGE(1), 11);
	mm_store(0, template, MM_PAGE(600), 60);
	space_freeze(template);
	space_clone(clone, template);
}

void mm_end_family(struct space *template, struct space *clone)
{
	space_fini(template);
	space_fini(clone);
	mm_end();
}

u32 mm_fences(u32 h, enum fake_fence kind)
{
	return fake_n_fences[h][kind];
}

u64 mm_hgatp(u32 h)
{
	u32 was = fake_hart;
	u64 hgatp;

	fake_hart = h;
	hgatp = csr_read(hgatp);
	fake_hart = was;
	return hgatp;
}
