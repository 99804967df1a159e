/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The few things a guest wants of its device tree, read once with libfdt and kept as plain numbers, since memory tests
 * write over everything else.
 */
#include "guest.h"
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

struct machine machine;
void tree_read(u64 tree);

/* The n-th 64-bit number of a property made of pairs of cells. */
static u64 cell_pair(const void *tree, int node, const char *name, int n)
{
	int len;
	const u8 *p = fdt_getprop(tree, node, name, &len);
	if (!p || len < 8 * (n + 1))
		return 0;
	return (u64)fdt32_ld((const fdt32_t *)(p + 8 * n)) << 32 |
	       fdt32_ld((const fdt32_t *)(p + 8 * n + 4));
}

static void copy_text(const void *tree, int node, const char *name, char *to, size_t size)
{
	int len;
	const char *text = fdt_getprop(tree, node, name, &len);
	if (text)
		strncpy(to, text, size - 1);
}

static void read_cpus(const void *tree)
{
	int node, cpus = fdt_path_offset(tree, "/cpus");
	const fdt32_t *p = fdt_getprop(tree, cpus, "timebase-frequency", NULL);
	machine.timebase = p ? fdt32_ld(p) : 10000000;
	fdt_for_each_subnode (node, tree, cpus) {
		const char *type = fdt_getprop(tree, node, "device_type", NULL);
		if (!type || strcmp(type, "cpu") != 0 || machine.n_harts == MAX_HARTS)
			continue;
		p = fdt_getprop(tree, node, "reg", NULL);
		machine.hart_id[machine.n_harts++] = p ? fdt32_ld(p) : 0;
		copy_text(tree, node, "riscv,isa", machine.isa, sizeof machine.isa);
	}
	machine.has_sstc = has_extension("sstc");
}

void tree_read(u64 at)
{
	const void *tree = (const void *)at;
	int node;
	if (fdt_check_header(tree) != 0)
		fail("a1 = 0x%lx is not a device tree", at);
	machine.tree = at;
	machine.tree_len = fdt_totalsize(tree);
	node = fdt_node_offset_by_prop_value(tree, -1, "device_type", "memory", sizeof "memory");
	machine.ram_base = cell_pair(tree, node, "reg", 0);
	machine.ram_len = cell_pair(tree, node, "reg", 1);
	read_cpus(tree);
	copy_text(tree, fdt_path_offset(tree, "/chosen"), "bootargs", machine.bootargs,
	          sizeof machine.bootargs);
	node = fdt_node_offset_by_compatible(tree, -1, "pando,mailbox");
	if (node >= 0) {
		machine.mailbox = cell_pair(tree, node, "reg", 0);
		machine.window = cell_pair(tree, node, "reg", 2);
		machine.window_len = cell_pair(tree, node, "reg", 3);
	}
	if (!machine.ram_len || !machine.n_harts)
		fail("the device tree names no memory or no hart");
}

bool has_extension(const char *name)
{
	size_t len = strlen(name);
	for (const char *at = machine.isa; (at = strchr(at, '_')); at++)
		if (strncmp(at + 1, name, len) == 0 && (at[1 + len] == '_' || at[1 + len] == '\0'))
			return true;
	return false;
}

u64 guest_arg(const char *name, u64 otherwise)
{
	size_t len = strlen(name);
	for (const char *at = machine.bootargs; *at; at++)
		if ((at == machine.bootargs || at[-1] == ' ') && strncmp(at, name, len) == 0 &&
		    at[len] == '=')
			return strtoul(at + len + 1, NULL, 0);
	return otherwise;
}

u64 free_start(void)
{
	return ((u64)image_end + 2 * PAGE - 1) & ~(PAGE - 1);
}

/* Loaders put the tree near the end of RAM; what lies above it is theirs. */
u64 free_end(void)
{
	u64 end = machine.ram_base + machine.ram_len;
	if (machine.tree >= free_start() && machine.tree < end)
		end = machine.tree & ~(PAGE - 1);
	return end;
}
