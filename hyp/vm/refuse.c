/* SPDX-License-Identifier: BSD-2-Clause */
/* Why a VM could not be made, in words. */
#include <stdarg.h>
#include <stdio.h>
#include "vm/vm.h"

enum err vm_refuse(enum err e, const char **why, const char *fmt, ...)
{
	static char text[160]; /* one command at a time */
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	*why = text;
	return e;
}
