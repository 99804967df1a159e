/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that plants copies: half of its pages hold what a neighbour's do, too (every `plant` does), half what nobody
 * else has (`salt`). When it is given work it times one access to each and reports, for loads and stores, how often each
 * number of instructions was found with either half. So a page that was merged shows, if anything lets it.
 * Arguments: pages=256 salt=1
 */
#include "guest.h"
#include <stdio.h>

const char guest_name[] = "plant";

#define N_COSTS 16

enum { OWN, PLANTED };
enum { LOAD, STORE };

struct tally {
	u64 cost, n;
};
static struct tally tally[2][2][N_COSTS];
static const char *const access_words[] = { "load", "store" };
static const char *const page_words[] = { "own", "planted" };

static u64 area, n_pages, salt;

/* Neither follows a stride, so that what comes once for every so many accesses comes to both. */
static u64 page_kind(u64 i)
{
	return pattern(i, 1) >> 7 & 1;
}

static u64 access_kind(u64 i)
{
	return pattern(i, 2) >> 9 & 1;
}

static u64 word_of(u64 i, u64 at)
{
	return pattern(page_kind(i) == PLANTED ? i : i + (salt << 32), at);
}

static void count(struct tally *t, u64 found)
{
	for (u64 k = 0; k < N_COSTS; k++) {
		if (t[k].n && t[k].cost != found)
			continue;
		t[k].cost = found;
		t[k].n++;
		return;
	}
	fail("more than %d different costs", N_COSTS);
}

static void report(u64 access, u64 kind)
{
	const struct tally *t = tally[access][kind];

	for (u64 k = 0; k < N_COSTS && t[k].n; k++)
		print("COST %s %s %lu x %lu", access_words[access], page_words[kind], t[k].cost,
		      t[k].n);
}

void guest_main(void)
{
	char *window = (char *)machine.window;

	area = (free_start() + PAGE - 1) & ~(PAGE - 1);
	n_pages = guest_arg("pages", 256);
	salt = guest_arg("salt", 1);
	for (u64 i = 0; i < n_pages; i++)
		for (u64 at = 0; at < PAGE; at += 8)
			put64(area + i * PAGE + at, word_of(i, at));
	mailbox_ready();
	mailbox_get(MB_NEXT);
	(void)access_cost(area, false, 0);
	count(tally[LOAD][OWN], 0); /* its own pages are here */
	tally[LOAD][OWN][0].n = 0;
	for (u64 i = 1; i < n_pages; i++)
		count(tally[access_kind(i)][page_kind(i)],
		      access_cost(area + i * PAGE, access_kind(i) == STORE, area + i * PAGE));
	for (u64 access = LOAD; access <= STORE; access++)
		for (u64 kind = OWN; kind <= PLANTED; kind++)
			report(access, kind);
	for (u64 i = 1; i < n_pages; i++)
		for (u64 at = 8; at < PAGE; at += 8)
			check(get64(area + i * PAGE + at) == word_of(i, at), "page %lu changed", i);
	mailbox_put(MB_DONE, (u32)sprintf(window, "done"));
	mailbox_get(MB_NEXT);
}
