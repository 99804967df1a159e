/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON goes out as it comes: what has to be remembered is how deep we are, of
 * what kind each level is, and whether a comma is due.
 */
#include <stdio.h>
#include <string.h>
#include "ctl/json.h"
#include "lib/assert.h"

static void put(struct json *j, const char *text)
{
	j->put(j->ctx, text, strlen(text));
}

void json_escape(void (*sink)(void *ctx, const char *bytes, size_t len), void *ctx,
                 const char *bytes, size_t len)
{
	size_t plain = 0; /* bytes from here on have not been put yet */

	for (size_t i = 0; i < len; i++) {
		u8 c = (u8)bytes[i];
		char text[8];

		if (c >= ' ' && c < 0x7f && c != '"' && c != '\\')
			continue;
		if (i > plain)
			sink(ctx, bytes + plain, i - plain);
		plain = i + 1;
		if (c == '"' || c == '\\')
			snprintf(text, sizeof(text), "\\%c", c);
		else if (c == '\n')
			snprintf(text, sizeof(text), "\\n");
		else
			snprintf(text, sizeof(text), "\\u%04x", c);
		sink(ctx, text, strlen(text));
	}
	if (len > plain)
		sink(ctx, bytes + plain, len - plain);
}

/* What comes before a value: comma and key. */
static void begin_value(struct json *j, const char *key)
{
	if (j->wants_comma)
		put(j, ",");
	j->wants_comma = true;
	if (!key)
		return;
	put(j, "\"");
	json_escape(j->put, j->ctx, key, strlen(key));
	put(j, "\":");
}

static void open_level(struct json *j, const char *key, bool is_array)
{
	if (!j)
		return;
	assert(j->depth < JSON_DEPTH_MAX);
	begin_value(j, key);
	put(j, is_array ? "[" : "{");
	j->is_array = (j->is_array & ~(1U << j->depth)) | (u32)is_array << j->depth;
	j->depth++;
	j->wants_comma = false;
}

static void close_level(struct json *j, bool is_array)
{
	if (!j)
		return;
	assert(j->depth > 0);
	j->depth--;
	assert((j->is_array >> j->depth & 1) == is_array);
	put(j, is_array ? "]" : "}");
	j->wants_comma = true;
}

void json_object(struct json *j, const char *key)
{
	open_level(j, key, false);
}

void json_end_object(struct json *j)
{
	close_level(j, false);
}

void json_array(struct json *j, const char *key)
{
	open_level(j, key, true);
}

void json_end_array(struct json *j)
{
	close_level(j, true);
}

void json_u64(struct json *j, const char *key, u64 value)
{
	char digits[24];

	if (!j)
		return;
	begin_value(j, key);
	snprintf(digits, sizeof(digits), "%lu", value);
	put(j, digits);
}

void json_s64(struct json *j, const char *key, s64 value)
{
	char digits[24];

	if (!j)
		return;
	begin_value(j, key);
	snprintf(digits, sizeof(digits), "%ld", value);
	put(j, digits);
}

static void literal(struct json *j, const char *key, const char *text)
{
	if (!j)
		return;
	begin_value(j, key);
	put(j, text);
}

void json_bool(struct json *j, const char *key, bool value)
{
	literal(j, key, value ? "true" : "false");
}

void json_null(struct json *j, const char *key)
{
	literal(j, key, "null");
}

void json_bytes(struct json *j, const char *key, const char *bytes, size_t len)
{
	if (!j)
		return;
	begin_value(j, key);
	put(j, "\"");
	json_escape(j->put, j->ctx, bytes, len);
	put(j, "\"");
}

void json_string(struct json *j, const char *key, const char *value)
{
	if (value)
		json_bytes(j, key, value, strlen(value));
	else
		json_null(j, key);
}

bool json_is_closed(const struct json *j)
{
	return j->depth == 0;
}

void json_buf_put(void *ctx, const char *bytes, size_t len)
{
	struct json_buf *b = ctx;

	b->is_cut = b->is_cut || len > b->room - b->len;
	if (b->is_cut)
		return;
	memcpy(b->at + b->len, bytes, len);
	b->len += len;
}
