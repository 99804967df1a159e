// SPDX-License-Identifier: BSD-2-Clause
#include "mm/slot.h"

#include <string.h>
#include "arch/page.h"
#include "arch/phys.h"
#include "mm/table.h"

#define GIB_SIZE (1UL << 30) /* what one entry of a root maps */

u32 slot_count(const u64 *pages)
{
	u32 n = 0;

	for (u32 i = 0; i < N_ENTRIES; i++)
		n += slot_has(pages, i);
	return n;
}

static void note_page(struct slot *slot, u32 i, const void *page)
{
	bit_set(page_is_zero(page) ? slot->zero : slot->full, i);
}

static void look_at_block(struct slot *slot, u64 pte)
{
	const u8 *bytes = hpa_ptr(pte_hpa(pte));

	slot->is_block = true;
	for (u32 i = 0; i < N_ENTRIES; i++)
		note_page(slot, i, bytes + i * PAGE_SIZE);
	memset(slot->zero, 0, sizeof(slot->zero));
}

static void look_at_pages(struct slot *slot, const struct table *t)
{
	for (u32 i = 0; i < N_ENTRIES; i++) {
		if (!(t->pte[i] & PTE_V))
			continue;
		if (pte_kind(t->pte[i]) == KIND_ZERO)
			bit_set(slot->zero, i);
		else
			note_page(slot, i, hpa_ptr(pte_hpa(t->pte[i])));
	}
}

static bool is_empty(const struct slot *slot)
{
	u64 any = slot->is_block;

	for (u32 word = 0; word < SLOT_WORDS; word++)
		any |= slot->full[word] | slot->zero[word];
	return any == 0;
}

/* The slot at gpa.  Returns how far from there the next one that may have something is. */
static u64 look(const struct space *s, gpa_t gpa, struct slot *slot)
{
	u64 pte = s->root->pte[pte_index(gpa, 2)];

	*slot = (struct slot){ .gpa = gpa };
	if (!(pte & PTE_V))
		return GIB_SIZE - (gpa.v & (GIB_SIZE - 1));
	pte = table_below(pte)->pte[pte_index(gpa, 1)];
	if (pte_is_table(pte))
		look_at_pages(slot, table_below(pte));
	else if (pte & PTE_V)
		look_at_block(slot, pte);
	return BLOCK_SIZE;
}

static bool find_in(const struct space *s, const struct region *r, gpa_t from, struct slot *slot)
{
	u64 end = r->base.v + r->len, at = u64_max(from.v, r->base.v);

	while (at < end) {
		u64 step = look(s, GPA(at), slot);

		if (!is_empty(slot))
			return true;
		at += step;
	}
	return false;
}

bool slot_next(struct space *s, gpa_t from, struct slot *slot)
{
	bool found = false;

	lock_acquire(&s->lock);
	for (u32 i = 0; i < s->n_regions && !found; i++)
		found = find_in(s, &s->region[i], from, slot);
	lock_release(&s->lock);
	return found;
}
