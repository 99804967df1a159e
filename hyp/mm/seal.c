// SPDX-License-Identifier: BSD-2-Clause
/*
 * Freeze and fork: all that a VM has written since the last one loses its W.
 *
 * What was written is found by the bitmap armed_at.  A level-0 table that has no block is
 * sealed on the way: the frames that it alone holds become the slots of a new listed block,
 * so that later copies of it count one block instead of each frame.  The guest stands
 * still meanwhile: instructions per page are what counts here.
 */
#include "mm/table.h"

#include "lib/assert.h"

/* The frame behind `*pte`, which holds `was`, becomes slot `slot` of a listed block, behind `tail`; the
 * entry becomes `now`.  Plain stores: nobody walks a table that is being sealed.  Returns the new tail. */
static inline struct frame **seal_entry(u64 *pte, u64 was, u64 now, struct frame_map map, u32 slot,
                                        struct frame **tail)
{
	struct frame *f = frame_in(map, was >> PTE_PPN_SHIFT);

	frame_set_slot(f, slot);
	*tail = f;
	*pte = now;
	return &f->link.next;
}

/* The same for a leaf with W, in one addition. */
static inline struct frame **seal_armed(u64 *pte, u64 was, struct frame_map map, u32 slot,
                                        struct frame **tail)
{
	return seal_entry(pte, was, was + KIND_PIECE - KIND_LEAF - PTE_W, map, slot, tail);
}

/* As seal_word(), up to where an entry has no W: what has W is ours alone, nothing need be counted.
 * Entries are read before any is written, since gcc cannot know that a frame's record is no entry.
 * Returns how many entries are done. */
static u32 seal_writable(u64 *pte, u32 slot, struct frame ***tail)
{
	struct frame_map map = frame_map();
	struct frame **end = *tail;
	u32 n = 0;

	for (; n < 64; n += 4, pte += 4, slot += 4) {
		u64 a = pte[0], b = pte[1], c = pte[2], d = pte[3];

		if (!(a & b & c & d & PTE_W))
			break;
		end = seal_armed(&pte[0], a, map, slot, end);
		end = seal_armed(&pte[1], b, map, slot + 1, end);
		end = seal_armed(&pte[2], c, map, slot + 2, end);
		end = seal_armed(&pte[3], d, map, slot + 3, end);
	}
	*tail = end;
	return n;
}

/* Those of the 64 counted frames of a word that this table alone holds become slots of `b`: chained
 * behind `tail`.  Returns the new tail. */
static struct frame **seal_word(struct table *t, u32 word, struct block *b, struct frame **tail)
{
	struct frame_map map = frame_map();
	u64 counted = t->counted[word], shared = 0;
	u32 n = counted == UINT64_MAX ? seal_writable(&t->pte[word * 64], word * 64, &tail) : 0;

	b->n = (u16)(b->n + n);
	counted = n < 64 ? counted >> n : 0;
	for (u32 i = word * 64 + n; counted; counted >>= 1, i++) {
		u64 *pte = &t->pte[i];
		struct frame *f = frame_in(map, *pte >> PTE_PPN_SHIFT);

		if (!(counted & 1))
			continue;
		if (atomic_load_explicit(&f->count, memory_order_relaxed) > 1) {
			shared |= BIT(i % 64);
			continue;
		}
		tail = seal_entry(pte, *pte, (*pte & ~PTE_W) | KIND_PIECE, map, i, tail);
		b->n++;
	}
	t->counted[word] = shared; /* these have no W to lose */
	return tail;
}

/* Frames that this table alone holds become pieces of a new listed block: copies of the table then
 * count them as one.  False: no memory for the record, nothing has changed. */
static bool table_seal(struct table *t)
{
	struct block *b = block_new_listed(NULL, 0);
	struct frame **tail;

	if (!b)
		return false;
	tail = &b->first;
	for (u32 word = 0; word < BITMAP_WORDS; word++)
		tail = seal_word(t, word, b, tail);
	/* Acquire: pairs with frame_put() of former sharers, for all the counts looked at. */
	atomic_thread_fence(memory_order_acquire);
	*tail = NULL;
	if (b->n)
		t->block = b;
	else
		block_put(b);
	return true;
}

/* W of the marked entries of 64.  Where much is written, whole words are marked. */
static void disarm_word(u64 *pte, u64 marked)
{
	if (marked == UINT64_MAX) {
		for (u32 k = 0; k < 64; k += 4) {
			pte[k] &= ~PTE_W;
			pte[k + 1] &= ~PTE_W;
			pte[k + 2] &= ~PTE_W;
			pte[k + 3] &= ~PTE_W;
		}
		return;
	}
	for (; marked; marked >>= 1, pte++)
		if (marked & 1)
			*pte &= ~PTE_W;
}

static void disarm_leaves(struct table *t)
{
	for (u32 word = 0; word < BITMAP_WORDS; word++)
		disarm_word(&t->pte[word * 64], t->armed_at[word]);
}

static void disarm_entry(struct table *t, u32 i)
{
	u64 pte = t->pte[i];

	if (pte_is_table(pte))
		table_disarm(table_below(pte));
	else
		t->pte[i] = pte & ~PTE_W;
}

void table_disarm(struct table *t)
{
	u32 i;

	if (!t->armed)
		return;
	assert(!table_is_shared(t)); /* an armed table below an armed one is ours alone */
	t->armed = false;
	if (t->level == 2) {
		for (i = t->lo; i < t->hi; i++)
			if (t->pte[i])
				disarm_entry(t, i);
		return;
	}
	if (t->level == 1) {
		FOR_EACH_BIT (t->armed_at, i)
			disarm_entry(t, i);
	} else if (t->block || !table_seal(t)) {
		/* Without a block all that is writable is counted, and sealing sees to it. */
		disarm_leaves(t);
	}
	ZERO_WORDS(t->armed_at);
}
