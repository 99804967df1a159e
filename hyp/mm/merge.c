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
 * Nobody but the owner may change the entry of a private page, so the first of two
 * equal pages is not touched when the second is found.  The second becomes a keeper:
 * read-only, and named so in its count (frame.h).  The first finds it at its next visit.
 */
#include "mm/merge.h"

#include <string.h>
#include "arch/page.h"
#include "arch/phys.h"
#include "mm/index.h"
#include "mm/space.h"
#include "mm/table.h"

#define N_SAMPLES  32U
#define BATCH_MAX  32U
#define WAIT       4U  /* visits without a write before a page that broke is looked at again */
#define BROKEN_MAX 16U /* in one table at one visit: then the table rests */
#define REST       8U

enum becomes {
	BECOMES_ZERO,
	BECOMES_PIECE,
	BECOMES_KEEPER, /* its own frame, for others */
	BECOMES_MERGED, /* a keeper's frame: one count on it is already taken */
};

struct change {
	u32 i;
	enum becomes becomes;
	struct frame *old, *new;
};

struct batch {
	struct merge_visit *v;
	struct merge_stats *st;
	struct frame *slot; /* where the table's block has been followed to, if it is a list */
	u32 n;
	struct change change[BATCH_MAX];
};

static u64 seed;
static u32 hash_mask = UINT32_MAX;
static u32 sampled_domain;    /* the domain that `sample` is for */
static u16 sample[N_SAMPLES]; /* byte offsets into a page */

void merge_init(u64 s)
{
	seed = s | 1;
	sampled_domain = 0;
	hash_mask = UINT32_MAX;
}

void merge_weaken_hash(u32 mask)
{
	hash_mask = mask;
}

static u64 mix(u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdUL;
	return x ^ x >> 33;
}

/* Who knows the positions can make pages collide, but not pages of other domains. */
static void draw_samples(u32 domain)
{
	u64 x = seed ^ (u64)domain << 32;

	for (u32 k = 0; k < N_SAMPLES; k++) {
		x = mix(x + k + 1);
		sample[k] = (u16)((x & (PAGE_SIZE / 8 / N_SAMPLES - 1)) * 8 +
		                  k * (PAGE_SIZE / N_SAMPLES));
	}
	sampled_domain = domain;
}

static const u8 *bytes_of(const struct frame *f)
{
	return hpa_ptr(frame_hpa(f));
}

static u32 hash_of(const struct frame *f, u32 domain)
{
	const u8 *page = bytes_of(f);
	u64 h = seed;

	if (sampled_domain != domain)
		draw_samples(domain);
	for (u32 k = 0; k < N_SAMPLES; k++)
		h = (h ^ *(const u64 *)(const void *)(page + sample[k])) * 0x9e3779b97f4a7c15UL;
	return ((u32)(h >> 32) & hash_mask) | 1;
}

static bool is_zero(const struct frame *f)
{
	const u64 *word = (const void *)bytes_of(f);

	return (word[0] | word[77] | word[201] | word[366]) == 0 && page_is_zero(word);
}

static bool is_equal(const struct frame *a, const struct frame *b)
{
	return page_is_equal(bytes_of(a), bytes_of(b));
}

/* ---- the index ---- */

/* How often one page may be mapped: far from the count's end, whatever derived tables add. */
#define KEEPER_REFS_MAX BIT(24)

/* One more count on a keeper.  False: it is none any more. */
static bool get_keeper(struct frame *f)
{
	u32 count = atomic_load_explicit(&f->count, memory_order_relaxed);

	do {
		u32 refs = count & ~(u32)FRAME_MERGED;

		if (count == refs || refs == 0 || refs >= KEEPER_REFS_MAX)
			return false;
	} while (!atomic_compare_exchange_strong_explicit(
		&f->count, &count, count + 1, memory_order_acquire, memory_order_relaxed));
	return true;
}

/* May `g` stand for an equal page of this domain?  A keeper gets one more count. */
static bool is_twin(const struct frame *f, struct frame *g, u32 hash, u32 domain, bool *is_keeper)
{
	*is_keeper = false;
	if (g->class != FRAME_COUNTED && g->class != FRAME_BLOCK)
		return false;
	*is_keeper = g->class == FRAME_COUNTED && get_keeper(g);
	if (g->link.merge.hash == hash && g->link.merge.domain == domain && is_equal(f, g))
		return true;
	if (*is_keeper)
		frame_put(g);
	return false;
}

enum twin { TWIN_NONE, TWIN_SELF, TWIN_PRIVATE, TWIN_KEEPER };

/* Looks for a page that is equal to f, whose hash is in its record; a keeper comes with a count. */
static enum twin find_twin(struct frame *f, u32 domain, struct frame **keeper)
{
	struct frame_map map = frame_map();
	u32 hash = f->link.merge.hash;
	struct index_bucket *b = index_bucket(hash);
	enum twin found = TWIN_NONE;
	bool is_keeper;

	for (u32 k = 0; b && k < INDEX_SLOTS; k++) {
		struct frame *g = frame_in(map, b->slot[k].ppn);

		if (b->slot[k].hash != hash)
			continue;
		if (g == f) {
			found = TWIN_SELF;
			continue;
		}
		if (!is_twin(f, g, hash, domain, &is_keeper))
			continue;
		if (is_keeper) {
			*keeper = g;
			return TWIN_KEEPER;
		}
		b->slot[k].ppn = frame_ppn(f); /* and that one will look for f */
		return TWIN_PRIVATE;
	}
	if (b && found == TWIN_NONE)
		index_put(b, hash, f);
	return found;
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
static void judge(struct batch *b, u32 i, struct frame *f)
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
		if (twin && is_equal(f, twin)) {
			add(b, i, BECOMES_PIECE, f, twin);
			return;
		}
		f->link.merge.hash = hash_of(f, p->domain);
		f->link.merge.domain = p->domain & MERGE_DOMAIN_MAX;
	}
	if (p->dedup != DEDUP_MERGE)
		return;
	switch (find_twin(f, p->domain, &twin)) {
	case TWIN_KEEPER: add(b, i, BECOMES_MERGED, f, twin); break;
	case TWIN_PRIVATE: add(b, i, BECOMES_KEEPER, f, f); break;
	case TWIN_NONE:
	case TWIN_SELF: b->st->unique++; break;
	}
}

/* Pages that were taken away and are private again have been written since. */
static void note_broken(struct table *t, struct merge_stats *st)
{
	struct frame_map map = frame_map();
	u32 n = 0, i;

	FOR_EACH_BIT (t->given, i) {
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

/* Of no interest to others: a private page, or a keeper that nothing has been merged with yet. */
static bool is_alone(u64 pte, const struct frame *f)
{
	return (pte & (PTE_V | PTE_KIND)) == (PTE_V | KIND_LEAF) && frame_refs(f) == 1;
}

/* Fills the batch; returns whether any D bit was cleared.  The loop that all pages of all private tables go
 * through. */
static bool look(struct batch *b)
{
	struct frame_map map = frame_map();
	u64 *pte = b->v->t->pte, n_dirty = 0;
	bool cold = b->v->cold;
	u32 i;

	for (i = b->v->i; i < N_ENTRIES && b->n < BATCH_MAX; i++) {
		struct frame *f = frame_in(map, pte_ppn(pte[i]));

		if ((pte[i] & (PTE_W | PTE_D)) == (PTE_W | PTE_D)) {
			__atomic_fetch_and(&pte[i], ~PTE_D, __ATOMIC_RELAXED);
			f->link.merge.hash = 0;
			n_dirty++;
			if (!cold)
				continue;
		}
		if (is_alone(pte[i], f))
			judge(b, i, f);
	}
	b->st->visited += i - b->v->i;
	b->st->dirty += n_dirty;
	b->v->i = i;
	return n_dirty != 0;
}

/* ---- the change ---- */

static bool is_still_equal(const struct change *c)
{
	switch (c->becomes) {
	case BECOMES_ZERO: return page_is_zero(bytes_of(c->old));
	case BECOMES_PIECE:
	case BECOMES_MERGED: return is_equal(c->old, c->new);
	case BECOMES_KEEPER: return true; /* whatever it holds now, it holds for good */
	}
	return false;
}

static void protect(struct batch *b)
{
	for (u32 k = 0; k < b->n; k++)
		__atomic_fetch_and(&b->v->t->pte[b->change[k].i], ~PTE_W, __ATOMIC_RELAXED);
}

/* The page is read-only everywhere.  Returns the frame that it has given up, NULL: none. */
static struct frame *apply(struct batch *b, const struct change *c)
{
	struct table *t = b->v->t;
	struct frame *keeper = c->becomes == BECOMES_MERGED ? c->new : NULL;

	if (!is_still_equal(c)) {
		c->old->link.merge.hash = 0;
		b->st->raced++;
		return keeper; /* its count goes back */
	}
	switch (c->becomes) {
	case BECOMES_ZERO:
		table_set(t, c->i, space_zero_entry());
		b->st->zero++;
		break;
	case BECOMES_PIECE:
		table_set(t, c->i, pte_make(frame_hpa(c->new), PTE_READ_ONLY | KIND_PIECE));
		b->st->back++;
		break;
	case BECOMES_MERGED:
		table_set(t, c->i, pte_make(frame_hpa(c->new), PTE_READ_ONLY | KIND_LEAF));
		b->st->merged++;
		break;
	case BECOMES_KEEPER:
		frame_make_keeper(c->old);
		b->st->kept++;
		return NULL;
	}
	bit_set(t->given, c->i);
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
	tlb_fence_all(tlb, HPA(0)); /* nobody reads a frame that is given up */
	for (u32 k = 0; k < b->n; k++)
		if (given_up[k])
			frame_put(given_up[k]);
}

bool merge_table(struct merge_visit *v, struct merge_stats *st)
{
	struct batch b = { .v = v, .st = st };

	if (v->i == 0) {
		note_broken(v->t, st);
		if (v->t->rest && !v->cold) {
			v->t->rest--;
			st->resting += N_ENTRIES;
			return false;
		}
	}
	bool was_dirty = look(&b);

	if (b.n)
		change(&b);
	else if (was_dirty)
		tlb_fence_all(&v->s->tlb, HPA(0)); /* or the machine would not set D again */
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
		if (p->dedup != DEDUP_MERGE)
			continue;
		f->link.merge.hash = hash_of(f, p->domain);
		f->link.merge.domain = p->domain & MERGE_DOMAIN_MAX;
		twin = find_twin(f, p->domain, &keeper);
		if (twin == TWIN_KEEPER)
			frame_put(keeper);
		n += twin == TWIN_KEEPER || twin == TWIN_PRIVATE;
	}
	return n >= BLOCK_WORTH;
}
