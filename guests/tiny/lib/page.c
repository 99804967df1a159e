/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sv39 page tables from a fixed pool, and the mailbox's registers.
 */
#include "guest.h"

#define N_TABLES 256
static u64 pool[N_TABLES][512] __attribute__((section(".pool"), aligned(4096)));
static u32 n_used;

u64 *page_table(void)
{
	check(n_used < N_TABLES, "out of page tables");
	return pool[n_used++];
}

u64 *page_map(u64 *root, u64 va, u64 pa, unsigned level, u64 flags)
{
	u64 *table = root;
	for (unsigned at = 2; at > level; at--) {
		u64 *entry = &table[va >> (12 + 9 * at) & 511];
		if (!*entry)
			*entry = (u64)page_table() >> 2 | PTE_V;
		table = (u64 *)(*entry >> 10 << 12);
	}
	table += va >> (12 + 9 * level) & 511;
	*table = pa >> 12 << 10 | flags | PTE_V;
	return table;
}

u64 *page_root(void)
{
	u64 *root = page_table();
	for (u64 g = 0; g < 4; g++)
		page_map(root, g << 30, g << 30, 2, PTE_RWX);
	return root;
}

void page_enable(const u64 *root, u64 asid)
{
	csr_write(satp, 8UL << 60 | asid << 44 | (u64)root >> 12);
	fence_all();
}

u32 mailbox_get(enum mailbox_reg reg)
{
	return get32(machine.mailbox + reg);
}

void mailbox_put(enum mailbox_reg reg, u32 value)
{
	put32(machine.mailbox + reg, value);
}

u32 mailbox_ready(void)
{
	check(machine.mailbox, "no mailbox: this guest runs under Pando only");
	mailbox_put(MB_READY, 1);
	return mailbox_get(MB_CLONE_ID);
}

bool goes_on(u64 end)
{
	return ticks() < end && !(machine.window && get8(machine.window));
}
