/* SPDX-License-Identifier: BSD-2-Clause */
/* The merge scanner as a member of the crew. */
#ifndef CREW_SCAN_H
#define CREW_SCAN_H

#include "mm/space.h"

/* A few passes; one space, whose vCPUs stand still; idle work when the next pass may be due. */
void crew_scan(void);
void crew_scan_compact(struct space *s);
void crew_scan_idle(void);

/* Is some hart in one of these?  Then a page may lose W before the fence that says so. */
bool crew_scan_is_on(void);

/* Adds what has been merged since boot. */
void crew_scan_add(struct merge_stats *sum);

#endif
