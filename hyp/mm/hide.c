// SPDX-License-Identifier: BSD-2-Clause
/* Frames drawn at random, and counts that are dropped later: see hide.h. */
#include "mm/hide.h"

#include "arch/lock.h"
#include "mm/pte.h"

#define N_READY       256U /* 1 MiB to draw from */
#define N_WAITING     1024U
#define HOLDS_A_COUNT BIT(31)

static struct spinlock lock = LOCK_INIT(LOCK_POOL);
static u32 ready[N_READY];     /* lock: page numbers */
static u32 n_ready;            /* lock */
static u64 state;              /* lock: of the generator */
static u32 waiting[N_WAITING]; /* lock: page numbers, and whether the entry held a count */
static u32 n_waiting;          /* lock */

void hide_init(u64 seed)
{
	state = seed;
	n_ready = n_waiting = 0;
}

static struct frame *frame_at(u32 ppn)
{
	return frame_in(frame_map(), ppn);
}

/* Nobody sees what it gives but by where frames lie, modulo N_READY [Steele et al., SplitMix]. */
static u32 draw_locked(u32 n)
{
	u64 x = state += 0x9e3779b97f4a7c15UL;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9UL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebUL;
	return (u32)((x ^ x >> 31) % n);
}

bool hide_prepare(void)
{
	while (n_ready < N_READY) {
		struct frame *f = frame_is_short() ? NULL : frame_alloc(FRAME_FOR_GUEST);

		if (!f)
			return false;
		f->class = FRAME_POOL;
		lock_acquire(&lock);
		ready[n_ready++] = frame_ppn(f);
		lock_release(&lock);
	}
	return true;
}

struct frame *hide_draw(enum frame_use use)
{
	struct frame *f = frame_alloc(use);
	u32 *drawn, ppn;

	if (!f || use == FRAME_PROMISED)
		return f;
	ppn = frame_ppn(f);
	lock_acquire(&lock);
	if (n_ready) {
		drawn = &ready[draw_locked(n_ready)];
		f->class = FRAME_POOL;
		f = frame_at(*drawn);
		*drawn = ppn;
	}
	lock_release(&lock);
	return f;
}

void hide_put_later(u64 pte)
{
	u32 entry = (u32)pte_ppn(pte) | (u32)(pte_kind(pte) == KIND_LEAF) << 31;

	_Static_assert(HOLDS_A_COUNT == 1UL << 31, "");
	lock_acquire(&lock);
	while (n_waiting == N_WAITING) {
		lock_release(&lock);
		hide_settle();
		lock_acquire(&lock);
	}
	waiting[n_waiting++] = entry;
	lock_release(&lock);
}

void hide_settle(void)
{
	lock_acquire(&lock);
	while (n_waiting > 0) {
		u32 entry = waiting[--n_waiting];

		if (entry & HOLDS_A_COUNT)
			frame_put(frame_at(entry & ~(u32)HOLDS_A_COUNT));
	}
	lock_release(&lock);
}

void hide_drain(void)
{
	lock_acquire(&lock);
	while (n_ready > 0)
		frame_free(frame_at(ready[--n_ready]));
	lock_release(&lock);
}

u64 hide_n_frames(void)
{
	return n_ready;
}
