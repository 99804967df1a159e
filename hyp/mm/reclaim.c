// SPDX-License-Identifier: BSD-2-Clause
/*
 * Memory that comes back: the dissolving of blocks, and what is done before "out of
 * memory".
 *
 * A walk holds the space's lock.  What it meets is then either this space's alone, or
 * shared and so immutable for as long as the space's own path holds a count on it.
 */
#include "mm/space.h"

#include "mm/hide.h"
#include "mm/table.h"

static _Atomic u32 dissolve_wanted; /* some space has ended: blocks may have one user left */

/* ---- dissolving ---- */

/* Blocks at and below `t` that it alone uses; returns how many frames that has freed.  What is shared
 * is not looked at, so that a clone that has written nothing costs nothing. */
static u64 dissolve_below(struct table *t)
{
	u32 lo = table_lo(t), hi = table_hi(t);
	u64 n_freed = 0;

	if (table_is_shared(t))
		return 0;
	if (t->level == 0)
		return t->block && !block_is_shared(t->block) && table_n_pieces(t) < t->block->n
		               ? table_dissolve(t)
		               : 0;
	for (u32 i = lo; i < hi; i++)
		if (t->pte[i] && pte_is_table(t->pte[i]))
			n_freed += dissolve_below(table_below(t->pte[i]));
	return n_freed;
}

/* A template keeps its blocks: they are what makes copies of its tables cheap. */
static void dissolve_space(struct space *s, void *arg)
{
	lock_acquire(&s->lock);
	if (!s->frozen)
		*(u64 *)arg += dissolve_below(s->root);
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

bool space_begin_work(void)
{
	atomic_fetch_add(&n_at_work, 1);
	if (atomic_load(&is_held_off) == 0)
		return true;
	atomic_fetch_sub(&n_at_work, 1);
	return false;
}

void space_end_work(void)
{
	atomic_fetch_sub(&n_at_work, 1);
}

bool space_reap(u32 budget)
{
	bool more;

	if (!space_begin_work())
		return false;
	more = table_reap(budget);
	space_end_work();
	return more;
}

void space_hold_off_work(void)
{
	atomic_store(&is_held_off, 1);
	while (atomic_load(&n_at_work) != 0)
		hart_relax(); /* a piece of work is short, and waits for nobody */
	hide_settle();
}

#define REAP_BUDGET 1024U
#define REAP_TRIES  1000U

void space_settle_work(void)
{
	for (u32 tries = 0; space_reap(REAP_BUDGET) && tries < REAP_TRIES; tries++)
		hart_relax();
	space_hold_off_work();
}

void space_allow_work(void)
{
	atomic_store(&is_held_off, 0);
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
	if (root_ahead() || frame_zero_ahead())
		return true;
	if (atomic_exchange(&dissolve_wanted, 0))
		dissolve_all();
	hide_settle();
	return scan_idle();
}

bool space_idle_work(void)
{
	bool more;

	if (!space_begin_work())
		return false;
	more = idle_work();
	space_end_work();
	return more;
}

void space_give_back(void)
{
	if (!space_begin_work())
		return;
	root_drain();
	hide_settle();
	hide_drain();
	frame_flush_cache();
	space_end_work();
}

#define RELIEVE_TRIES 1000U

bool space_relieve(void)
{
	u64 before = frame_n_listed();

	for (u32 tries = 0; table_reap(64) && tries < RELIEVE_TRIES; tries++)
		hart_relax(); /* another hart has still to pass; it has been kicked */
	dissolve_all();
	root_drain();
	hide_settle();
	hide_drain();
	scan_relieve();
	frame_flush_cache();
	return frame_n_listed() > before;
}
