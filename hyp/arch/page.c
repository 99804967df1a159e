// SPDX-License-Identifier: BSD-2-Clause
/* How page_zero (page.S) clears a page: chosen once, before the other harts start. */
#include "arch/page.h"
#include "arch/page_local.h"
#include "lib/assert.h"

u32 page_cboz_block_len;

void page_use_zicboz(u32 cboz_block_len)
{
	/* page.S clears eight blocks per turn of its loop. */
	assert(cboz_block_len >= 8 && cboz_block_len <= PAGE_SIZE / 8);
	assert((cboz_block_len & (cboz_block_len - 1)) == 0);
	page_cboz_block_len = cboz_block_len;
}
