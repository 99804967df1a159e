/* SPDX-License-Identifier: BSD-2-Clause */
/* What page.c tells page.S. */
#ifndef ARCH_PAGE_LOCAL_H
#define ARCH_PAGE_LOCAL_H

#include "lib/types.h"

/* Bytes that one cbo.zero clears; 0: page_zero uses stores. */
extern u32 page_cboz_block_len;

#endif
