// SPDX-License-Identifier: BSD-2-Clause
/* splitmix64 (Steele, Lea, Flood 2014): a history is known by its seed. */
#include "fake.h"

#include <stdio.h>
#include <stdlib.h>

static u64 seed_state;

u64 fake_seed(u64 fallback)
{
	const char *given = getenv("PANDO_SEED");

	seed_state = given ? strtoull(given, NULL, 0) : fallback;
	fprintf(stderr, "PANDO_SEED=%lu\n", (unsigned long)seed_state);
	return seed_state;
}

u64 fake_random(void)
{
	u64 z = seed_state += 0x9e3779b97f4a7c15UL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebUL;
	return z ^ (z >> 31);
}
