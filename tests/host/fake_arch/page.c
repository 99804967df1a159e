// SPDX-License-Identifier: BSD-2-Clause
#include "fake.h"

#include <string.h>
#include "arch/page.h"

void page_copy(void *dst, const void *src)
{
	memcpy(dst, src, PAGE_SIZE);
}

void page_zero(void *dst)
{
	memset(dst, 0, PAGE_SIZE);
}

static bool compared(bool result)
{
	if (fake_on_compare)
		fake_on_compare();
	return result;
}

bool page_is_equal(const void *a, const void *b)
{
	return compared(memcmp(a, b, PAGE_SIZE) == 0);
}

bool page_is_zero(const void *page)
{
	static const u8 zeroes[PAGE_SIZE];

	return compared(memcmp(page, zeroes, PAGE_SIZE) == 0);
}

void page_use_zicboz(u32 len)
{
	(void)len;
}
