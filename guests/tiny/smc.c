/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code that changes: each new version is run after a local fence.i, and on another hart after a remote one.
 * Arguments: rounds=3000
 */
#include "guest.h"
#include <stdatomic.h>

const char guest_name[] = "smc";

static u32 code[1024] __attribute__((aligned(4096)));
static _Atomic u64 request, answer;

/* "li a0, n; ret" for n < 2048 at a place that moves with n. */
static u64 (*write_code(u64 n))(void)
{
	u32 *at = &code[n % 500 * 2];
	at[0] = (u32)n << 20 | 0x513;
	at[1] = 0x8067;
	return (u64(*)(void))(u64)at;
}

static void runner(void *arg)
{
	(void)arg;
	for (u64 done = 0;;) {
		u64 n = atomic_load(&request);
		if (n == UINT64_MAX)
			return;
		if (n == done)
			continue;
		u64 (*fn)(void) = (u64(*)(void))(u64)&code[n % 2000 % 500 * 2];
		atomic_store(&answer, n << 16 | fn());
		done = n;
	}
}

static void test_remote(u64 other, u64 rounds)
{
	check(hart_start(other, runner, NULL) == SBI_OK, "start");
	for (u64 i = 1; i <= rounds; i++) {
		u64 end = ticks() + ms(10000), got;
		write_code(i % 2000);
		check(sbi(EID_RFENCE, 0, 1, other, 0, 0, 0).error == SBI_OK, "remote fence.i");
		atomic_store(&request, i);
		while ((got = atomic_load(&answer)) >> 16 != i)
			check(ticks() < end, "the other hart does not answer in round %lu", i);
		check((got & 0xffff) == i % 2000, "the other hart ran old code: %lu instead of %lu",
		      got & 0xffff, i % 2000);
	}
	atomic_store(&request, UINT64_MAX);
	hart_await(other, 1);
}

void guest_main(void)
{
	u64 rounds = guest_arg("rounds", 3000);
	for (u64 i = 0; i < rounds; i++) {
		u64 (*fn)(void) = write_code(i % 2000);
		__asm__ volatile("fence.i" ::: "memory");
		check(fn() == i % 2000, "old code ran in round %lu", i);
	}
	if (machine.n_harts > 1)
		test_remote(other_hart(0), rounds);
}
