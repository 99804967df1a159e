/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers for people: three significant digits and a unit. */
#ifndef CTL_FMT_H
#define CTL_FMT_H

#include "lib/types.h"

struct fmt {
	char s[24];
};

/* "512 B", "12 KiB", "1.5 MiB", "4 GiB" */
struct fmt fmt_bytes(u64 bytes);

/* "640 ns", "12.3 us", "4.56 ms", "1.23 s" */
struct fmt fmt_ns(u64 ns);
struct fmt fmt_ticks(u64 ticks); /* of the timebase */

/* "12.3 %" of `whole`; 0 is no part of anything. */
struct fmt fmt_percent(u64 part, u64 whole);

/* Does rdinstret count instructions here?  It does under icount: it moves by the same few between
 * any two looks; the host's clock, which QEMU shows otherwise, does not. */
bool instret_is_exact(void);

#endif
