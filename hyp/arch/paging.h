/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pando's own address space: Sv39, every address mapped at itself.
 * Built once on the boot hart, then immutable, so nobody ever fences it again.
 */
#ifndef ARCH_PAGING_H
#define ARCH_PAGING_H

#include "lib/err.h"
#include "lib/types.h"

/* The image by section: text read-execute, constants read-only, the rest
 * read-write, stack guards not at all. */
void paging_init(void);

/* Read-write, never executable; the image and address 0 are left as they are.
 * ERR_NOMEM: the fixed pool of table pages is used up.  ERR_RANGE: above 256 GiB,
 * which Sv39 cannot map at itself. */
enum err must_check paging_map_ram(hpa_t base, u64 len);

/* Read-write: the registers of a device. */
enum err must_check paging_map_mmio(hpa_t base, u64 len);

/* This hart translates from here on. */
void paging_enable(void);

/* Does `addr` lie in a guard page of some stack, or in Pando's code? */
bool paging_is_guard(u64 addr);
bool paging_is_text(u64 addr);

/* Pando's image with .bss and stacks, whole pages. */
void paging_image(hpa_t *base, u64 *len);

#endif
