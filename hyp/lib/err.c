// SPDX-License-Identifier: BSD-2-Clause
#include "lib/err.h"

const char *err_name(enum err e)
{
	switch (e) {
	case ERR_OK: return "ok";
	case ERR_NOMEM: return "out of memory";
	case ERR_RESERVE: return "not enough memory to reserve";
	case ERR_RANGE: return "out of range";
	case ERR_INVAL: return "invalid argument";
	case ERR_STATE: return "not possible in this state";
	case ERR_ABSENT: return "not found";
	case ERR_EXISTS: return "name already in use";
	case ERR_LIMIT: return "limit reached";
	case ERR_IO: return "input/output error";
	}
	return "unknown error";
}
