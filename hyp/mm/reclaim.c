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

#define DISSOLVE_BATCH 16U /* spaces; most have nothing of their own, and are one look */

static struct spinlock dissolve_lock = LOCK_INIT(LOCK_DISSOLVE);
static _Atomic u32 dissolve_wanted; /* some space has ended: blocks may have one user left */
static bool is_dissolving;          /* dissolve_lock: the cursor is on its way */

/* ---- dissolving ---- */

/* Blocks at and below `t` that it alone uses.  What is shared is not looked at, so that a clone that has
 * written nothing costs nothing. */
static void dissolve_below(struct table *t)
{
	u32 lo = table_lo(t), hi = table_hi(t);

	if (table_is_shared(t))
		return;
	if (t->level == 0) {
		if (t->block && !block_is_shared(t->block) && table_n_pieces(t) < t->block->n)
			(void)table_dissolve(t);
		return;
	}
	for (u32 i = lo; i < hi; i++)
		if (t->pte[i] && pte_is_table(t->pte[i]))
			dissolve_below(table_below(t->pte[i]));
}

/* The next space of the list; false: that was all.  A template keeps its blocks: they are what makes copies of its
 * tables cheap. */
static bool dissolve_next(void)
{
	struct space *s = space_cursor_get(CURSOR_DISSOLVE);

	if (!s)
		return false;
	lock_acquire(&s->lock);
	if (!s->frozen)
		dissolve_below(s->root);
	lock_release(&s->lock);
	return space_cursor_put(CURSOR_DISSOLVE, true);
}

static void dissolve_all(void)
{
	lock_acquire(&dissolve_lock);
	space_cursor_rewind(CURSOR_DISSOLVE);
	while (dissolve_next())
		continue;
	is_dissolving = false;
	lock_release(&dissolve_lock);
}

/* A few spaces, if some space has let go of tables since all were looked at; returns whether there are more. */
static bool dissolve_some(void)
{
	bool more;

	if ((!is_dissolving && !atomic_load(&dissolve_wanted)) || !lock_try(&dissolve_lock))
		return false;
	if (!is_dissolving && atomic_exchange(&dissolve_wanted, 0)) {
		space_cursor_rewind(CURSOR_DISSOLVE);
		is_dissolving = true;
	}
	for (u32 n = 0; n < DISSOLVE_BATCH && is_dissolving; n++)
		is_dissolving = dissolve_next();
	more = is_dissolving || atomic_load(&dissolve_wanted);
	lock_release(&dissolve_lock);
	return more;
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

bool space_reap_is_wanted(void)
{
	return table_reap_is_wanted();
}

static bool reap_more(u32 budget)
{
	(void)table_reap(budget);
	return table_reap_is_wanted();
}

bool space_reap(u32 budget)
{
	bool more;

	if (!space_begin_work())
		return false;
	more = reap_more(budget);
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

static bool idle_work(void)
{
	if (table_reap(4) > 0)
		return true;
	if (root_ahead() || frame_zero_ahead())
		return true;
	if (dissolve_some())
		return true;
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

	for (u32 tries = 0; reap_more(64) && tries < RELIEVE_TRIES; tries++)
		hart_relax(); /* another hart has still to pass; it has been kicked */
	dissolve_all();
	root_drain();
	hide_settle();
	hide_drain();
	scan_relieve();
	frame_flush_cache();
	return frame_n_listed() > before;
}
