/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A blob: bytes that Pando keeps for somebody, in pieces of 4 KiB to 2 MiB, so that a large one
 * needs no memory in one piece.  It grows at its end; it has no lock of its own.
 */
#ifndef MM_BLOB_H
#define MM_BLOB_H

#include <sys/queue.h>
#include "lib/err.h"
#include "lib/types.h"
#include "mm/frame.h"

struct blob_piece {
	TAILQ_ENTRY(blob_piece) next;
	u8 *bytes;
	u32 order; /* 2^order frames */
};

struct blob {
	TAILQ_HEAD(blob_pieces, blob_piece)
	pieces;        /* each lies within one 2 MiB block of the blob */
	u64 len, room; /* bytes; room: of all pieces */
	u64 expected;  /* what it may come to: so large pieces are taken */
	enum frame_use use;
};

/* Empty; nothing is allocated yet. */
void blob_init(struct blob *b, u64 expected, enum frame_use use);

/* Gives all memory back; empty again. */
void blob_free(struct blob *b);

/* ERR_NOMEM: `len` bytes are not there, maybe some of them; blob_free() is what remains to do. */
enum err must_check blob_append(struct blob *b, const void *bytes, u64 len);

/* Makes the blob up to `len` bytes longer, contents undefined: returns where they are and sets *n to how many lie in one
 * piece (at least 1).  NULL: no memory. */
u8 *must_check blob_extend(struct blob *b, u64 len, u64 *n);

/* [offset, offset + len) must lie in the blob. */
void blob_read(const struct blob *b, u64 offset, void *to, u64 len);

/* Where the bytes from `offset` on are, and in *n how many lie in one piece.  offset < len. */
const u8 *blob_at(const struct blob *b, u64 offset, u64 *n);

#endif
