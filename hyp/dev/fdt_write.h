/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small helpers over libfdt's sequential-write functions.
 */
#ifndef DEV_FDT_WRITE_H
#define DEV_FDT_WRITE_H

#include "lib/types.h"
#include <libfdt.h>
#include <string.h>

/* Passes the first libfdt error on to the caller. */
#define FDT_TRY(call)                    \
	do {                             \
		int fdt_err_ = (call);   \
		if (fdt_err_ < 0)        \
			return fdt_err_; \
	} while (0)

/* `reg` of one range, two cells each for address and length (bytes). */
static inline int fdt_write_reg(void *fdt, u64 base, u64 len)
{
	const fdt64_t reg[] = { cpu_to_fdt64(base), cpu_to_fdt64(len) };

	return fdt_property(fdt, "reg", reg, sizeof(reg));
}

/* A property that is one string, its NUL included. */
static inline int fdt_write_string(void *fdt, const char *name, const char *value)
{
	return fdt_property(fdt, name, value, (int)strlen(value) + 1);
}

#endif
