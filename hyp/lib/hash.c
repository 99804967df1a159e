// SPDX-License-Identifier: BSD-2-Clause
/* As FNV-1a, with a word in a byte's place, and with what a product's high bits know brought down. */
#include "lib/hash.h"

#include <string.h>

#define MULTIPLIER 0xff51afd7ed558ccdUL

static inline u64 step(u64 hash, u64 word)
{
	hash = (hash ^ word) * MULTIPLIER;
	return hash ^ hash >> 32;
}

static inline u64 word_at(const u8 *at)
{
	u64 word;

	/* What gcc makes one load of, wherever it may take the address for aligned. */
	memcpy(&word, __builtin_assume_aligned(at, 8), sizeof(word));
	return word;
}

u64 hash_words(u64 hash, const void *words, u64 len)
{
	const u8 *at = words, *end = at + len;

	for (; end - at >= 64; at += 64) {
		hash = step(hash, word_at(at));
		hash = step(hash, word_at(at + 8));
		hash = step(hash, word_at(at + 16));
		hash = step(hash, word_at(at + 24));
		hash = step(hash, word_at(at + 32));
		hash = step(hash, word_at(at + 40));
		hash = step(hash, word_at(at + 48));
		hash = step(hash, word_at(at + 56));
	}
	for (; at < end; at += 8)
		hash = step(hash, word_at(at));
	return hash;
}
