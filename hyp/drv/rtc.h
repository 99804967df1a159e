/* SPDX-License-Identifier: BSD-2-Clause */
/* What time people's clocks show. */
#ifndef DRV_RTC_H
#define DRV_RTC_H

#include "lib/types.h"

/* Since 1970, UTC. */
struct wall_time {
	u64 s;
	u32 ns; /* below 10^9 */
};

/* Reads the machine's clock (google,goldfish-rtc; registers at `base`, 0: it has none), once at boot. */
void rtc_init(hpa_t base);

/* Never goes back.  All zero: the machine has no clock. */
struct wall_time rtc_now(void);

#endif
