// SPDX-License-Identifier: BSD-2-Clause
/* Which pages hold the same: see twin.h. */
#include "mm/twin.h"

#include "arch/page.h"
#include "arch/phys.h"
#include "mm/index.h"
#include "mm/merge.h"

#define N_SAMPLES 16U

static u64 seed;
static u32 hash_mask = UINT32_MAX;
static u32 sampled_domain;    /* the domain that `sample` is for */
static u16 sample[N_SAMPLES]; /* byte offsets into a page */

void twin_init(u64 s)
{
	seed = s | 1;
	sampled_domain = 0;
	hash_mask = UINT32_MAX;
}

void twin_weaken_hash(u32 mask)
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

static u32 sampled_hash(const struct frame *f, u32 domain)
{
	const u8 *page = bytes_of(f);
	u64 h = seed;

	if (sampled_domain != domain)
		draw_samples(domain);
#pragma GCC unroll 8
	for (u32 k = 0; k < N_SAMPLES; k++)
		h = (h ^ *(const u64 *)(const void *)(page + sample[k])) * 0x9e3779b97f4a7c15UL;
	return (u32)u64_max(h >> 32 & hash_mask, 1);
}

static u32 deep_hash(const struct frame *f)
{
	const u64 *word = (const void *)bytes_of(f);
	u64 h = ~seed;

#pragma GCC unroll 8
	for (u32 k = 0; k < PAGE_SIZE / 8; k++)
		h = (h ^ word[k]) * 0x9e3779b97f4a7c15UL;
	return (u32)u64_max(h >> 32 & hash_mask, 1);
}

struct merge_note twin_note(const struct frame *f, u32 domain)
{
	return (struct merge_note){ .hash = sampled_hash(f, domain),
		                    .domain = domain & MERGE_DOMAIN_MAX };
}

static void go_deeper(struct merge_note *n, const struct frame *f)
{
	n->hash = deep_hash(f);
	n->is_deep = true;
}

bool twin_is_equal(const struct frame *a, const struct frame *b)
{
	return page_is_equal(bytes_of(a), bytes_of(b));
}

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

enum compared {
	OTHERS, /* no page of this hash and domain any more */
	DIFFERENT,
	EQUAL,
};

static enum compared compare(const struct frame *f, const struct merge_note *n,
                             const struct frame *g)
{
	const struct merge_note *m = &g->link.merge;

	if (m->hash != n->hash || m->domain != n->domain || m->is_deep != n->is_deep)
		return OTHERS;
	return twin_is_equal(f, g) ? EQUAL : DIFFERENT;
}

/* What the index says of a page. */
struct found {
	enum twin twin;
	struct frame *keeper;
	struct index_slot *slot; /* TWIN_PRIVATE: where the twin is listed */
	bool is_deeper;          /* other pages have its hash */
};

/* Pages differ that have one hash: who comes later is told so by the slot of the one that was here, and that is listed
 * anew.  If it is no keeper it does that itself, at its next visit. */
static void mark_deeper(struct index_slot *s, struct frame *g, bool is_keeper)
{
	s->ppn = INDEX_DEEPER;
	if (!is_keeper)
		return;
	go_deeper(&g->link.merge, g);
	index_put(g->link.merge.hash, g);
}

/* One slot of f's hash.  True: it names a twin. */
static bool look_at_slot(const struct frame *f, const struct merge_note *n, struct index_slot *s,
                         struct found *found)
{
	struct frame *g = frame_in(frame_map(), s->ppn);
	enum compared c;
	bool is_keeper;

	if (s->ppn == INDEX_DEEPER) {
		found->is_deeper |= !n->is_deep;
		return false;
	}
	if (g == f) {
		found->twin = TWIN_SELF;
		return false;
	}
	if (g->class != FRAME_COUNTED && g->class != FRAME_BLOCK)
		return false;
	is_keeper = g->class == FRAME_COUNTED && get_keeper(g);
	c = compare(f, n, g);
	if (c == EQUAL) {
		found->twin = is_keeper ? TWIN_KEEPER : TWIN_PRIVATE;
		found->keeper = g;
		found->slot = s;
		return true;
	}
	if (c == DIFFERENT && !n->is_deep) {
		mark_deeper(s, g, is_keeper);
		found->is_deeper = true;
	}
	if (is_keeper)
		frame_put(g);
	return false;
}

static struct found search(const struct frame *f, const struct merge_note *n)
{
	struct found found = { .twin = TWIN_NONE };
	struct index_bucket *b = index_bucket(n->hash, 0);

	for (u32 nth = 0; b; b = nth++ == 0 && index_is_full(b) ? index_bucket(n->hash, 1) : NULL)
		for (u32 k = 0; k < INDEX_SLOTS; k++)
			if (b->slot[k].hash == n->hash && look_at_slot(f, n, &b->slot[k], &found))
				return found;
	return found;
}

NOINLINE enum twin twin_find(struct frame *f, struct frame **keeper)
{
	struct merge_note *n = &f->link.merge;
	struct found found = search(f, n);

	if (found.twin < TWIN_PRIVATE && found.is_deeper) {
		go_deeper(n, f);
		found = search(f, n);
	}
	if (found.twin == TWIN_KEEPER)
		*keeper = found.keeper;
	else if (found.twin == TWIN_PRIVATE)
		found.slot->ppn = frame_ppn(f); /* and that one will look for f */
	else if (found.twin == TWIN_NONE && index_bucket(n->hash, 0))
		index_put(n->hash, f);
	return found.twin;
}

struct frame *twin_find_keeper(const struct frame *f, u32 domain, struct merge_note *n)
{
	struct found found;

	*n = twin_note(f, domain);
	found = search(f, n);
	if (found.twin < TWIN_PRIVATE && found.is_deeper) {
		go_deeper(n, f);
		found = search(f, n);
	}
	return found.twin == TWIN_KEEPER ? found.keeper : NULL;
}

void twin_list_keeper(struct frame *f)
{
	u32 hash = f->link.merge.hash, ppn = frame_ppn(f);
	struct index_bucket *b = index_bucket(hash, 0);

	for (u32 nth = 0; b; b = nth++ == 0 ? index_bucket(hash, 1) : NULL)
		for (u32 k = 0; k < INDEX_SLOTS; k++)
			if (b->slot[k].hash == hash && b->slot[k].ppn == ppn)
				return;
	if (hash && index_bucket(hash, 0))
		index_put(hash, f);
}
