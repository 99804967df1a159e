// SPDX-License-Identifier: BSD-2-Clause
#include "merge_unit.h"

void merge_space(struct space *s, u32 domain)
{
	mm_space(s, 8);
	s->merge = (struct merge_policy){ DEDUP_MERGE, domain, false };
}

void merge_start(struct space *a, struct space *b)
{
	mm_start(32, SCANNER + 1);
	merge_space(a, 1);
	merge_space(b, 1);
}

void merge_end(struct space *a, struct space *b)
{
	space_fini(a);
	space_fini(b);
	mm_end();
}

void merge_passes(u32 n)
{
	u32 was = fake_hart;

	fake_hart = SCANNER;
	while (n-- > 0)
		scan_once();
	fake_hart = was;
}

struct merge_stats merge_stats_now(void)
{
	struct merge_stats st;

	scan_stats(&st);
	return st;
}

struct frame *merge_frame(const struct space *s, u32 page)
{
	return frame_of(pte_hpa(mm_leaf(s, MM_PAGE(page))));
}

u64 merge_kind(const struct space *s, u32 page)
{
	return pte_kind(mm_leaf(s, MM_PAGE(page)));
}

bool merge_is_one(const struct space *s, u32 i, const struct space *t, u32 k)
{
	return merge_frame(s, i) == merge_frame(t, k);
}
