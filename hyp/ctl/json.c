/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON goes out as it comes: what has to be remembered is how deep we are, of
 * what kind each level is, and whether a comma is due.
 */
#include <stdio.h>
#include <string.h>
#include "ctl/json.h"
#include "lib/assert.h"

static bool is_plain(char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

void json_escape(void (*sink)(void *ctx, const char *bytes, size_t len), void *ctx,
                 const char *bytes, size_t len)
{
	size_t plain = 0; /* bytes from here on have not been put yet */

	for (size_t i = 0; i < len; i++) {
		u8 c = (u8)bytes[i];
		char text[8];

		if (is_plain(bytes[i]))
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

/* Most of what is written is a comma, a short key and a short value: they go to the sink as one piece. */
#define PIECE_LEN 96U

struct piece {
	char text[PIECE_LEN];
	size_t len;
};

static void add(struct piece *p, char c)
{
	p->text[p->len++] = c;
}

static void add_digits(struct piece *p, u64 value)
{
	char digits[20], *first = digits + sizeof(digits), *to = p->text + p->len;

	do
		*--first = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	while (first < digits + sizeof(digits))
		*to++ = *first++;
	p->len = (size_t)(to - p->text);
}

static void flush(struct json *j, struct piece *p)
{
	j->put(j->ctx, p->text, p->len);
	p->len = 0;
}

/* What comes before a value: comma and key. */
static void begin_value(struct json *j, struct piece *p, const char *key)
{
	char *to = p->text, *end = p->text + PIECE_LEN / 2;

	if (j->wants_comma)
		*to++ = ',';
	j->wants_comma = true;
	if (key) {
		*to++ = '"';
		while (is_plain(*key) && to < end)
			*to++ = *key++;
		if (*key) { /* a strange one, or a long one */
			j->put(j->ctx, p->text, (size_t)(to - p->text));
			to = p->text;
			json_escape(j->put, j->ctx, key, strlen(key));
		}
		*to++ = '"';
		*to++ = ':';
	}
	p->len = (size_t)(to - p->text);
}

static void open_level(struct json *j, const char *key, bool is_array)
{
	struct piece p;

	if (!j)
		return;
	assert(j->depth < JSON_DEPTH_MAX);
	begin_value(j, &p, key);
	add(&p, is_array ? '[' : '{');
	flush(j, &p);
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
	j->put(j->ctx, is_array ? "]" : "}", 1);
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
	struct piece p;

	if (!j)
		return;
	begin_value(j, &p, key);
	add_digits(&p, value);
	flush(j, &p);
}

void json_s64(struct json *j, const char *key, s64 value)
{
	struct piece p;

	if (!j)
		return;
	begin_value(j, &p, key);
	if (value < 0)
		add(&p, '-');
	add_digits(&p, value < 0 ? 0 - (u64)value : (u64)value);
	flush(j, &p);
}

static void literal(struct json *j, const char *key, const char *text)
{
	struct piece p;

	if (!j)
		return;
	begin_value(j, &p, key);
	while (*text)
		add(&p, *text++);
	flush(j, &p);
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
	struct piece p;

	if (!j)
		return;
	begin_value(j, &p, key);
	add(&p, '"');
	flush(j, &p);
	json_escape(j->put, j->ctx, bytes, len);
	j->put(j->ctx, "\"", 1);
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
