// SPDX-License-Identifier: BSD-2-Clause
/*
 * The isa string is "rv64", single letters, then names that begin with s, x or
 * z, each after an underscore; versions ("2p1") may follow a name and are
 * skipped.  Matching is by whole names: "sstc" is not in "rv64i_ssstcx".
 */
#include "drv/isa.h"

#include <libfdt.h>
#include <string.h>

static bool is_name_end(const char *p)
{
	return *p == '\0' || *p == '_' || (*p >= '0' && *p <= '9');
}

bool isa_string_has(const char *isa, const char *name)
{
	size_t len = strlen(name);
	const char *p;

	if (strncmp(isa, "rv64", 4) != 0)
		return false;
	p = isa + 4;
	if (len == 1) {
		for (; *p != '\0' && *p != '_' && strchr("sxz", *p) == NULL; p++)
			if (*p == *name)
				return true;
		return false;
	}
	for (p = strchr(p, '_'); p != NULL; p = strchr(p, '_')) {
		p++;
		if (strncmp(p, name, len) == 0 && is_name_end(p + len))
			return true;
	}
	return false;
}

bool isa_has(const void *fdt, int node, const char *name)
{
	const char *prop;
	int len;

	prop = fdt_getprop(fdt, node, "riscv,isa-extensions", &len);
	if (prop != NULL)
		return fdt_stringlist_contains(prop, len, name) == 1;
	prop = fdt_getprop(fdt, node, "riscv,isa", &len);
	return prop != NULL && isa_string_has(prop, name);
}
