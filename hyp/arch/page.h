/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole-page loops, the inner loops of cloning: hand-scheduled ld/sd in page.S. */
#ifndef ARCH_PAGE_H
#define ARCH_PAGE_H

#include "lib/types.h"

/* Copies 4096 bytes; both pointers 4 KiB aligned, not overlapping. */
void page_copy(void *dst, const void *src);

/* Zeroes 4096 bytes at a 4 KiB aligned address; cbo.zero where the machine has Zicboz. */
void page_zero(void *dst);

/* Are 4096 bytes equal?  Stops at the first difference. */
bool page_is_equal(const void *a, const void *b);

/* Are 4096 bytes all zero?  Stops at the first that is not. */
bool page_is_zero(const void *page);

/* Chosen once at boot from the machine's isa string: zero by cbo.zero. */
void page_use_zicboz(u32 cboz_block_len);

#endif
