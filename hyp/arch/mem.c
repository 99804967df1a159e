// SPDX-License-Identifier: BSD-2-Clause
/*
 * memcpy and memset, word by word.  picolibc's soft-float build is made for size:
 * its loops go byte by byte, which costs Pando 290 instructions for a copy of six
 * words and a second for a kernel image.  Same contracts as in C11 7.24.
 */
#include <string.h>

#include "lib/types.h"

/* The compiler must not take these loops for calls of the functions they implement. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

#define WORD      sizeof(u64)
#define SHIFT_MIN (3 * WORD) /* below this bytes are as quick */

/* May alias anything, as memory does. */
typedef u64 __attribute__((may_alias)) word_t;

static u8 *copy_words(u8 *d, const u8 **src, size_t *n)
{
	const u8 *s = *src;

	for (; *n >= 8 * WORD; *n -= 8 * WORD, d += 8 * WORD, s += 8 * WORD) {
		const word_t *from = (const word_t *)s;
		word_t *to = (word_t *)d;
		u64 a = from[0], b = from[1], c = from[2], e = from[3];
		u64 f = from[4], g = from[5], h = from[6], i = from[7];

		to[0] = a, to[1] = b, to[2] = c, to[3] = e;
		to[4] = f, to[5] = g, to[6] = h, to[7] = i;
	}
	for (; *n >= WORD; *n -= WORD, d += WORD, s += WORD)
		*(word_t *)d = *(const word_t *)s;
	*src = s;
	return d;
}

/*
 * The same where the source is not aligned as the destination is: each word is put together from two.  Only words are
 * loaded of which some byte is to be copied, so none lies in another page.
 */
static u8 *copy_shifted(u8 *d, const u8 **src, size_t *n)
{
	u64 right = ((u64)*src & (WORD - 1)) * 8, left = 64 - right;
	const word_t *from = (const word_t *)ALIGN_DOWN((u64)*src, WORD);
	word_t *to = (word_t *)d;
	u64 a = *from++;

	for (; *n >= 4 * WORD; *n -= 4 * WORD, from += 4, to += 4) {
		u64 b = from[0], c = from[1], e = from[2], f = from[3];

		to[0] = a >> right | b << left, to[1] = b >> right | c << left;
		to[2] = c >> right | e << left, to[3] = e >> right | f << left;
		a = f;
	}
	for (; *n >= WORD; *n -= WORD) {
		u64 b = *from++;

		*to++ = a >> right | b << left;
		a = b;
	}
	*src += (u8 *)to - d;
	return (u8 *)to;
}

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	const u8 *s = src;
	u8 *d = dst;

	if ((((u64)d ^ (u64)s) & (WORD - 1)) == 0) {
		for (; n && !IS_ALIGNED((u64)d, WORD); n--)
			*d++ = *s++;
		d = copy_words(d, &s, &n);
	} else if (n >= SHIFT_MIN) {
		for (; !IS_ALIGNED((u64)d, WORD); n--)
			*d++ = *s++;
		d = copy_shifted(d, &s, &n);
	}
	while (n--)
		*d++ = *s++;
	return dst;
}

/* The common case: whole words at an aligned address. */
static inline void set_words(u8 *d, u64 pattern, size_t n)
{
	word_t *to = (word_t *)d, *end = (word_t *)(d + n);

	for (; end - to >= 4; to += 4)
		to[0] = pattern, to[1] = pattern, to[2] = pattern, to[3] = pattern;
	while (to < end)
		*to++ = pattern;
}

void *memset(void *dst, int value, size_t n)
{
	u64 pattern = value == 0 ? 0 : (u8)value * 0x0101010101010101UL;
	size_t whole;
	u8 *d = dst;

	for (; n && !IS_ALIGNED((u64)d, WORD); n--)
		*d++ = (u8)value;
	whole = ALIGN_DOWN(n, WORD);
	set_words(d, pattern, whole);
	for (d += whole; n > whole; n--)
		*d++ = (u8)value;
	return dst;
}
