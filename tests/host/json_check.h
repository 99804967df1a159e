/* SPDX-License-Identifier: BSD-2-Clause */
/* Is a text JSON (RFC 8259)?  ASCII, no blanks between tokens: what Pando writes. */
#ifndef JSON_CHECK_H
#define JSON_CHECK_H

#include <ctype.h>
#include <string.h>

/* Each returns behind what it has read, or NULL if it is not there. */
static const char *check_value(const char *at);

static const char *check_string(const char *at)
{
	if (*at++ != '"')
		return NULL;
	for (; *at != '"'; at++) {
		if (*at < ' ' || *at > '~')
			return NULL;
		if (*at != '\\')
			continue;
		at++;
		if (*at == 'u') {
			for (int i = 1; i <= 4; i++)
				if (!isxdigit((unsigned char)at[i]))
					return NULL;
			at += 4;
		} else if (!*at || !strchr("\"\\/bfnrt", *at)) {
			return NULL;
		}
	}
	return at + 1;
}

static const char *check_list(const char *at, char end, int is_object)
{
	if (*at == end)
		return at + 1;
	for (;;) {
		if (is_object) {
			at = check_string(at);
			if (!at || *at++ != ':')
				return NULL;
		}
		at = check_value(at);
		if (!at)
			return NULL;
		if (*at == end)
			return at + 1;
		if (*at++ != ',')
			return NULL;
	}
}

static const char *check_value(const char *at)
{
	static const char *const words[] = { "true", "false", "null" };

	if (*at == '{')
		return check_list(at + 1, '}', 1);
	if (*at == '[')
		return check_list(at + 1, ']', 0);
	if (*at == '"')
		return check_string(at);
	for (unsigned i = 0; i < 3; i++)
		if (strncmp(at, words[i], strlen(words[i])) == 0)
			return at + strlen(words[i]);
	at += *at == '-';
	if (!isdigit((unsigned char)*at) || (*at == '0' && isdigit((unsigned char)at[1])))
		return NULL;
	while (isdigit((unsigned char)*at))
		at++;
	return at;
}

#endif
