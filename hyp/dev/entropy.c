/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random numbers for guests.
 *
 * Clones of one template are equal to the last bit until something tells them
 * apart; this is where that comes from.  One key for all of Pando, seeded at boot;
 * each block is ChaCha20 over a counter that never repeats, with the clock and the
 * instruction counter as nonce.  A guest that sees its own numbers learns nothing
 * of a sibling's, as it would from a generator whose steps can be undone.
 *
 * A block costs 3,900 instructions, and a clone wants one before it can do anything. So idle harts keep some
 * ready; whoever takes one leaves zeroes.
 *
 * What it cannot do is be better than its seed: without /chosen/rng-seed from the
 * firmware the numbers differ from VM to VM, but are not secret.
 */
#include "dev/entropy.h"
#include "arch/time.h"
#include <stdatomic.h>

#define KEY_WORDS 8U
#define ROUNDS    20

static u32 key[KEY_WORDS]; /* changes only at boot */
static u32 next_key_word;
static _Atomic u64 counter;

static u32 rotate_left(u32 x, u32 n)
{
	return x << n | x >> (32 - n);
}

static void quarter_round(u32 *a, u32 *b, u32 *c, u32 *d)
{
	*a += *b;
	*d = rotate_left(*d ^ *a, 16);
	*c += *d;
	*b = rotate_left(*b ^ *c, 12);
	*a += *b;
	*d = rotate_left(*d ^ *a, 8);
	*c += *d;
	*b = rotate_left(*b ^ *c, 7);
}

void entropy_chacha20(const u32 in[ENTROPY_BLOCK_WORDS], u32 out[ENTROPY_BLOCK_WORDS])
{
	for (u32 i = 0; i < ENTROPY_BLOCK_WORDS; i++)
		out[i] = in[i];
	for (int r = 0; r < ROUNDS; r += 2) {
		for (u32 i = 0; i < 4; i++)
			quarter_round(&out[i], &out[4 + i], &out[8 + i], &out[12 + i]);
		for (u32 i = 0; i < 4; i++)
			quarter_round(&out[i], &out[4 + (i + 1) % 4], &out[8 + (i + 2) % 4],
			              &out[12 + (i + 3) % 4]);
	}
	for (u32 i = 0; i < ENTROPY_BLOCK_WORDS; i++)
		out[i] += in[i];
}

void entropy_seed(u64 bits)
{
	key[next_key_word % KEY_WORDS] ^= (u32)bits;
	key[(next_key_word + 1) % KEY_WORDS] ^= (u32)(bits >> 32);
	next_key_word += 2;
}

static void make_block(u32 out[ENTROPY_BLOCK_WORDS])
{
	/* "expand 32-byte k" */
	u32 in[ENTROPY_BLOCK_WORDS] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };
	u64 n = atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);

	for (u32 i = 0; i < KEY_WORDS; i++)
		in[4 + i] = key[i];
	in[12] = (u32)n;
	in[13] = (u32)(n >> 32);
	in[14] = (u32)time_now();
	in[15] = (u32)time_instret();
	entropy_chacha20(in, out);
}

enum stock_state { STOCK_EMPTY, STOCK_TAKEN, STOCK_FULL };

static struct {
	_Atomic u32 state;
	u32 block[ENTROPY_BLOCK_WORDS];
} stock[ENTROPY_STOCK];

/* A slot in this state, which is nobody else's from then on; NULL: none. */
static u32 *take_slot(u32 state, u32 *slot)
{
	for (u32 i = 0; i < ENTROPY_STOCK; i++) {
		u32 expected = state;

		if (atomic_load_explicit(&stock[i].state, memory_order_relaxed) != state ||
		    !atomic_compare_exchange_strong(&stock[i].state, &expected, STOCK_TAKEN))
			continue;
		*slot = i;
		return stock[i].block;
	}
	return NULL;
}

void entropy_block(u32 out[ENTROPY_BLOCK_WORDS])
{
	u32 slot, *block = take_slot(STOCK_FULL, &slot);

	if (block == NULL) {
		make_block(out);
		return;
	}
	for (u32 i = 0; i < ENTROPY_BLOCK_WORDS; i++) {
		out[i] = block[i];
		block[i] = 0;
	}
	atomic_store_explicit(&stock[slot].state, STOCK_EMPTY, memory_order_release);
}

bool entropy_make_ready(void)
{
	u32 slot, *block = take_slot(STOCK_EMPTY, &slot);

	if (block == NULL)
		return false;
	make_block(block);
	atomic_store_explicit(&stock[slot].state, STOCK_FULL, memory_order_release);
	return true;
}
