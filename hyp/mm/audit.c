// SPDX-License-Identifier: BSD-2-Clause
/*
 * The recount, in three passes over records that carry a second counter:
 *
 *   clear    every counted frame's, table's and block's audit counter (a counted frame's:
 *            24 bits in fields that its class has no use for);
 *   count    walk all spaces and the tables that wait to be freed, each table once, and
 *            count who names what; on the way check what can be seen there: kinds,
 *            bitmaps, bounds, writable leaves;
 *   compare  every record of the frame table with what was counted.
 *
 * Memory that leaked has a record and no counter; memory freed too early has a
 * counter and no record.  Both are faults, and the first is put into words.
 */
#include "mm/audit.h"

#include <stdio.h>
#include <string.h>
#include "arch/phys.h"
#include "mm/space.h"
#include "mm/table.h"

struct audit {
	struct audit_result *r;
	u64 n_block_frames; /* slots of all blocks that were reached */
	u64 n_table_frames;
	struct promise promised;
	u64 class[FRAME_N_CLASSES];
};

static void fault(struct audit *a, const char *what, u64 where)
{
	if (a->r->faults++ == 0)
		snprintf(a->r->first, sizeof(a->r->first), "%s at %#lx", what,
		         (unsigned long)where);
}

/* ---- clear ---- */

#define AUDITED_MAX ((1U << 24) - 1)

static u32 audited(const struct frame *f)
{
	return f->slot | (u32)f->head << 16;
}

static void set_audited(struct frame *f, u32 n)
{
	f->slot = (u16)n;
	f->head = (u8)(n >> 16);
}

static void clear_frame(struct frame *f, void *arg)
{
	(void)arg;
	if (f->class == FRAME_COUNTED)
		set_audited(f, 0);
	if (f->class != FRAME_TABLE)
		return;
	f->link.table->audit = 0;
	if (f->link.table->block)
		f->link.table->block->audit = 0;
}

static void clear_contiguous(struct frame *f, void *arg)
{
	(void)arg;
	if (f->class != FRAME_TABLE || f->link.table->level != 1)
		return;
	for (u32 i = 0; i < N_ENTRIES; i++) {
		u64 pte = f->link.table->pte[i];

		if (pte && !pte_is_table(pte))
			block_behind(pte)->audit = 0;
	}
}

/* ---- count ---- */

static void count_block(struct audit *a, struct block *b)
{
	if (b->audit++ > 0)
		return;
	a->r->blocks++;
	a->n_block_frames += b->n;
	if (b->is_contiguous)
		return;
	u32 n = 0;

	for (struct frame *f = b->first; f; f = f->link.next, n++)
		if (f->class != FRAME_BLOCK)
			fault(a, "slot of a block has another class", frame_hpa(f).v);
	if (n != b->n)
		fault(a, "block list has another length than its record", n);
}

static bool has_armed_entries(const struct table *t)
{
	u64 any = 0;

	for (u32 k = 0; k < BITMAP_WORDS; k++)
		any |= t->armed_at[k];
	return any != 0;
}

/* Will the next freeze find what is writable at or below entry i? */
static bool is_armed(const struct table *t, u32 i)
{
	return t->armed && (t->level == 2 || bit_test(t->armed_at, i));
}

static void count_leaf(struct audit *a, struct table *t, u32 i, bool exclusive)
{
	u64 pte = t->pte[i];
	struct frame *f = frame_of(pte_hpa(pte));
	u64 kind = pte_kind(pte);
	bool alone = exclusive;

	if (bit_test(t->counted, i) != (kind == KIND_LEAF))
		fault(a, "bitmap of counted leaves is wrong", (u64)&t->pte[i]);
	if (kind == KIND_LEAF) {
		if (f->class != FRAME_COUNTED)
			fault(a, "leaf names a frame that is not counted", frame_hpa(f).v);
		else if (audited(f) < AUDITED_MAX)
			set_audited(f, audited(f) + 1);
		alone = alone && atomic_load(&f->count) == 1; /* a keeper is nobody's own */
	} else if (kind == KIND_PIECE) {
		if (f->class != FRAME_BLOCK || f->slot != i || !t->block ||
		    (t->block->is_contiguous && f != &t->block->first[i]))
			fault(a, "piece is not slot i of its table's block", frame_hpa(f).v);
		alone = alone && t->block && !block_is_shared(t->block);
	} else {
		alone = false;
		if (f->class != FRAME_ZERO)
			fault(a, "zero entry names another frame", frame_hpa(f).v);
	}
	if (pte & PTE_W && !alone)
		fault(a, "writable and shared", frame_hpa(f).v);
	if (pte & PTE_W && !is_armed(t, i))
		fault(a, "writable and not armed", frame_hpa(f).v);
}

static void count_table(struct audit *a, struct table *t, bool exclusive);

static void count_entry(struct audit *a, struct table *t, u32 i, bool exclusive)
{
	u64 pte = t->pte[i];

	if (t->level == 1 && bit_test(t->counted, i) != (pte != 0))
		fault(a, "bitmap of live entries is wrong", (u64)&t->pte[i]);
	if (!pte)
		return;
	if (pte_is_table(pte)) {
		struct table *below = table_below(pte);

		if (below->level + 1 != t->level)
			fault(a, "table of the wrong level", (u64)&t->pte[i]);
		else if (below->armed && !is_armed(t, i))
			fault(a, "armed table below an unarmed entry", (u64)&t->pte[i]);
		else
			count_table(a, below, exclusive);
		return;
	}
	if (pte & PTE_W && (!exclusive || block_is_shared(block_behind(pte))))
		fault(a, "writable and shared 2 MiB leaf", pte_hpa(pte).v);
	if (pte & PTE_W && !is_armed(t, i))
		fault(a, "writable 2 MiB leaf, and not armed", pte_hpa(pte).v);
	count_block(a, block_behind(pte));
}

static void count_entries(struct audit *a, struct table *t, bool exclusive)
{
	u32 n = t->level == 2 ? ROOT_ENTRIES : N_ENTRIES;

	a->r->tables++;
	a->n_table_frames += table_n_frames(t);
	if (t->armed && !exclusive)
		fault(a, "armed and shared table", ptr_hpa(t->pte).v);
	if (!t->armed && has_armed_entries(t))
		fault(a, "armed entries in an unarmed table", ptr_hpa(t->pte).v);
	if (t->block)
		count_block(a, t->block);
	for (u32 i = 0; i < n; i++) {
		if (t->level == 2 && t->pte[i] && (i < t->lo || i >= t->hi))
			fault(a, "live slot outside the root's bounds", ptr_hpa(t->pte).v);
		if (t->level > 0)
			count_entry(a, t, i, exclusive);
		else if (t->pte[i] & PTE_V)
			count_leaf(a, t, i, exclusive);
		else if (bit_test(t->counted, i))
			fault(a, "absent entry is marked as counted", ptr_hpa(t->pte).v);
	}
}

static void count_table(struct audit *a, struct table *t, bool exclusive)
{
	if (t->audit++ == 0)
		count_entries(a, t, exclusive && atomic_load(&t->count) == 1);
}

/* Nobody names it any more, but what it names is not yet dropped. */
static void count_dying(struct table *t, void *arg)
{
	if (atomic_load(&t->count) != 0)
		fault(arg, "table waits to be freed and is in use", ptr_hpa(t->pte).v);
	count_entries(arg, t, true);
}

static void count_space(struct space *s, void *arg)
{
	struct audit *a = arg;

	a->r->spaces++;
	if (!IS_ALIGNED(ptr_hpa(s->root->pte).v, ROOT_ENTRIES * sizeof(u64)))
		fault(a, "root is not aligned", ptr_hpa(s->root->pte).v);
	if (s->frozen && s->root->armed)
		fault(a, "template is armed", ptr_hpa(s->root->pte).v);
	if (atomic_load(&s->tlb.root) != ptr_hpa(s->root->pte).v)
		fault(a, "harts load another root than the space has", atomic_load(&s->tlb.root));
	if (s->use != FRAME_PROMISED && s->promise.n_frames + s->promise.n_tables != 0)
		fault(a, "promise of a space that is not reserved", ptr_hpa(s->root->pte).v);
	a->promised.n_frames += s->promise.n_frames;
	a->promised.n_tables += s->promise.n_tables;
	a->promised.n_roots += s->promise.n_roots;
	count_table(a, s->root, true);
}

/* ---- compare ---- */

static void compare_block(struct audit *a, struct block *b, u64 where)
{
	if (b->audit != atomic_load(&b->count))
		fault(a, "count of a block is wrong", where);
}

static void compare_frame(struct frame *f, void *arg)
{
	struct audit *a = arg;
	u64 hpa = frame_hpa(f).v;

	a->r->frames++;
	a->class[f->class]++;
	if (f->class == FRAME_COUNTED && audited(f) != u64_min(frame_refs(f), AUDITED_MAX))
		fault(a, audited(f) ? "count of a frame is wrong" : "leaked frame", hpa);
	if (f->class == FRAME_COUNTED)
		set_audited(f, 0);
	if (f->class != FRAME_TABLE)
		return;
	struct table *t = f->link.table;

	if (t->audit != atomic_load(&t->count))
		fault(a, t->audit ? "count of a table is wrong" : "leaked table", hpa);
	if (t->block)
		compare_block(a, t->block, hpa);
	for (u32 i = 0; t->level == 1 && i < N_ENTRIES; i++)
		if (t->pte[i] && !pte_is_table(t->pte[i]))
			compare_block(a, block_behind(t->pte[i]), hpa);
}

/* What was promised is there, and no more is kept from others. */
static void compare_promises(struct audit *a)
{
	struct promise kept = table_promised();

	kept.n_frames = frame_n_promised();
	if (frame_n_listed() < kept.n_frames)
		fault(a, "promised frames are missing", kept.n_frames - frame_n_listed());
	if (kept.n_frames != a->promised.n_frames)
		fault(a, "promised frames and promises disagree", kept.n_frames);
	if (kept.n_tables != a->promised.n_tables || kept.n_roots != a->promised.n_roots)
		fault(a, "tables put aside and promises disagree", kept.n_tables);
}

void audit_run(struct audit_result *r)
{
	struct audit a = { .r = r };

	memset(r, 0, sizeof(*r));
	space_settle_work();
	frame_for_each(clear_frame, &a);
	frame_for_each(clear_contiguous, &a);
	space_for_each(count_space, &a);
	table_for_each_dying(count_dying, &a);
	frame_for_each(compare_frame, &a);
	if (r->tables != table_n_records())
		fault(&a, "tables that no space reaches", table_n_records() - r->tables);
	if (r->blocks != block_n_records())
		fault(&a, "blocks that no table reaches", block_n_records() - r->blocks);
	if (a.n_block_frames != a.class[FRAME_BLOCK])
		fault(&a, "frames of class block without a block", a.class[FRAME_BLOCK]);
	if (a.n_table_frames != a.class[FRAME_TABLE])
		fault(&a, "frames of class table without a table", a.class[FRAME_TABLE]);
	if (frame_n_free() != a.class[FRAME_FREE] + frame_n_pooled())
		fault(&a, "free lists and frame classes disagree", frame_n_free());
	compare_promises(&a);
	space_allow_work();
}
