/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fields of a struct as bytes, front to back: for what outlives this run of Pando.
 *
 * One function names the fields of a struct, and serves both ways: it writes them, or
 * reads them back and says what each may be.  So the two cannot disagree.  A number
 * takes 8 bytes, little-endian, whatever its type in the struct; a string of bytes is
 * filled up to a multiple of 8.
 *
 * What is read comes from a file and is not to be trusted.  The first field that is
 * missing, or is not what it may be, is remembered; what is read from then on is zero.
 */
#ifndef LIB_FIELDS_H
#define LIB_FIELDS_H

#include "lib/types.h"

struct fields {
	u8 *at, *end; /* what is still to be written to, or read */
	bool is_reading;
	const char *bad; /* the field that was wrong; NULL: none */
};

/* Of 64 bits those in `mask`, whatever they are. */
void fields_u64(struct fields *f, u64 *value, u64 mask);

/* A number up to `max`; a truth value. */
void fields_u32(struct fields *f, const char *name, u32 *value, u32 max);
void fields_u8(struct fields *f, const char *name, u8 *value, u8 max);
void fields_bool(struct fields *f, const char *name, bool *value);

void fields_bytes(struct fields *f, void *bytes, u32 len);

/* What is read must be so. */
void fields_check(struct fields *f, const char *name, bool is_so);

/* Were all fields there, as they may be, and nothing else? */
bool must_check fields_are_good(struct fields *f);

#endif
