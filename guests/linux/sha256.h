/* SPDX-License-Identifier: BSD-2-Clause */
/* SHA-256 (FIPS 180-4) of a message that is there whole; all its memory is the caller's stack. */
#ifndef GUESTS_LINUX_SHA256_H
#define GUESTS_LINUX_SHA256_H

#include "sys.h"

#define SHA256_BLOCK 64U
#define SHA256_WORDS 8U

static inline u32 sha256_rotate(u32 x, u32 n)
{
	return x >> n | x << (32 - n);
}

static inline void sha256_block(u32 h[SHA256_WORDS], const u32 in[16])
{
	static const u32 k[64] = {
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
		0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
		0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
		0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
		0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
		0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
		0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
		0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
		0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
		0xc67178f2,
	};
	u32 w[64], s[SHA256_WORDS];

	for (u32 i = 0; i < 16; i++)
		w[i] = in[i];
	for (u32 i = 16; i < 64; i++) {
		u32 a = w[i - 15], b = w[i - 2];
		w[i] = w[i - 16] + w[i - 7] +
		       (sha256_rotate(a, 7) ^ sha256_rotate(a, 18) ^ a >> 3) +
		       (sha256_rotate(b, 17) ^ sha256_rotate(b, 19) ^ b >> 10);
	}
	for (u32 i = 0; i < SHA256_WORDS; i++)
		s[i] = h[i];
	for (u32 i = 0; i < 64; i++) {
		u32 e = s[4], a = s[0];
		u32 t1 = s[7] +
		         (sha256_rotate(e, 6) ^ sha256_rotate(e, 11) ^ sha256_rotate(e, 25)) +
		         ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
		u32 t2 = (sha256_rotate(a, 2) ^ sha256_rotate(a, 13) ^ sha256_rotate(a, 22)) +
		         ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
		for (u32 n = 7; n > 0; n--)
			s[n] = s[n - 1];
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (u32 i = 0; i < SHA256_WORDS; i++)
		h[i] += s[i];
}

/* Byte i of the message with its padding: 0x80, zeroes, the length in bits, to a whole number of blocks. */
static inline u8 sha256_byte(const volatile u8 *message, u64 len, u64 i, u64 end)
{
	if (i < len)
		return message[i];
	if (i == len)
		return 0x80;
	return i < end - 8 ? 0 : (u8)(len * 8 >> (end - 1 - i) * 8);
}

static inline void sha256(const volatile u8 *message, u64 len, u32 h[SHA256_WORDS])
{
	static const u32 start[SHA256_WORDS] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
	u64 end = (len + 8) / SHA256_BLOCK * SHA256_BLOCK + SHA256_BLOCK;
	u32 in[16];

	for (u32 i = 0; i < SHA256_WORDS; i++)
		h[i] = start[i];
	for (u64 at = 0; at < end; at++) {
		u32 i = (u32)(at / 4 % 16);

		in[i] = in[i] << 8 | sha256_byte(message, len, at, end);
		if (at % SHA256_BLOCK == SHA256_BLOCK - 1)
			sha256_block(h, in);
	}
}

#endif
