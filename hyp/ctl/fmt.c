/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Quantities as people read them.  No floating point: a value is shown as its
 * whole part in the largest unit that fits, and the rest as decimals.
 */
#include <stdio.h>
#include "arch/time.h"
#include "ctl/fmt.h"

#define EXACT_TRIES    64U
#define EXACT_STEP_MAX 16U /* instructions: a call and a return */

struct unit {
	const char *name;
	u64 size;
};

static const struct unit byte_units[] = {
	{ "GiB", 1UL << 30 },
	{ "MiB", 1UL << 20 },
	{ "KiB", 1UL << 10 },
	{ "B", 1 },
};

static const struct unit time_units[] = {
	{ "s", 1000000000UL },
	{ "ms", 1000000UL },
	{ "us", 1000UL },
	{ "ns", 1 },
};

/* The last unit of each list has size 1, so that the search ends. */
static struct fmt show(u64 value, const struct unit *u)
{
	struct fmt f;
	u64 whole, rest;

	while (value < u->size && u->size > 1)
		u++;
	whole = value / u->size;
	rest = value % u->size;
	if (whole >= 100 || rest == 0)
		snprintf(f.s, sizeof(f.s), "%lu %s", whole, u->name);
	else if (whole >= 10)
		snprintf(f.s, sizeof(f.s), "%lu.%lu %s", whole, rest * 10 / u->size, u->name);
	else
		snprintf(f.s, sizeof(f.s), "%lu.%02lu %s", whole, rest * 100 / u->size, u->name);
	return f;
}

struct fmt fmt_bytes(u64 bytes)
{
	return show(bytes, byte_units);
}

struct fmt fmt_ns(u64 ns)
{
	return show(ns, time_units);
}

struct fmt fmt_ticks(u64 ticks)
{
	return fmt_ns(time_ticks_to_ns(ticks));
}

struct fmt fmt_percent(u64 part, u64 whole)
{
	struct fmt f;
	u64 permille;

	while (part > UINT64_MAX / 1000) { /* centuries of ticks */
		part /= 2;
		whole /= 2;
	}
	permille = whole ? part * 1000 / whole : 0;
	snprintf(f.s, sizeof(f.s), "%lu.%lu %%", permille / 10, permille % 10);
	return f;
}

/* Not inlined, so that every look costs the same instructions. */
static __attribute__((noinline)) u64 instret_step(void)
{
	u64 first = time_instret();

	return time_instret() - first;
}

bool instret_is_exact(void)
{
	u64 step = instret_step();

	for (u32 i = 0; i < EXACT_TRIES; i++)
		if (instret_step() != step)
			return false;
	return step <= EXACT_STEP_MAX;
}
