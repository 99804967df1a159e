// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a space reaches, and memory that comes back: the walk over its tables, usage
 * figures, the dissolving of blocks, and what is done before "out of memory".
 *
 * A walk holds the space's lock.  What it meets is then either this space's alone, or
 * shared and so immutable for as long as the space's own path holds a count on it.
 */
#include "mm/space.h"

#include <string.h>
#include "mm/table.h"

static _Atomic u32 dissolve_wanted; /* some space has ended: blocks may have one user left */

/* ---- walks over what a space reaches ---- */

typedef void (*table_fn)(struct table *t, bool exclusive, void *arg);

/* Visits `t` and all below; exclusive: this space alone reaches it. */
static void visit(struct table *t, bool exclusive, table_fn fn, void *arg)
{
	u32 lo = t->level == 2 ? t->lo : 0, hi = t->level == 2 ? t->hi : N_ENTRIES;

	exclusive = exclusive && !table_is_shared(t);
	fn(t, exclusive, arg);
	for (u32 i = lo; t->level > 0 && i < hi; i++)
		if (t->pte[i] && pte_is_table(t->pte[i]))
			visit(table_below(t->pte[i]), exclusive, fn, arg);
}

static bool is_alone(u64 pte)
{
	return atomic_load_explicit(&frame_of(pte_hpa(pte))->count, memory_order_relaxed) == 1;
}

static void usage_of_leaves(const struct table *t, bool exclusive, struct space_usage *u)
{
	u64 n_pieces = table_n_pieces(t);
	bool own_block = exclusive && t->block && !block_is_shared(t->block);

	*(own_block ? &u->private_frames : &u->shared_frames) += n_pieces;
	if (own_block)
		u->retained_frames += t->block->n - n_pieces;
	for (u32 i = 0; i < N_ENTRIES; i++) {
		u64 pte = t->pte[i];

		if (!(pte & PTE_V) || pte_kind(pte) == KIND_PIECE)
			continue;
		if (pte_kind(pte) == KIND_ZERO)
			u->zero_pages++;
		else if (exclusive && is_alone(pte))
			u->private_frames++;
		else
			u->shared_frames++;
	}
}

static void usage_of_table(struct table *t, bool exclusive, void *arg)
{
	struct space_usage *u = arg;
	u32 i;

	if (exclusive)
		u->table_frames += t->level == 2 ? BIT(ROOT_ORDER) : 1;
	if (t->level == 0)
		usage_of_leaves(t, exclusive, u);
	if (t->level != 1)
		return;
	FOR_EACH_BIT (t->counted, i) {
		u64 pte = t->pte[i];

		if (pte_is_table(pte))
			continue;
		*(exclusive && !block_is_shared(block_behind(pte)) ? &u->private_frames
		                                                   : &u->shared_frames) +=
			N_ENTRIES;
	}
}

void space_usage(struct space *s, struct space_usage *u)
{
	memset(u, 0, sizeof(*u));
	lock_acquire(&s->lock);
	visit(s->root, true, usage_of_table, u);
	lock_release(&s->lock);
}

static void dissolve_table(struct table *t, bool exclusive, void *arg)
{
	u64 *n_freed = arg;

	if (exclusive && t->level == 0 && t->block && !block_is_shared(t->block) &&
	    table_n_pieces(t) < t->block->n)
		*n_freed += table_dissolve(t);
}

/* A template keeps its blocks: they are what makes copies of its tables cheap. */
static void dissolve_space(struct space *s, void *arg)
{
	lock_acquire(&s->lock);
	if (!s->frozen)
		visit(s->root, true, dissolve_table, arg);
	lock_release(&s->lock);
}

/* ---- memory that comes back ---- */

void space_dissolve_soon(void)
{
	atomic_store(&dissolve_wanted, 1);
}

/* Housekeeping by any hart against an audit that must not see it half done.  Both sides store, then
 * load, sequentially consistent: the worker sees the hold-off, or the auditor sees the worker. */
static _Atomic u32 n_at_work, is_held_off;

static bool begin_work(void)
{
	atomic_fetch_add(&n_at_work, 1);
	if (atomic_load(&is_held_off) == 0)
		return true;
	atomic_fetch_sub(&n_at_work, 1);
	return false;
}

static void end_work(void)
{
	atomic_fetch_sub(&n_at_work, 1);
}

void space_hold_off_work(void)
{
	atomic_store(&is_held_off, 1);
	while (atomic_load(&n_at_work) != 0)
		hart_relax(); /* a piece of work is short, and waits for nobody */
}

void space_allow_work(void)
{
	atomic_store(&is_held_off, 0);
}

bool space_reap(u32 budget)
{
	bool more;

	if (!begin_work())
		return false;
	more = table_reap(budget);
	end_work();
	return more;
}

static u64 dissolve_all(void)
{
	u64 n_freed = 0;

	space_for_each(dissolve_space, &n_freed);
	return n_freed;
}

static bool idle_work(void)
{
	if (table_reap(4))
		return true;
	if (table_roots_ahead() || frame_zero_ahead())
		return true;
	if (atomic_exchange(&dissolve_wanted, 0))
		dissolve_all();
	return false;
}

bool space_idle_work(void)
{
	bool more;

	if (!begin_work())
		return false;
	more = idle_work();
	end_work();
	return more;
}

#define RELIEVE_TRIES 1000U

bool space_relieve(void)
{
	u64 before = frame_n_listed();

	for (u32 tries = 0; table_reap(64) && tries < RELIEVE_TRIES; tries++)
		hart_relax(); /* another hart has still to pass; it has been kicked */
	dissolve_all();
	table_roots_drain();
	frame_flush_cache();
	return frame_n_listed() > before;
}
