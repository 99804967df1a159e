// SPDX-License-Identifier: BSD-2-Clause
/*
 * Pando's own page table.  A range is mapped by the largest leaves that its
 * alignment allows (1 GiB, 2 MiB, 4 KiB), so 64 GiB of RAM need one page of
 * table; only the image is cut into 4 KiB pages, because its sections differ
 * in rights and stack guards must be holes.
 *
 * Leaves carry A and D from birth: hardware without Svadu would fault on the
 * first use.  Table pages come from a fixed pool, before there is any memory
 * management to ask.
 */
#include "arch/paging.h"

#include "arch/csr.h"
#include "arch/hart_local.h"
#include "lib/assert.h"

#define RIGHTS_TEXT  (PTE_R | PTE_X)
#define RIGHTS_CONST PTE_R
#define RIGHTS_DATA  (PTE_R | PTE_W)

#define SATP_MODE_SV39 (8UL << 60)
#define LEVEL_ROOT     2U
#define IDENTITY_END   (1UL << 38) /* lower half of Sv39 */
#define N_TABLES       48U

typedef u64 table_t[N_ENTRIES];

/* Symbols of the linker script. */
extern u8 image_start[], image_text_start[], image_text_end[], image_data_start[], image_end[];

static table_t tables[N_TABLES] __attribute__((aligned(4096))); /* [0] is the root */
static u32 n_tables = 1;

static u64 level_size(u32 level)
{
	return PAGE_SIZE << (9 * level);
}

static u64 *table_below(u64 *pte)
{
	u64 pa;

	if ((*pte & PTE_V) == 0) {
		if (n_tables == N_TABLES)
			return NULL;
		pa = (u64)tables[n_tables++];
		*pte = (pa >> PAGE_SHIFT << PTE_PPN_SHIFT) | PTE_V;
	}
	assert((*pte & RIGHTS_DATA) == 0); /* a larger leaf there: ranges overlap */
	return (u64 *)(*pte >> PTE_PPN_SHIFT << PAGE_SHIFT); /* NOLINT */
}

/* One leaf of `level` at `addr`; what is mapped already stays. */
static enum err map_leaf(u64 addr, u32 level, u64 rights)
{
	u64 *table = tables[0];
	u64 *pte;
	u32 l;

	for (l = LEVEL_ROOT;; l--) {
		pte = &table[(addr / level_size(l)) % N_ENTRIES];
		if (l == level)
			break;
		table = table_below(pte);
		if (table == NULL)
			return ERR_NOMEM;
	}
	if ((*pte & PTE_V) == 0)
		*pte = (addr >> PAGE_SHIFT << PTE_PPN_SHIFT) | rights | PTE_A | PTE_D | PTE_V;
	return ERR_OK;
}

static enum err map_range(u64 base, u64 end, u64 rights)
{
	u64 addr = ALIGN_DOWN(base, PAGE_SIZE);
	enum err e;
	u32 level;

	if (end > IDENTITY_END || base > end)
		return ERR_RANGE;
	while (addr < end) {
		level = LEVEL_ROOT;
		while (level > 0 &&
		       (!IS_ALIGNED(addr, level_size(level)) || level_size(level) > end - addr))
			level--;
		e = map_leaf(addr, level, rights);
		if (e != ERR_OK)
			return e;
		addr += level_size(level);
	}
	return ERR_OK;
}

static u64 image_rights(u64 addr)
{
	if (addr < (u64)image_text_end)
		return RIGHTS_TEXT;
	return addr < (u64)image_data_start ? RIGHTS_CONST : RIGHTS_DATA;
}

void paging_init(void)
{
	enum err e = ERR_OK;
	u64 addr;

	for (addr = (u64)image_start; addr < (u64)image_end && e == ERR_OK; addr += PAGE_SIZE)
		if (!paging_is_guard(addr))
			e = map_leaf(addr, 0, image_rights(addr));
	assert(e == ERR_OK);
}

enum err paging_map_ram(hpa_t base, u64 len)
{
	u64 start = u64_max(base.v, PAGE_SIZE); /* NULL stays a hole */
	u64 end = base.v + len;
	enum err e;

	if (end <= (u64)image_start || start >= (u64)image_end)
		return map_range(start, end, RIGHTS_DATA);
	e = map_range(start, u64_max(start, (u64)image_start), RIGHTS_DATA);
	if (e != ERR_OK)
		return e;
	return map_range(u64_min(end, (u64)image_end), end, RIGHTS_DATA);
}

enum err paging_map_mmio(hpa_t base, u64 len)
{
	if (base.v < PAGE_SIZE || len == 0)
		return ERR_RANGE;
	return map_range(base.v, ALIGN_UP(base.v + len, PAGE_SIZE), RIGHTS_DATA);
}

void paging_enable(void)
{
	/* The first fence orders the stores to the tables before walks, the second drops
	 * what was cached while satp was Bare. */
	__asm__ volatile("sfence.vma" ::: "memory");
	csr_write(satp, SATP_MODE_SV39 | ((u64)tables[0] >> PAGE_SHIFT));
	__asm__ volatile("sfence.vma" ::: "memory");
}

bool paging_is_guard(u64 addr)
{
	u64 offset = addr - (u64)boot_stacks;

	if (addr < (u64)boot_stacks || offset >= sizeof(boot_stacks))
		return false;
	offset %= STACK_SLOT_LEN;
	return offset < STACK_GUARD_LEN ||
	       (offset >= STACK_GUARD_LEN + STACK_LEN && offset < 2 * STACK_GUARD_LEN + STACK_LEN);
}

bool paging_is_text(u64 addr)
{
	return addr >= (u64)image_text_start && addr < (u64)image_text_end;
}

void paging_image(hpa_t *base, u64 *len)
{
	*base = HPA((u64)image_start);
	*len = (u64)image_end - (u64)image_start;
}
