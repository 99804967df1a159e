// SPDX-License-Identifier: BSD-2-Clause
/* The clock, and this hart's one host timer: Sstc's stimecmp, else the firmware's. */
#include "arch/time.h"

#include "arch/csr.h"
#include "arch/firmware.h"
#include "arch/hart.h"

#define NS_PER_S 1000000000UL

u64 time_now(void)
{
	return csr_read(time);
}

u64 time_instret(void)
{
	return csr_read(instret);
}

void timer_set(u64 deadline_ticks)
{
	if (machine.has_sstc)
		csr_write(stimecmp, deadline_ticks);
	else
		firmware_set_timer(deadline_ticks);
}

/* a * mul / div without overflow of the product, for remainders below 2^32 or so. */
static u64 scale(u64 a, u64 mul, u64 div)
{
	u64 whole = a / div;

	if (whole > (UINT64_MAX - mul) / mul)
		return UINT64_MAX;
	return whole * mul + a % div * mul / div;
}

u64 time_ticks_to_ns(u64 ticks)
{
	return scale(ticks, NS_PER_S, machine.timebase_hz);
}

u64 time_ns_to_ticks(u64 ns)
{
	return scale(ns, machine.timebase_hz, NS_PER_S);
}
