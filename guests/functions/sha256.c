/* SPDX-License-Identifier: BSD-2-Clause */
/* sha256: takes any bytes, gives their SHA-256 (FIPS 180-4) in 64 hex digits. */
#include "../linux/sha256.h"
#include <stdio.h>
#include <string.h>

const char function_sample[] = "abc";

static void block(u32 h[SHA256_WORDS], const unsigned char *at)
{
	u32 in[16];

	memcpy(in, at, SHA256_BLOCK);
	for (u32 i = 0; i < 16; i++)
		in[i] = __builtin_bswap32(in[i]);
	sha256_block(h, in);
}

long handle(const unsigned char *in, unsigned long len, unsigned char *out, unsigned long room)
{
	u32 h[SHA256_WORDS] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		                0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	unsigned char tail[2 * SHA256_BLOCK] = { 0 };
	u64 whole = len / SHA256_BLOCK * SHA256_BLOCK, rest = len - whole;
	u64 end = rest + 9 <= SHA256_BLOCK ? SHA256_BLOCK : 2 * SHA256_BLOCK, bits = len * 8;

	for (u64 at = 0; at < whole; at += SHA256_BLOCK)
		block(h, in + at);
	memcpy(tail, in + whole, rest);
	tail[rest] = 0x80;
	for (u64 i = 0; i < 8; i++)
		tail[end - 1 - i] = (unsigned char)(bits >> 8 * i);
	for (u64 at = 0; at < end; at += SHA256_BLOCK)
		block(h, tail + at);
	for (u32 i = 0; i < SHA256_WORDS; i++)
		snprintf((char *)out + (size_t)i * 8, room - (size_t)i * 8, "%08x", h[i]);
	return SHA256_WORDS * 8;
}
