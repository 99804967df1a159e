// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which pages of a space are its own: what a clone has written, address by address.
 *
 * A page is private if the space alone reaches its table, and that table alone its frame.  Each
 * look takes the space's lock for 2 MiB at a time: whoever prints the answers holds nothing,
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

/* From `at` on, and no further than to the end of its 2 MiB unless one entry goes beyond.  Returns where it stopped: a run
 * that has been found ends there, or before. */
static u64 find_in(struct space *s, u64 at, struct region *run)
{
	struct span span;

	lock_acquire(&s->lock);
	do {
		span = span_at(s, GPA(at));
		if (span.is_private && run->len == 0)
			run->base = GPA(at);
		else if (run->len > 0 && !span.is_private)
			break;
		if (span.is_private)
			run->len += span.len;
		at += span.len;
	} while (!IS_ALIGNED(at, BLOCK_SIZE));
	lock_release(&s->lock);
	return at;
}

bool space_next_private(struct space *s, gpa_t from, struct region *run)
{
	run->len = 0;
	for (u32 i = 0; i < s->n_regions && run->len == 0; i++) {
		const struct region *r = &s->region[i];
		u64 at = u64_max(from.v, r->base.v);

		while (at < r->base.v + r->len && run->len == 0)
			at = find_in(s, at, run);
	}
	return run->len > 0;
}
