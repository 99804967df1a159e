/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pando's own memcpy and memset (arch/mem.c), under other names: every alignment, every short length, nothing written beside
 * what was asked for, and nothing read beyond: the source lies at the very end of its memory, or at the very beginning.
 */
#include <sys/mman.h>
#include "unit.h"
#include "lib/types.h"

void *arch_memcpy(void *restrict dst, const void *restrict src, size_t n);
void *arch_memset(void *dst, int value, size_t n);
#define memcpy arch_memcpy
#define memset arch_memset
#include "../../hyp/arch/mem.c"
#undef memcpy
#undef memset

#define LEN  200U
#define EDGE 16U

static u8 *page; /* nothing is before it, nothing behind it */
static u8 to[LEN + 2 * EDGE] __attribute__((aligned(8)));

static int up(void **state)
{
	u8 *p = mmap(NULL, 3 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	page = p + PAGE_SIZE;
	assert_int_equal(mprotect(page, PAGE_SIZE, PROT_READ | PROT_WRITE), 0);
	for (u32 i = 0; i < PAGE_SIZE; i++)
		page[i] = (u8)(i * 7 + i / 256 + 1);
	return 0;
}

static void check_copy(const u8 *from, u32 at, u32 len)
{
	for (u32 i = 0; i < sizeof(to); i++)
		to[i] = 0xee;
	assert_ptr_equal(arch_memcpy(to + at, from, len), to + at);
	for (u32 i = 0; i < sizeof(to); i++)
		assert_int_equal(to[i], i >= at && i < at + len ? from[i - at] : 0xee);
}

static void test_memcpy(void **state)
{
	(void)state;
	for (u32 at = EDGE; at < EDGE + 8; at++) {
		for (u32 len = 0; len <= LEN - 8; len++) {
			check_copy(page + PAGE_SIZE - len, at, len);
			for (u32 begin = 0; begin < 8; begin++)
				check_copy(page + begin, at, len);
		}
	}
}

static void test_memset(void **state)
{
	(void)state;
	for (u32 at = EDGE; at < EDGE + 8; at++) {
		for (u32 len = 0; len <= LEN - 8; len++) {
			for (u32 i = 0; i < sizeof(to); i++)
				to[i] = 0xee;
			arch_memset(to + at, (int)len & 1 ? 0x1a5 : 0, len);
			for (u32 i = 0; i < sizeof(to); i++)
				assert_int_equal(to[i], i < at || i >= at + len ? 0xee
				                        : len & 1               ? 0xa5
				                                                : 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memcpy),
		cmocka_unit_test(test_memset),
	};

	return cmocka_run_group_tests(tests, up, NULL);
}
