// SPDX-License-Identifier: BSD-2-Clause
#include "lib/err.h"
#include "lib/types.h"

static const struct {
	const char *code, *name;
} words[] = {
	[ERR_OK] = { "ok", "ok" },
	[ERR_NOMEM] = { "nomem", "out of memory" },
	[ERR_RESERVE] = { "nomem", "not enough memory to reserve" },
	[ERR_RANGE] = { "range", "out of range" },
	[ERR_INVAL] = { "usage", "invalid argument" },
	[ERR_STATE] = { "state", "not possible in this state" },
	[ERR_ABSENT] = { "absent", "not found" },
	[ERR_EXISTS] = { "exists", "name already in use" },
	[ERR_LIMIT] = { "limit", "limit reached" },
	[ERR_IO] = { "io", "input/output error" },
	[ERR_SYNTAX] = { "syntax", "not a command line" },
	[ERR_UNKNOWN] = { "unknown", "unknown command" },
	[ERR_BUSY] = { "busy", "too much under way" },
	[ERR_TIMEOUT] = { "timeout", "took too long" },
	[ERR_CRASH] = { "crash", "the guest has ended" },
	[ERR_FUNCTION] = { "function", "the function failed" },
	[ERR_TOOLONG] = { "toolong", "the answer is too long" },
	[ERR_BROKEN] = { "broken", "not what it should be" },
};

const char *err_name(enum err e)
{
	return (u32)e < ARRAY_LEN(words) ? words[e].name : "unknown error";
}

const char *err_code(enum err e)
{
	return (u32)e < ARRAY_LEN(words) ? words[e].code : "unknown";
}
