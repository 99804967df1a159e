/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A writer of JSON (RFC 8259): values go to a sink as they are named, nothing is kept.
 *
 * Every function does nothing if `j` is NULL: a command names its figures
 * whether or not somebody wants them.  `key` is NULL for the members of an array and for the
 * one value on top.
 */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include "lib/types.h"

#define JSON_DEPTH_MAX 16U

struct json {
	void (*put)(void *ctx, const char *bytes, size_t len);
	void *ctx;
	/* the writer's own; zero at the beginning */
	u32 depth;        /* objects and arrays that are open */
	u32 is_array;     /* bit k: the k-th of them is an array */
	bool wants_comma; /* a value has been written at this level */
};

/* Each begin has its end. */
void json_object(struct json *j, const char *key);
void json_end_object(struct json *j);
void json_array(struct json *j, const char *key);
void json_end_array(struct json *j);

void json_u64(struct json *j, const char *key, u64 value);
void json_s64(struct json *j, const char *key, s64 value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);

/* A string may hold any bytes: quotes, backslashes and control characters are escaped, and a byte from
 * 0x80 up is written as \u00XX, so that what a guest says cannot make invalid UTF-8.  NULL is written as null. */
void json_string(struct json *j, const char *key, const char *value);
void json_bytes(struct json *j, const char *key, const char *bytes, size_t len);

/* The text of a string as it would stand between its quotes, for one that is made in pieces. */
void json_escape(void (*put)(void *ctx, const char *bytes, size_t len), void *ctx,
                 const char *bytes, size_t len);

/* Is every begin ended? */
bool json_is_closed(const struct json *j);

/* A sink of limited room: what does not fit is left out whole, from then on. */
struct json_buf {
	char *at;
	size_t len, room;
	bool is_cut;
};
void json_buf_put(void *ctx, const char *bytes, size_t len);

#endif
