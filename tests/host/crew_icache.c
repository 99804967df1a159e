// SPDX-License-Identifier: BSD-2-Clause
#include "crew_icache.h"

#include <string.h>
#include "arch/phys.h"
#include "fake.h"

#define N_LINES 64U

static struct line {
	u64 hpa, value;
	u32 n_fence_i;
} icache[HART_MAX][N_LINES];

void icache_reset(void)
{
	memset(icache, 0, sizeof(icache));
}

static struct line *line_of(u32 hart, u64 hpa)
{
	return &icache[hart][hpa / PAGE_SIZE % N_LINES];
}

u64 icache_fetch(u32 hart, const u64 *at)
{
	u64 hpa = ptr_hpa(at).v;
	struct line *l = line_of(hart, hpa);

	if (l->hpa != hpa || l->n_fence_i != fake_n_fences[hart][FAKE_FENCE_I])
		*l = (struct line){ hpa, *at, fake_n_fences[hart][FAKE_FENCE_I] };
	return l->value;
}

void icache_drop(const u64 *at)
{
	for (u32 h = 0; h < HART_MAX; h++)
		if (line_of(h, ptr_hpa(at).v)->hpa == ptr_hpa(at).v)
			line_of(h, ptr_hpa(at).v)->hpa = 0;
}
