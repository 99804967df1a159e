// SPDX-License-Identifier: BSD-2-Clause
/*
 * A reset that keeps the tables.
 *
 * What a clone has written stands at entries that are marked in its own tables: armed,
 * or taken away by the merge scanner since.  If these are few (the space's breaks tell), each
 * gets back what the template has at that place, and the page goes.  The tables stay: they name what the
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

/* More than that is better left to idle harts, as the caller waits; and a clone that is reset is not to keep many
 * tables: the root, a level-1 table, and eight more. */
#define PAGES_MAX  64U
#define TABLES_MAX 10U

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

static inline void rewind_page(struct table *t, u32 i, u64 pte, struct frame_run *run)
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
		frame_put_into(run, frame_in(frame_map(), pte_ppn(old)));
}

/* Marks go with what they stand for. */
static void rewind_leaves(struct table *t, u64 above, struct frame_run *run)
{
	struct original from = original_of(t, above);

	for (u32 word = 0; word < BITMAP_WORDS; word++) {
		u64 marked = t->armed_at[word] | t->given[word];
		u32 i;

		if (!marked)
			continue;
		t->armed_at[word] = t->given[word] = 0;
		FOR_EACH_BIT_OF (marked, word * 64, i)
			rewind_page(t, i, from.pte ? from.pte[i] : from.piece + i * from.step, run);
	}
	t->armed = false;
}

/* `from`: the template's level-1 table; NULL: it has none. */
static void rewind_middle(struct table *t, const struct table *from, struct frame_run *run)
{
	u32 i;

	FOR_EACH_BIT (t->armed_at, i) {
		struct table *below = pte_is_table(t->pte[i]) ? table_below(t->pte[i]) : NULL;

		/* Shared: there was no memory for a table of our own. */
		if (below && !table_is_shared(below))
			rewind_leaves(below, from ? from->pte[i] : 0, run);
	}
	ZERO_WORDS(t->armed_at);
	t->armed = false;
}

static void rewind_root(struct table *root, const struct table *from)
{
	struct frame_run run = { 0 };

	for (u32 i = root->lo; i < root->hi; i++) {
		struct table *below = root->pte[i] ? table_below(root->pte[i]) : NULL;

		if (below && below->armed && !table_is_shared(below))
			rewind_middle(below, from->pte[i] ? table_below(from->pte[i]) : NULL, &run);
	}
	root->armed = false;
	frame_free_run(&run);
}

/* Each page that was written, and each path that was armed, has had its break. */
static u64 n_breaks(const struct space *s)
{
	return s->breaks[BREAK_ZERO_FILL] + s->breaks[BREAK_ZERO_MAP] + s->breaks[BREAK_COPY] +
	       s->breaks[BREAK_OWN];
}

static bool is_possible(const struct space *s, u64 n_pages)
{
	if (!s->is_marked)
		return false;
	if (s->use == FRAME_PROMISED)
		return false; /* what it is promised begins with a root */
	if (n_pages > PAGES_MAX)
		return false;
	if (s->n_tables > TABLES_MAX)
		return false;
	return !frame_is_short();
}

bool space_rewind_locked(struct space *s, const struct space *template)
{
	u64 n_before = s->n_breaks_before;

	s->n_breaks_before = n_breaks(s);
	if (!is_possible(s, s->n_breaks_before - n_before))
		return false;
	if (s->root == template->root)
		return true;
	s->recent = NULL; /* its path is not armed any more */
	rewind_root(s->root, template->root);
	tlb_fence_all(&s->tlb, HPA(0)); /* pairs with the entries that were set back */
	return true;
}
