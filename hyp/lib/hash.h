/* SPDX-License-Identifier: BSD-2-Clause */
/* A checksum of memory, eight bytes at a time: against accidents, not against an enemy. */
#ifndef LIB_HASH_H
#define LIB_HASH_H

#include "lib/types.h"

#define HASH_START 0x9e3779b97f4a7c15UL

/* Goes on from `hash` over `len` bytes, a multiple of 8, of little-endian words.  Each step loses nothing: one
 * changed word always changes the result. */
u64 hash_words(u64 hash, const void *words, u64 len);

#endif
