// SPDX-License-Identifier: BSD-2-Clause
/* Pando's memcpy and memset, under other names, against the C library's: every alignment, many lengths, no byte more. */
#include "unit.h"
#include "fake.h"

void *pando_memcpy(void *restrict dst, const void *restrict src, size_t n);
void *pando_memset(void *dst, int value, size_t n);

#define memcpy pando_memcpy
#define memset pando_memset
#include "arch/mem.c"
#undef memcpy
#undef memset

#define LEN 400
#define GAP 16

static u8 want[LEN + 2 * GAP] __attribute__((aligned(16)));
static u8 have[LEN + 2 * GAP] __attribute__((aligned(16)));
static u8 from[LEN + 2 * GAP] __attribute__((aligned(16)));

static void scramble(void)
{
	for (u32 i = 0; i < sizeof(want); i++) {
		want[i] = have[i] = (u8)fake_random();
		from[i] = (u8)fake_random();
	}
}

static void test_memcpy(void **state)
{
	(void)state;
	fake_seed(1);
	for (u32 n = 0; n < LEN; n += n < 80 ? 1 : 37) {
		for (u32 at = 0; at < 64; at++) {
			u32 to = at % 8, src = at / 8;

			scramble();
			memcpy(want + to, from + src, n);
			assert_ptr_equal(pando_memcpy(have + to, from + src, n), have + to);
			assert_memory_equal(have, want, sizeof(want));
		}
	}
}

static void test_memset(void **state)
{
	(void)state;
	fake_seed(2);
	for (u32 n = 0; n < LEN; n++) {
		for (u32 to = 0; to < 8; to++) {
			int value = n % 3 ? (int)fake_random() : 0;

			scramble();
			memset(want + to, value, n);
			assert_ptr_equal(pando_memset(have + to, value, n), have + to);
			assert_memory_equal(have, want, sizeof(want));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memcpy),
		cmocka_unit_test(test_memset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
