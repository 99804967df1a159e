/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes of any number, in pages that are linked: written at the end, taken at the
 * front.  When there is no memory for more it is spoilt: from then on it takes nothing.
 */
#ifndef CTL_CHAIN_H
#define CTL_CHAIN_H

#include "lib/types.h"

struct chain_page;

/* Begins as { 0 }. */
struct chain {
	struct chain_page *first, *last;
	u64 len;
	bool is_spoilt;
};

void chain_put(struct chain *c, const void *bytes, size_t len);

/* All of `from` goes to the end of `to`; `from` is empty then, and no longer spoilt. */
void chain_move(struct chain *to, struct chain *from);

/* The bytes that come first: *len of them, 0 if there are none. */
const u8 *chain_peek(const struct chain *c, u32 *len);
void chain_drop(struct chain *c, u32 len);

/* Empty, with no memory of its own. */
void chain_clear(struct chain *c);

/* A chain whose first bytes may have a place of their own: one that stays short needs no memory. */
#define SPILL_NEAR_LEN 768U
struct spill {
	u8 near[SPILL_NEAR_LEN];
	u32 n_near; /* 0 once something is in `far` */
	struct chain far;
};

void spill_begin(struct spill *s);
void spill_put(struct spill *s, const void *bytes, size_t len);
void spill_sink(void *spill, const char *bytes, size_t len); /* for struct json and json_escape() */

/* All of `from` goes to the end of `to`; `from` is as at the beginning. */
void spill_move(struct spill *to, struct spill *from);

static inline u64 spill_len(const struct spill *s)
{
	return s->n_near + s->far.len;
}

#endif
