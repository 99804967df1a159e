// SPDX-License-Identifier: BSD-2-Clause
#include "crew_witness.h"

#include <string.h>
#include "crew.h"
#include "crew_access.h"
#include "fake.h"

#define N_PLACES 16384U /* a hash table, open */
#define NOBODY   HART_MAX

extern const u8 __data_start[], _end[];

static struct place {
	const u8 *at;
	u32 hart; /* the first that has stored there; NOBODY yet */
	bool is_shared;
	u64 locks; /* that were held at every store so far, as bits */
} place[N_PLACES];

static struct place *place_of(const u8 *at)
{
	u64 k = (u64)at * 0x9e3779b97f4a7c15UL >> 50;

	while (place[k].at && place[k].at != at)
		k = (k + 1) % N_PLACES;
	return &place[k];
}

void witness_store(const void *ptr)
{
	const u8 *at = ptr;
	struct place *p;

	if (at < __data_start || at >= _end || crew_is_stack(at))
		return;
	p = place_of(at);
	if (!p->at || p->hart == NOBODY)
		*p = (struct place){ at, crew_self(), false, UINT64_MAX };
	p->locks &= fake_locks_held();
	p->is_shared |= p->hart != crew_self();
	if (p->is_shared && !p->locks)
		crew_fail("others have written %p, and no lock is always held", ptr);
}

void witness_forget(const void *at, u64 len)
{
	const u8 *first = at;

	for (u32 k = 0; k < N_PLACES; k++)
		if (place[k].at >= first && place[k].at < first + len)
			place[k].hart = NOBODY;
}

void witness_forget_all(void)
{
	memset(place, 0, sizeof(place));
}
