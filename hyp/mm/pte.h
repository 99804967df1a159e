/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * G-stage page-table entries, Sv39x4 (privileged spec, "Two-Stage Address
 * Translation"), and what Pando keeps in their two software bits.
 *
 *   level 2  root, 16 KiB, 2048 slots of 1 GiB: tables
 *   level 1  512 slots of 2 MiB: tables, or a block mapped by one leaf
 *   level 0  512 slots of 4 KiB: leaf, piece or zero
 *
 * A and D are preset in every leaf: a machine without Svadu would fault on an entry that lacks
 * them.  The merge scanner clears them, to see who writes; for a space that is merged in secure mode,
 * to see who reads, too.
 */
#ifndef MM_PTE_H
#define MM_PTE_H

#include "arch/csr_bits.h"

#define PTE_KIND      (3UL << 8)
#define PTE_NEXT_PAGE (1UL << PTE_PPN_SHIFT) /* adds 4 KiB to the address */

#define KIND_LEAF  (0UL << 8) /* holds one count on its frame (level 0) or block (level 1) */
#define KIND_PIECE (1UL << 8) /* slot i of its table's block; holds no count */
#define KIND_ZERO  (2UL << 8) /* the zero frame; holds no count */

#define PTE_TABLE     PTE_V
#define PTE_READ_ONLY (PTE_V | PTE_R | PTE_X | PTE_U | PTE_A | PTE_D)

#define ROOT_ENTRIES 2048U
#define ROOT_ORDER   2U /* 16 KiB */
#define GPA_LIMIT    (1UL << 41)

static inline u64 pte_make(hpa_t hpa, u64 bits)
{
	return hpa.v >> PAGE_SHIFT << PTE_PPN_SHIFT | bits;
}

static inline hpa_t pte_hpa(u64 pte)
{
	return HPA((pte << 10) >> (10 + PTE_PPN_SHIFT) << PAGE_SHIFT);
}

/* Page number of an entry that Pando wrote: nothing stands above it. */
static inline u64 pte_ppn(u64 pte)
{
	return pte >> PTE_PPN_SHIFT;
}

static inline bool pte_is_table(u64 pte)
{
	return (pte & (PTE_V | PTE_R | PTE_X)) == PTE_V;
}

/* A leaf that no guest can use, whatever for: G-stage accesses are made as if in U-mode ([priv spec,
 * "Two-Stage Address Translation"]). */
static inline bool pte_is_hidden(u64 leaf)
{
	return !(leaf & PTE_U);
}

static inline u64 pte_kind(u64 pte)
{
	return pte & PTE_KIND;
}

/* Index in a table of `level` of the entry that translates `gpa`. */
static inline u32 pte_index(gpa_t gpa, u32 level)
{
	u32 mask = level == 2 ? ROOT_ENTRIES - 1 : N_ENTRIES - 1;
	return (u32)(gpa.v >> (PAGE_SHIFT + 9 * level)) & mask;
}

/* Entries are read by the hardware walker of other harts at any time. */
static inline void pte_write(u64 *pte, u64 value)
{
	__atomic_store_n(pte, value, __ATOMIC_RELEASE);
}

#endif
