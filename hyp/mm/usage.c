// SPDX-License-Identifier: BSD-2-Clause
/*
 * Usage figures.
 *
 * Of one space: a walk under its lock.  What it meets is either this space's alone,
 * or shared and so immutable for as long as the space's own path holds a count on it; what
 * has been counted below a shared table is noted in its record.
 *
 * Of all spaces: each table is walked once, whoever comes first, and each frame is marked
 * when it is first met.  Whether one space alone reaches a frame does not depend on who
 * that is: every table and block on the way, and the frame, has count 1 or has not.
 */
#include "mm/usage.h"

#include <string.h>
#include "mm/hide.h"
#include "mm/index.h"
#include "mm/pool.h"
#include "mm/table.h"

static u32 this_round;

/* ---- one space ---- */

static void count_shared(struct table *t);

static void count_shared_entry(struct table *t, u64 pte)
{
	struct table *below;

	if (!pte_is_table(pte)) {
		t->n_pages += N_ENTRIES;
		return;
	}
	below = table_below(pte);
	count_shared(below);
	t->n_pages += below->n_pages;
	t->n_zero += below->n_zero;
}

/* Sets n_pages and n_zero of a table that is immutable, unless this round has done so. */
static void count_shared(struct table *t)
{
	u32 lo = table_lo(t), hi = table_hi(t);

	if (t->round == this_round)
		return;
	t->round = this_round;
	t->n_pages = t->n_zero = 0;
	for (u32 i = lo; i < hi; i++) {
		u64 pte = t->pte[i];

		if (t->level > 0 && pte)
			count_shared_entry(t, pte);
		else if (pte & PTE_V && pte_kind(pte) == KIND_ZERO)
			t->n_zero++;
		else if (pte & PTE_V)
			t->n_pages++;
	}
}

static bool is_alone(const struct frame *f)
{
	return frame_refs(f) == 1;
}

/* The page behind an entry that this space alone reaches. */
static void count_private(u64 pte, struct space_usage *u)
{
	struct frame *f = frame_of(pte_hpa(pte));

	u->private_frames++;
	if (pte_is_hidden(pte) || (pte_kind(pte) == KIND_LEAF && frame_is_keeper(f)))
		u->loose_frames++;
}

/* Level 0, and this space's alone. */
static void count_own_leaves(const struct table *t, struct space_usage *u)
{
	bool own_block = t->block && !block_is_shared(t->block);
	u64 n_pieces = 0;

	for (u32 i = 0; i < N_ENTRIES; i++) {
		u64 pte = t->pte[i];

		if (!(pte & PTE_V))
			continue;
		n_pieces += pte_kind(pte) == KIND_PIECE;
		if (pte_kind(pte) == KIND_PIECE && own_block)
			count_private(pte, u);
		else if (pte_kind(pte) == KIND_PIECE)
			u->shared_frames++;
		else if (pte_kind(pte) == KIND_ZERO)
			u->zero_pages++;
		else if (is_alone(frame_of(pte_hpa(pte))))
			count_private(pte, u);
		else if (frame_is_keeper(frame_of(pte_hpa(pte))))
			u->merged_frames++;
		else
			u->shared_frames++;
	}
	if (own_block)
		u->retained_frames += t->block->n - n_pieces;
}

static void count_table(struct table *t, struct space_usage *u)
{
	u32 lo = table_lo(t), hi = table_hi(t);

	if (table_is_shared(t)) {
		count_shared(t);
		u->shared_frames += t->n_pages;
		u->zero_pages += t->n_zero;
		return;
	}
	u->table_frames += table_n_frames(t);
	if (t->level == 0) {
		count_own_leaves(t, u);
		return;
	}
	for (u32 i = lo; i < hi; i++) {
		u64 pte = t->pte[i];

		if (!pte)
			continue;
		if (pte_is_table(pte))
			count_table(table_below(pte), u);
		else if (block_is_shared(block_behind(pte)))
			u->shared_frames += N_ENTRIES;
		else
			u->private_frames += N_ENTRIES;
	}
}

void space_usage_locked(struct space *s, struct space_usage *u)
{
	memset(u, 0, sizeof(*u));
	count_table(s->root, u);
}

void space_usage_next(struct space *s, struct space_usage *u)
{
	lock_acquire(&s->lock);
	space_usage_locked(s, u);
	lock_release(&s->lock);
}

void usage_round(void)
{
	this_round++;
}

void space_usage(struct space *s, struct space_usage *u)
{
	usage_round();
	space_usage_next(s, u);
}

/* ---- all spaces ---- */

static void clear_table(struct table *t)
{
	u32 i;

	t->audit = 0;
	if (t->block)
		t->block->audit = 0;
	if (t->level != 1)
		return;
	FOR_EACH_BIT (t->counted, i)
		if (!pte_is_table(t->pte[i]))
			block_behind(t->pte[i])->audit = 0;
}

static void clear_and_count(struct frame *f, void *arg)
{
	((u64 *)arg)[f->class]++;
	if (f->class == FRAME_COUNTED)
		f->slot = 0;
	else if (f->class == FRAME_BLOCK)
		atomic_store_explicit(&f->count, 0, memory_order_relaxed);
	else if (f->class == FRAME_TABLE)
		clear_table(f->link.table);
}

static u64 *figure(struct usage_sum *sum, bool exclusive)
{
	return exclusive ? &sum->private_frames : &sum->shared_frames;
}

static void add_counted(struct frame *f, bool exclusive, struct usage_sum *sum)
{
	if (f->slot == 0)
		++*figure(sum, exclusive && is_alone(f));
	f->slot = 1;
}

/* All its slots are retained until somebody is found who maps them. */
static void add_block(struct block *b, struct usage_sum *sum)
{
	if (b->audit++ == 0)
		sum->retained_frames += b->n;
}

static void add_slot(struct frame *f, bool exclusive, struct usage_sum *sum)
{
	if (atomic_exchange_explicit(&f->count, 1, memory_order_relaxed) == 1)
		return;
	sum->retained_frames--;
	++*figure(sum, exclusive);
}

static void add_leaf(const struct table *t, u64 pte, bool exclusive, struct usage_sum *sum)
{
	struct frame *f = frame_of(pte_hpa(pte));

	if (pte_kind(pte) == KIND_LEAF)
		add_counted(f, exclusive, sum);
	else if (pte_kind(pte) == KIND_PIECE)
		add_slot(f, exclusive && !block_is_shared(t->block), sum);
}

static void add_table(struct table *t, bool exclusive, struct usage_sum *sum);

static void add_middle(u64 pte, bool exclusive, struct usage_sum *sum)
{
	struct block *b;

	if (pte_is_table(pte)) {
		add_table(table_below(pte), exclusive, sum);
		return;
	}
	b = block_behind(pte);
	add_block(b, sum);
	for (u32 i = 0; i < b->n; i++)
		add_slot(&b->first[i], exclusive && !block_is_shared(b), sum);
}

/* Its entries; `exclusive`: one space alone reaches them. */
static void add_entries(struct table *t, bool exclusive, struct usage_sum *sum)
{
	u32 lo = table_lo(t), hi = table_hi(t);

	t->audit = 1;
	sum->table_frames += table_n_frames(t);
	if (t->block)
		add_block(t->block, sum);
	for (u32 i = lo; i < hi; i++) {
		u64 pte = t->pte[i];

		if (t->level > 0 && pte)
			add_middle(pte, exclusive, sum);
		else if (pte & PTE_V)
			add_leaf(t, pte, exclusive, sum);
	}
}

static void add_table(struct table *t, bool exclusive, struct usage_sum *sum)
{
	if (t->audit == 0)
		add_entries(t, exclusive && !table_is_shared(t), sum);
}

static void add_dying(struct table *t, void *arg)
{
	add_entries(t, true, arg);
}

void usage_begin(u64 n[FRAME_N_CLASSES])
{
	space_settle_work();
	memset(n, 0, FRAME_N_CLASSES * sizeof(n[0]));
	frame_for_each(clear_and_count, n);
}

void usage_add(struct space *s, struct usage_sum *sum)
{
	add_table(s->root, true, sum);
}

void usage_add_dying(struct usage_sum *sum)
{
	table_for_each_dying(add_dying, sum);
}

void usage_end(void)
{
	space_allow_work();
}

u64 usage_n_records(void)
{
	return pool_n_frames() + frame_n_pooled() + index_bytes() / PAGE_SIZE + hide_n_frames();
}
