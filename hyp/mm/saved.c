// SPDX-License-Identifier: BSD-2-Clause
/*
 * What merging saves now: an entry that the scanner has changed, and that nobody has written since,
 * stands for one frame.  Where the keeper's own first entry has gone, one of those that were given to it
 * keeps the frame alive, and saves nothing.  Entries of derived tables are copies, which would
 * share without the scanner, too.
 */
#include "mm/merge.h"

#include "mm/table.h"

#define HAS_OWN_ENTRY 1

static void clear(struct frame *f, void *arg)
{
	(void)arg;
	if (f->class == FRAME_COUNTED)
		f->slot = 0;
}

static void add_entry(const struct table *t, u32 i, struct merge_saved *m)
{
	bool is_given = bit_test(t->given, i);
	u64 pte = t->pte[i];

	if (!(pte & PTE_V) || pte & PTE_W)
		return;
	if (pte_kind(pte) == KIND_ZERO)
		m->zero += is_given;
	else if (pte_kind(pte) == KIND_PIECE)
		m->back += is_given;
	else if (!frame_is_keeper(frame_of(pte_hpa(pte))))
		return;
	else if (is_given)
		m->merged++;
	else
		frame_of(pte_hpa(pte))->slot = HAS_OWN_ENTRY;
}

static void add_table(struct frame *f, void *arg)
{
	const struct table *t = f->class == FRAME_TABLE ? f->link.table : NULL;

	if (!t || t->level != 0 || atomic_load(&t->count) == 0)
		return;
	for (u32 i = 0; i < N_ENTRIES; i++)
		add_entry(t, i, arg);
}

static void take_off_keepers(struct frame *f, void *arg)
{
	struct merge_saved *m = arg;

	if (f->class == FRAME_COUNTED && frame_is_keeper(f) && f->slot != HAS_OWN_ENTRY &&
	    m->merged > 0)
		m->merged--;
}

void merge_saved(struct merge_saved *m)
{
	*m = (struct merge_saved){ 0 };
	frame_for_each(clear, NULL);
	frame_for_each(add_table, m);
	frame_for_each(take_off_keepers, m);
}
