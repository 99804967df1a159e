// SPDX-License-Identifier: BSD-2-Clause
/*
 * A reset that keeps the tables.
 *
 * What a clone has written stands at entries that are marked in its own tables: armed,
 * or taken away by the merge scanner since.  If these are few, each gets back what the
 * template has at that place, and the page goes.  The tables stay: they name what the
 * template's name but for those entries, so a clone that is reset over and over derives
 * them once, and nobody has to free them.
 *
 * All of that holds only as long as nobody has shared these tables: a fork clears the
 * marks, and groups pages into blocks that the template does not know.  Then, and where
 * much was written, the root goes instead (space_reset).
 *
 * Nobody runs the space meanwhile, and a hart that looks in its next window finds a new
 * fence generation.  So pages may go at once, as after a break.
 */
#include "mm/space.h"

#include "mm/table.h"

/* More than that is better left to idle harts: the caller waits. */
#define PAGES_MAX  64U
#define TABLES_MAX 8U

struct rewind {
	u32 n_pages, n_tables;
};

/* What the template has in one region: a table's entries, or pieces of one block from `piece` on, or nothing. */
struct original {
	const u64 *pte;
	u64 piece, step;
};

/* `above`: the template's level-1 entry for the region that `t`, the clone's, maps.  A piece in either is one of the same
 * block, since `t` was derived or split from just that. */
static struct original original_of(const struct table *t, u64 above)
{
	if (!above)
		return (struct original){ 0 };
	if (pte_is_table(above)) {
		assert(table_below(above)->block == t->block);
		return (struct original){ .pte = table_below(above)->pte };
	}
	assert(block_behind(above) == t->block);
	return (struct original){ NULL,
		                  pte_make(frame_hpa(t->block->first), PTE_READ_ONLY | KIND_PIECE),
		                  PTE_NEXT_PAGE };
}

static inline bool is_leaf(u64 pte)
{
	return (pte & PTE_V) && pte_kind(pte) == KIND_LEAF;
}

static inline void rewind_page(struct table *t, u32 i, u64 pte)
{
	u64 old = t->pte[i];

	pte_write(&t->pte[i], pte);
	if (is_leaf(pte)) {
		frame_get(frame_in(frame_map(), pte_ppn(pte)));
		bit_set(t->counted, i);
	} else {
		bit_clear(t->counted, i);
	}
	if (is_leaf(old))
		frame_put(frame_in(frame_map(), pte_ppn(old)));
}

/* Marks go when all that they stand for has. */
static bool rewind_leaves(struct rewind *r, struct table *t, u64 above)
{
	struct original from = original_of(t, above);

	for (u32 word = 0; word < BITMAP_WORDS; word++) {
		u64 left = t->armed_at[word] | t->given[word];

		if (!left)
			continue;
		for (u32 i = word * 64; left; left >>= 1, i++) {
			if (!(left & 1))
				continue;
			if (r->n_pages++ == PAGES_MAX)
				return false;
			rewind_page(t, i, from.pte ? from.pte[i] : from.piece + i * from.step);
		}
		t->armed_at[word] = t->given[word] = 0;
	}
	t->armed = false;
	return true;
}

/* `from`: the template's level-1 table; NULL: it has none. */
static bool rewind_middle(struct rewind *r, struct table *t, const struct table *from)
{
	for (u32 word = 0; word < BITMAP_WORDS; word++) {
		u64 left = t->armed_at[word];

		for (u32 i = word * 64; left; left >>= 1, i++) {
			struct table *below;

			/* Not ours alone: there was no memory for a table. */
			if (!(left & 1) || !pte_is_table(t->pte[i]) ||
			    table_is_shared(below = table_below(t->pte[i])))
				continue;
			if (r->n_tables++ == TABLES_MAX ||
			    !rewind_leaves(r, below, from ? from->pte[i] : 0))
				return false;
		}
		t->armed_at[word] = 0;
	}
	t->armed = false;
	return true;
}

static bool rewind_root(struct rewind *r, struct table *root, const struct table *from)
{
	for (u32 i = root->lo; i < root->hi; i++) {
		struct table *below = root->pte[i] ? table_below(root->pte[i]) : NULL;

		if (!below || !below->armed || table_is_shared(below))
			continue;
		if (!rewind_middle(r, below, from->pte[i] ? table_below(from->pte[i]) : NULL))
			return false;
	}
	root->armed = false;
	return true;
}

bool space_rewind_locked(struct space *s, const struct space *template)
{
	struct rewind r = { 0 };
	bool done;

	if (!s->is_marked || s->use == FRAME_PROMISED || frame_is_short())
		return false;
	if (s->root == template->root)
		return true;
	s->recent = NULL; /* its path is not armed any more */
	done = rewind_root(&r, s->root, template->root);
	tlb_fence_all(&s->tlb, HPA(0)); /* pairs with the entries that were set back */
	return done;
}
