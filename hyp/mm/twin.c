// SPDX-License-Identifier: BSD-2-Clause
/* Which pages hold the same: see twin.h. */
#include "mm/twin.h"

#include "arch/page.h"
#include "arch/phys.h"
#include "mm/index.h"

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

u32 twin_hash(const struct frame *f, u32 domain)
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

/* May `g` stand for an equal page of this domain?  A keeper gets one more count. */
static bool is_twin(const struct frame *f, struct frame *g, u32 hash, u32 domain, bool *is_keeper)
{
	*is_keeper = false;
	if (g->class != FRAME_COUNTED && g->class != FRAME_BLOCK)
		return false;
	*is_keeper = g->class == FRAME_COUNTED && get_keeper(g);
	if (g->link.merge.hash == hash && g->link.merge.domain == domain && twin_is_equal(f, g))
		return true;
	if (*is_keeper)
		frame_put(g);
	return false;
}

NOINLINE enum twin twin_find(struct frame *f, u32 domain, struct frame **keeper)
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

struct frame *twin_find_keeper(const struct frame *f, u32 hash, u32 domain)
{
	struct index_bucket *b = index_bucket(hash);
	bool is_keeper;

	for (u32 k = 0; b && k < INDEX_SLOTS; k++) {
		struct frame *g = frame_in(frame_map(), b->slot[k].ppn);

		if (b->slot[k].hash != hash || !is_twin(f, g, hash, domain, &is_keeper))
			continue;
		if (is_keeper)
			return g;
	}
	return NULL;
}
