// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which pages of a space are its own: what a clone has written, address by address.
 *
 * A page is private if the space alone reaches its table, and that table alone its frame.  Each
 * look takes the space's lock for one run of pages only: whoever prints the answers holds nothing,
 * and the guest may go on writing in between.
 */
#include "mm/space.h"
#include "mm/table.h"

/* One answer, and how many bytes from the address on it holds for. */
struct span {
	u64 len;
	bool is_private;
};

static u64 bytes_left(gpa_t gpa, u64 slot_len)
{
	return slot_len - (gpa.v & (slot_len - 1));
}

static bool is_own_leaf(const struct table *t, u64 pte, u32 level)
{
	if (!(pte & PTE_V) || pte_kind(pte) == KIND_ZERO)
		return false;
	if (level == 1)
		return !block_is_shared(block_behind(pte));
	if (pte_kind(pte) == KIND_PIECE)
		return !block_is_shared(t->block);
	return frame_refs(frame_of(pte_hpa(pte))) == 1;
}

static struct span span_at(const struct space *s, gpa_t gpa)
{
	const struct table *t = s->root;

	for (u32 level = 2;; level--) {
		u64 slot_len = PAGE_SIZE << (9 * level);
		u64 pte = t->pte[pte_index(gpa, level)];

		if (table_is_shared(t))
			return (struct span){ bytes_left(gpa, slot_len), false };
		if (level == 0 || !(pte & PTE_V) || !pte_is_table(pte))
			return (struct span){ bytes_left(gpa, slot_len),
				              is_own_leaf(t, pte, level) };
		t = table_below(pte);
	}
}

static bool find_in(const struct space *s, const struct region *r, gpa_t from, struct region *run)
{
	u64 end = r->base.v + r->len, at = u64_max(from.v, r->base.v);
	struct span span;

	run->len = 0;
	for (; at < end; at += span.len) {
		span = span_at(s, GPA(at));
		if (span.is_private && run->len == 0)
			run->base = GPA(at);
		else if (run->len > 0 && (!span.is_private || IS_ALIGNED(at, BLOCK_SIZE)))
			break;
		if (span.is_private)
			run->len += span.len;
	}
	return run->len > 0;
}

bool space_next_private(struct space *s, gpa_t from, struct region *run)
{
	bool found = false;

	lock_acquire(&s->lock);
	for (u32 i = 0; i < s->n_regions && !found; i++)
		found = find_in(s, &s->region[i], from, run);
	lock_release(&s->lock);
	return found;
}
