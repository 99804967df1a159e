// SPDX-License-Identifier: BSD-2-Clause
#include "crew_scan.h"

#include "fake.h"

#define IDLE_TICKS 10000000U

static u32 n_on;

bool crew_scan_is_on(void)
{
	return n_on > 0;
}

void crew_scan(void)
{
	n_on++;
	for (u32 n = 1 + (u32)(fake_random() % 4); n > 0; n--)
		scan_once();
	n_on--;
}

void crew_scan_compact(struct space *s)
{
	n_on++;
	scan_compact(s);
	n_on--;
}

void crew_scan_idle(void)
{
	fake_time += IDLE_TICKS;
	n_on++;
	space_idle_work();
	n_on--;
}

void crew_scan_add(struct merge_stats *sum)
{
	struct merge_stats st;

	scan_stats(&st);
	sum->zero += st.zero;
	sum->back += st.back;
	sum->merged += st.merged;
	sum->hidden += st.hidden;
	sum->broken += st.broken;
}
