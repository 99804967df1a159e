// SPDX-License-Identifier: BSD-2-Clause
#include "lib/fields.h"

#include <string.h>
#include "lib/assert.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "words are written as they lie in memory");

void fields_check(struct fields *f, const char *name, bool is_so)
{
	if (f->is_reading && !is_so && f->bad == NULL)
		f->bad = name;
}

/* The next `len` bytes, of which a multiple of 8 goes by; NULL: they are not there. */
static u8 *take(struct fields *f, u32 len)
{
	u64 room = ALIGN_UP(len, 8);
	u8 *at = f->at;

	assert(f->is_reading || room <= (u64)(f->end - at));
	fields_check(f, "length", room <= (u64)(f->end - at));
	if (f->bad != NULL)
		return NULL;
	f->at += room;
	return at;
}

void fields_bytes(struct fields *f, void *bytes, u32 len)
{
	u8 *at = take(f, len);

	if (at == NULL) {
		memset(bytes, 0, len);
	} else if (f->is_reading) {
		memcpy(bytes, at, len);
	} else {
		memset(at, 0, ALIGN_UP(len, 8));
		memcpy(at, bytes, len);
	}
}

void fields_u64(struct fields *f, u64 *value, u64 mask)
{
	u64 word = *value & mask;

	fields_bytes(f, &word, sizeof(word));
	if (f->is_reading)
		*value = word & mask;
}

/* Of a narrower type: as it has been read, at most `max`. */
static u64 bounded(struct fields *f, const char *name, u64 value, u64 max)
{
	fields_u64(f, &value, UINT64_MAX);
	fields_check(f, name, value <= max);
	return !f->is_reading || value <= max ? value : 0;
}

void fields_u32(struct fields *f, const char *name, u32 *value, u32 max)
{
	u64 read = bounded(f, name, *value, max);

	if (f->is_reading)
		*value = (u32)read;
}

void fields_u8(struct fields *f, const char *name, u8 *value, u8 max)
{
	u64 read = bounded(f, name, *value, max);

	if (f->is_reading)
		*value = (u8)read;
}

void fields_bool(struct fields *f, const char *name, bool *value)
{
	u64 read = bounded(f, name, *value, 1);

	if (f->is_reading)
		*value = read != 0;
}

bool fields_are_good(struct fields *f)
{
	fields_check(f, "length", f->at == f->end);
	return f->bad == NULL;
}
