// SPDX-License-Identifier: BSD-2-Clause
/*
 * The machine's real-time clock (google,goldfish-rtc: nanoseconds since 1970 in two
 * registers; a load of the low one latches the high one).
 *
 * It is read once; from there the time counter goes on.  So a look costs no access to a device, and
 * whoever sets the machine's clock sets back nobody's.
 */
#include "drv/rtc.h"

#include "arch/time.h"

#define TIME_LOW  0U
#define TIME_HIGH 4U

#define NS_PER_S 1000000000UL

static u64 at_boot;    /* ns since 1970 when ticks were `boot_ticks`; 0: no clock */
static u64 boot_ticks; /* both set once, before other harts run */

void rtc_init(hpa_t base)
{
	const volatile u32 *low = (volatile u32 *)(base.v + TIME_LOW);   /* NOLINT: MMIO */
	const volatile u32 *high = (volatile u32 *)(base.v + TIME_HIGH); /* NOLINT: MMIO */

	if (base.v == 0)
		return;
	at_boot = *low;
	at_boot |= (u64)*high << 32;
	boot_ticks = time_now();
}

struct wall_time rtc_now(void)
{
	u64 ns;

	if (at_boot == 0)
		return (struct wall_time){ 0 };
	ns = at_boot + time_ticks_to_ns(time_now() - boot_ticks);
	return (struct wall_time){ .s = ns / NS_PER_S, .ns = (u32)(ns % NS_PER_S) };
}
