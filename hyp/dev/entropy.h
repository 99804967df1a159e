/* SPDX-License-Identifier: BSD-2-Clause */
/* Random numbers for guests: fresh for each VM and each clone. */
#ifndef DEV_ENTROPY_H
#define DEV_ENTROPY_H

#include "lib/types.h"

#define ENTROPY_BLOCK_WORDS 16U

/* Mixes 64 bits of the machine's own entropy into the key (/chosen/rng-seed, one call for every
 * eight bytes).  At boot, before the first VM, from one hart. */
void entropy_seed(u64 bits);

/* 64 random bytes that no other call gets.  From any hart, takes no lock. */
void entropy_block(u32 out[ENTROPY_BLOCK_WORDS]);

/* Idle work: makes one of up to ENTROPY_STOCK blocks ahead.  False: all are there. */
#define ENTROPY_STOCK 16U
bool entropy_make_ready(void);

/* The ChaCha20 block function of RFC 8439, section 2.3, for its test. */
void entropy_chacha20(const u32 in[ENTROPY_BLOCK_WORDS], u32 out[ENTROPY_BLOCK_WORDS]);

#endif
