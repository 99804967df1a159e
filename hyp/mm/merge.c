// SPDX-License-Identifier: BSD-2-Clause
/*
 * One page after the other: is it equal to something, and how it becomes that.
 *
 * Cheapest test first: zero; for a leaf in a table over a template's block, equal to
 * the block's slot; else a sampled hash and the index.  The hash is kept in the frame's
 * record: as long as the page is not written, the next visit is a look-up.
 *
 * What matches is collected in a batch.  Then: all W bits of the batch are cleared; a fence;
 * each page is compared again, in full, as nobody can write it any more; its entry is
 * changed; another fence; the old frames are dropped.
 *
 * A machine that writes A and D bits of guest page tables without looking at W (`isolation: weak`) could do so between
 * the comparison and the change: there the pages are out of reach for that time, without U, and none of
 * these bits is lost.
 *
 * In secure mode (look_secretly()) every page that has not been used becomes a keeper's, and stays out of reach: see
 * hide.h.
 *
 * Nobody but the owner may change the entry of a private page, so the first of two
 * equal pages is not touched when the second is found.  The second becomes a keeper:
 * read-only, and named so in its count (frame.h).  The first finds it at its next visit.
 */
#include "mm/merge.h"

#include "arch/page.h"
#include "arch/phys.h"
#include "mm/hide.h"
#include "mm/index.h"
#include "mm/space.h"
#include "mm/table.h"
#include "mm/twin.h"

#define BATCH_MAX  32U
#define GROUP      8U
#define WAIT       4U  /* visits without a write before a page that broke is looked at again */
#define BROKEN_MAX 16U /* in one table at one visit: then the table rests */
#define REST       8U
#define HOT        256U /* pages of a table that are written between two visits */
#define HEAT_MAX   6U

enum becomes {
	BECOMES_ZERO,
	BECOMES_PIECE,
	BECOMES_KEEPER, /* its own frame, for others */
	BECOMES_MERGED, /* a keeper's frame: one count on it is already taken */
	BECOMES_HIDDEN, /* the same; the keeper is a copy of this page, and nobody else's yet */
};

struct change {
	u32 i;
	enum becomes becomes;
	struct frame *old, *new;
};

struct batch {
	struct merge_visit *v;
	struct merge_stats *st;
	u32 domain; /* in which pages merge; 0: in none */
	u64 taken;  /* bits that entries lose while their pages are compared */
	u64 left;   /* of PTE_U: what they have when all is done */
	struct index_view index;
	u32 n_unique;
	struct frame *slot; /* where the table's block has been followed to, if it is a list */
	u32 n;
	struct change change[BATCH_MAX];
};

static const u8 *bytes_of(const struct frame *f)
{
	return hpa_ptr(frame_hpa(f));
}

static bool is_zero(const struct frame *f)
{
	const u64 *word = (const void *)bytes_of(f);

	return (word[0] | word[77] | word[201] | word[366]) == 0 && page_is_zero(word);
}

/* ---- the first look ---- */

static void add(struct batch *b, u32 i, enum becomes becomes, struct frame *old, struct frame *new)
{
	b->change[b->n++] = (struct change){ i, becomes, old, new };
}

/* The frame in slot i of the table's block; NULL: there is none.  Entries are looked at in order, and so is
 * a listed block's list. */
static struct frame *slot_of(struct batch *b, u32 i)
{
	const struct block *block = b->v->t->block;

	if (!block)
		return NULL;
	if (block->is_contiguous)
		return &block->first[i];
	if (!b->slot)
		b->slot = block->first;
	while (b->slot->slot < i && b->slot->link.next)
		b->slot = b->slot->link.next;
	return b->slot->slot == i ? b->slot : NULL;
}

/* A private page that has not been written since the last visit.  Its record's hash says whether it
 * has been looked at since it was written; then only the index can have changed. */
static NOINLINE void judge(struct batch *b, u32 i, struct frame *f)
{
	const struct merge_policy *p = &b->v->s->merge;
	struct frame *twin = NULL;

	if (f->link.merge.wait && !b->v->cold) {
		f->link.merge.wait--;
		b->st->resting++;
		return;
	}
	if (f->link.merge.hash == 0 || f->link.merge.domain != p->domain) {
		if (is_zero(f)) {
			add(b, i, BECOMES_ZERO, f, NULL);
			return;
		}
		twin = slot_of(b, i);
		if (twin && twin_is_equal(f, twin)) {
			add(b, i, BECOMES_PIECE, f, twin);
			return;
		}
		f->link.merge = twin_note(f, p->domain);
	}
	if (p->dedup != DEDUP_MERGE)
		return;
	switch (twin_find(f, &twin)) {
	case TWIN_KEEPER: add(b, i, BECOMES_MERGED, f, twin); break;
	case TWIN_PRIVATE: /* a keeper from now on, so that the rest of the batch finds it */
		frame_make_keeper(f);
		add(b, i, BECOMES_KEEPER, f, f);
		break;
	case TWIN_NONE:
	case TWIN_SELF: b->st->unique++; break;
	}
}

/* Pages that were taken away and are private again have been written since: apply() takes them off armed_at,
 * and a break puts them there again. */
static void note_broken(struct table *t, struct merge_stats *st)
{
	struct frame_map map = frame_map();
	u64 written[BITMAP_WORDS];
	u32 n = 0, i;

	for (u32 k = 0; k < BITMAP_WORDS; k++)
		written[k] = t->given[k] & t->armed_at[k];
	FOR_EACH_BIT (written, i) {
		u64 pte = t->pte[i];
		struct frame *f = frame_in(map, pte_ppn(pte));

		if (pte_kind(pte) != KIND_LEAF || atomic_load(&f->count) != 1)
			continue; /* a keeper's count says so */
		bit_clear(t->given, i);
		f->link.merge.wait = WAIT;
		n++;
	}
	st->broken += n;
	if (n >= BROKEN_MAX)
		t->rest = REST;
}

/* A page whose D bit is cleared may cost the guest a trap at its next store.  So a table that is written all the time is
 * visited less and less: from the second time in a row on it rests, for 1, 3, 7, 15, 31 passes. */
static void note_heat(struct table *t)
{
	t->heat = t->n_dirty < HOT ? 0 : (u8)u64_min(t->heat + 1U, HEAT_MAX);
	if (t->heat > 1)
		t->rest = (u8)u64_max(t->rest, BIT(t->heat - 1) - 1);
}

/* Nobody writes: what has been written before counts as clean. */
static void forget_writes(struct table *t)
{
	for (u32 i = 0; i < N_ENTRIES; i++)
		if ((t->pte[i] & (PTE_W | PTE_D)) == (PTE_W | PTE_D)) {
			frame_in(frame_map(), pte_ppn(t->pte[i]))->link.merge.hash = 0;
			pte_write(&t->pte[i], t->pte[i] & ~PTE_D);
		}
}

/* Is all as the last visit has left it: in the index f, and no other page of its hash?  The common case by
 * far, from the second visit to a page on. */
static inline bool is_known_alone(const struct batch *b, const struct frame *f)
{
	u32 ppn = frame_ppn(f), hash = f->link.merge.hash;
	const struct index_bucket *bucket;
	bool is_listed = false;

	if (!b->index.chunk || !merge_note_is_for(&f->link.merge, b->domain))
		return false;
	bucket = index_at(b->index, hash);
#pragma GCC unroll 4
	for (u32 k = 0; k < INDEX_SLOTS; k++) {
		if (bucket->slot[k].hash != hash)
			continue;
		if (bucket->slot[k].ppn != ppn)
			return false;
		is_listed = true;
	}
	return is_listed;
}

static NOINLINE void look_at_clean(struct batch *b, const u64 *pte, struct frame *f)
{
	if (is_known_alone(b, f))
		b->n_unique++;
	else
		judge(b, (u32)(pte - b->v->t->pte), f);
}

/* Of interest: what this space alone reaches, or a keeper that nothing has been merged with yet. */
static inline bool is_alone(u64 pte, const struct frame *f)
{
	return (pte & (PTE_V | PTE_KIND)) == (PTE_V | KIND_LEAF) &&
	       atomic_load_explicit(&f->count, memory_order_relaxed) << 1 == 1U << 1;
}
_Static_assert(FRAME_MERGED == BIT(31), "the bit that is_alone() shifts out");

/* The record behind a level-0 leaf with W and D: as all flags are known they need not be masked off. */
static inline struct frame *frame_behind_dirty(struct frame_map map, u64 pte)
{
	u32 shift = PTE_PPN_SHIFT - 4;

	_Static_assert(sizeof(struct frame) == 1 << 4, "");
	return (struct frame *)(map.origin + (pte >> shift) - /* NOLINT: index */
	                        ((PTE_READ_ONLY | PTE_W) >> shift));
}

/* One entry; returns whether D was set.  Where D is set the machine does not write the entry: a plain store
 * will do. */
static inline bool look_at(struct batch *b, u64 *pte, struct frame_map map)
{
	u64 old = *pte;

	if ((old & (PTE_W | PTE_D)) == (PTE_W | PTE_D)) {
		*pte = old & ~PTE_D;
		frame_behind_dirty(map, old)->link.merge.hash = 0;
		return true;
	}
	if (is_alone(old, frame_in(map, pte_ppn(old))))
		look_at_clean(b, pte, frame_in(map, pte_ppn(old)));
	return false;
}

/* The loop that all pages of all private tables go through: entries in groups, so that its own part is small.  What
 * is `settled`, a byte for each group, has been given up and not been written since: there is nothing to see.  NULL:
 * nothing has. */
static inline __attribute__((always_inline)) bool look_around(struct batch *b, const u8 *settled)
{
	struct frame_map map = frame_map();
	u64 *first = b->v->t->pte, *pte = first + b->v->i;
	u64 n_dirty = 0;

	for (; pte != first + N_ENTRIES && b->n <= BATCH_MAX - GROUP; pte += GROUP) {
		u32 skip = settled ? settled[(u64)(pte - first) / GROUP] : 0;

		if (settled && skip == UINT8_MAX)
			continue;
#pragma GCC unroll 8
		for (u32 k = 0; k < GROUP; k++)
			if (!settled || !(skip >> k & 1))
				n_dirty += look_at(b, &pte[k], map);
	}
	b->st->visited += (u32)(pte - first) - b->v->i;
	b->st->dirty += n_dirty;
	b->v->i = (u32)(pte - first);
	return n_dirty != 0;
}

/* Fills the batch; returns whether any D bit was cleared.  note_broken() has taken the marks of what has been written
 * since. */
static bool look(struct batch *b)
{
	const struct table *t = b->v->t;

	return t->has_given ? look_around(b, (const u8 *)t->given) : look_around(b, NULL);
}

/* ---- the first look, in secure mode ---- */

/* `f`, drawn at random, becomes a keeper that holds the same as `page`. */
static void make_copy(struct frame *f, const struct frame *page, struct merge_note n)
{
	page_copy(hpa_ptr(frame_hpa(f)), bytes_of(page));
	f->class = FRAME_COUNTED;
	f->link.merge = n;
	atomic_store_explicit(&f->count, FRAME_MERGED | 1, memory_order_release);
	if (n.hash)
		index_put(n.hash, f);
}

/* A page that has not even been read since the last visit.  It becomes something hidden, whether or not there is a twin:
 * so nothing is done that needs no frame, either. */
static void judge_secretly(struct batch *b, u32 i, struct frame *f)
{
	struct frame *drawn, *twin;
	struct merge_note n = { 0 };

	if (f->link.merge.wait) {
		f->link.merge.wait--;
		b->st->resting++;
		return;
	}
	if (b->domain && !index_bucket(0, 0))
		return;           /* what is hidden now would never be found */
	if (frame_is_keeper(f)) { /* merged before the mode was switched on */
		add(b, i, BECOMES_KEEPER, f, f);
		return;
	}
	drawn = hide_draw(FRAME_FOR_GUEST);
	if (!drawn)
		return;
	twin = slot_of(b, i);
	if (is_zero(f)) {
		add(b, i, BECOMES_ZERO, f, NULL);
	} else if (twin && twin_is_equal(f, twin)) {
		add(b, i, BECOMES_PIECE, f, twin);
	} else {
		twin = b->domain ? twin_find_keeper(f, b->domain, &n) : NULL;
		if (!twin)
			make_copy(drawn, f, n);
		add(b, i, twin ? BECOMES_MERGED : BECOMES_HIDDEN, f, twin ? twin : drawn);
		if (!twin)
			return;
	}
	frame_free(drawn);
}

/* As look_at(); here A says who is of interest, and what is hidden already is not. */
static bool look_at_secretly(struct batch *b, u32 i, struct frame_map map)
{
	u64 *pte = &b->v->t->pte[i], old = *pte;
	struct frame *f = frame_in(map, pte_ppn(old));

	if ((old & (PTE_V | PTE_U | PTE_KIND)) != (PTE_V | PTE_U | KIND_LEAF) ||
	    (frame_refs(f) != 1 && !frame_is_keeper(f)))
		return false;
	if (!(old & PTE_A)) {
		judge_secretly(b, i, f);
		return false;
	}
	__atomic_fetch_and(pte, ~(PTE_A | PTE_D), __ATOMIC_RELAXED);
	if (!frame_is_keeper(f))
		f->link.merge.hash = 0;
	return true;
}

/* As look(), by the same groups: the mode may be another when the next batch begins. */
static NOINLINE bool look_secretly(struct batch *b)
{
	struct frame_map map = frame_map();
	u32 first = b->v->i, i = first, n_used = 0;

	for (; i < N_ENTRIES && b->n <= BATCH_MAX - GROUP; i += GROUP)
		for (u32 k = 0; k < GROUP; k++)
			n_used += look_at_secretly(b, i + k, map);
	b->st->visited += i - first;
	b->st->dirty += n_used;
	b->v->i = i;
	return n_used != 0;
}

/* ---- the change ---- */

static bool is_still_equal(const struct change *c)
{
	switch (c->becomes) {
	case BECOMES_ZERO: return page_is_zero(bytes_of(c->old));
	case BECOMES_PIECE:
	case BECOMES_MERGED:
	case BECOMES_HIDDEN: return twin_is_equal(c->old, c->new);
	case BECOMES_KEEPER: return true; /* whatever it holds now, it holds for good */
	}
	return false;
}

static void protect(struct batch *b)
{
	for (u32 k = 0; k < b->n; k++)
		__atomic_fetch_and(&b->v->t->pte[b->change[k].i], ~b->taken, __ATOMIC_RELAXED);
}

/* The page keeps its frame. */
static void leave(struct batch *b, const struct change *c, u64 u)
{
	__atomic_fetch_or(&b->v->t->pte[c->i], b->taken & u, __ATOMIC_RELAXED);
}

/* It gets what it was found equal to. */
static void become(struct batch *b, const struct change *c, u64 entry)
{
	struct table *t = b->v->t;

	table_set(t, c->i, (entry & ~PTE_U) | b->left);
	bit_set(t->given, c->i);
	t->has_given = true;
	bit_clear(t->armed_at, c->i);
}

/* The page is read-only everywhere, or hidden.  Returns the frame that it has given up, NULL: none. */
static struct frame *apply(struct batch *b, const struct change *c)
{
	bool has_keeper = c->becomes == BECOMES_MERGED || c->becomes == BECOMES_HIDDEN;

	if (!is_still_equal(c)) {
		c->old->link.merge.hash = 0;
		leave(b, c, PTE_U);
		b->st->raced++;
		return has_keeper ? c->new : NULL; /* its count goes back */
	}
	switch (c->becomes) {
	case BECOMES_ZERO:
		become(b, c, space_zero_entry());
		b->st->zero++;
		break;
	case BECOMES_PIECE:
		become(b, c, pte_make(frame_hpa(c->new), PTE_READ_ONLY | KIND_PIECE));
		b->st->back++;
		break;
	case BECOMES_MERGED:
	case BECOMES_HIDDEN:
		become(b, c, pte_make(frame_hpa(c->new), PTE_READ_ONLY | KIND_LEAF));
		b->v->t->has_keepers = true;
		*(c->becomes == BECOMES_MERGED ? &b->st->merged : &b->st->hidden) += 1;
		break;
	case BECOMES_KEEPER:
		leave(b, c, b->left);
		b->v->t->has_keepers = true;
		b->st->kept++;
		return NULL;
	}
	return c->old;
}

static void change(struct batch *b)
{
	struct tlb *tlb = &b->v->s->tlb;
	struct frame *given_up[BATCH_MAX];

	protect(b);
	tlb_fence_all(tlb, HPA(0)); /* pairs with protect(), and the D bits that look() cleared */
	for (u32 k = 0; k < b->n; k++)
		given_up[k] = apply(b, &b->change[k]);
	if (!(b->taken & PTE_U))
		tlb_fence_all(tlb, HPA(0)); /* nobody reads a frame that is given up */
	for (u32 k = 0; k < b->n; k++)
		if (given_up[k])
			frame_put(given_up[k]);
}

/* The index has been given up, and is new: what has been merged is to be found again. */
static void list_keepers(const struct table *t, u32 domain)
{
	for (u32 i = 0; i < N_ENTRIES; i++) {
		u64 pte = t->pte[i];
		struct frame *f = frame_in(frame_map(), pte_ppn(pte));

		if (pte & PTE_V && pte_kind(pte) == KIND_LEAF && frame_is_keeper(f) &&
		    f->link.merge.domain == domain)
			twin_list_keeper(f);
	}
}

bool merge_table(struct merge_visit *v, struct merge_stats *st)
{
	u64 n_dirty_before = st->dirty;
	struct batch b;
	bool was_dirty = v->cold && v->i == 0;

	assert(v->i % GROUP == 0);
	b.v = v;
	b.st = st;
	b.domain = v->s->merge.dedup == DEDUP_MERGE ? v->s->merge.domain : 0;
	b.left = v->s->merge.is_secure ? 0 : PTE_U;
	b.index = index_view();
	b.n_unique = 0;
	b.taken = b.left && machine.isolation_strong ? PTE_W : PTE_W | PTE_U;
	b.slot = NULL;
	b.n = 0;

	if (v->i == 0) {
		if (v->t->has_given)
			note_broken(v->t, st);
		if (b.domain && index_is_new())
			list_keepers(v->t, b.domain);
		if (v->t->rest && !v->cold) {
			v->t->rest--;
			st->resting += N_ENTRIES;
			return false;
		}
		v->t->n_dirty = 0;
	}
	if (was_dirty)
		forget_writes(v->t);
	was_dirty |= b.left ? look(&b) : look_secretly(&b);
	st->unique += b.n_unique;
	if (b.n)
		change(&b);
	else if (was_dirty)
		tlb_fence_all(&v->s->tlb, HPA(0)); /* or the machine would not set D again */
	v->t->n_dirty = (u16)(v->t->n_dirty + st->dirty - n_dirty_before);
	if (v->i == N_ENTRIES)
		note_heat(v->t);
	return v->i < N_ENTRIES;
}

/* ---- blocks ---- */

#define BLOCK_SAMPLES 16U
#define BLOCK_WORTH   4U /* of these */

bool merge_wants_split(const struct space *s, struct frame *first)
{
	const struct merge_policy *p = &s->merge;
	u32 n = 0;

	for (u32 k = 0; k < BLOCK_SAMPLES; k++) {
		/* Not the first slot: its record names the block. */
		struct frame *f = &first[k * (N_ENTRIES / BLOCK_SAMPLES) + 1 + k], *keeper;
		enum twin twin = TWIN_NONE;

		if (is_zero(f)) {
			n++;
			continue;
		}
		if (p->dedup != DEDUP_MERGE || !index_bucket(0, 0))
			continue;
		f->link.merge = twin_note(f, p->domain);
		twin = twin_find(f, &keeper);
		if (twin == TWIN_KEEPER)
			frame_put(keeper);
		n += twin == TWIN_KEEPER || twin == TWIN_PRIVATE;
	}
	return n >= BLOCK_WORTH;
}
