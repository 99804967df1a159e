/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What several harts write, they write under a lock: whatever lies in static memory, that is the memory core's own
 * variables, and the test's spaces, and is no atomic, is written by one hart alone or always under the same
 * lock.  So a lock that is left out shows as soon as two harts have been there, and be it one after the other.
 */
#ifndef CREW_WITNESS_H
#define CREW_WITNESS_H

#include "lib/types.h"

/* A store to `at` by this hart. */
void witness_store(const void *at);

/* [at, at + len) begins a new life, in which nothing has been written yet; all that there is. */
void witness_forget(const void *at, u64 len);
void witness_forget_all(void);

#endif
