/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Remote fences: hart B keeps reading a page, hart A maps another frame there and fences B by every odd range, mask and
 * ASID form; B must then see the new frame. Afterwards both do that to each other at once, which is where two harts
 * that wait for each other would hang; and fence.i goes the same way.
 */
#include "guest.h"
#include <stdatomic.h>

const char guest_name[] = "rfence";

#define VA   0x3000000000UL
#define ASID 5UL
enum { FENCE_I, SFENCE, SFENCE_ASID };

static u64 frames[4][512] __attribute__((aligned(4096)));
static u64 *roots[2]; /* per side */
static u64 *entries[2];
static _Atomic u64 seen, asked, stop;
static u64 ids[2];

static struct sbi_ret rfence(u64 fid, u64 mask, u64 base, u64 start, u64 len, u64 asid)
{
	return sbi(EID_RFENCE, fid, mask, base, start, len, asid);
}

static void set_frame(u64 side, u64 n)
{
	*(volatile u64 *)entries[side] = (u64)frames[n] >> 12 << 10 | PTE_RW | PTE_V;
	__asm__ volatile("fence rw, rw" ::: "memory");
}

/* Hart B: reads the page all the time; answers each question with what it read after it. */
static void reader(void *arg)
{
	page_enable(roots[1], ASID);
	(void)arg;
	while (!atomic_load(&stop)) {
		u64 question = atomic_load(&asked);
		u64 value = get64(VA);
		atomic_store(&seen, question << 8 | value);
	}
	csr_write(satp, 0);
}

static u64 ask(void)
{
	u64 question = atomic_fetch_add(&asked, 1) + 1, end = ticks() + ms(10000), answer;
	while ((answer = atomic_load(&seen)) >> 8 != question)
		check(ticks() < end, "the reader does not answer");
	return answer & 255;
}

static void test_ranges(u64 other)
{
	static const struct {
		u64 fid, start, len;
	} way[] = {
		{ SFENCE, VA, PAGE },
		{ SFENCE, 0, 0 },
		{ SFENCE, 0, UINT64_MAX },
		{ SFENCE, VA, UINT64_MAX },
		{ SFENCE, VA - PAGE, 3 * PAGE },
		{ SFENCE, VA + 8, 1 },
		{ SFENCE, VA - 4096 * PAGE, 8192 * PAGE },
		{ SFENCE, VA - (1UL << 37), 1UL << 38 },
		{ SFENCE_ASID, VA, PAGE },
		{ SFENCE_ASID, 0, UINT64_MAX },
		{ SFENCE_ASID, 0, 0 },
		{ SFENCE_ASID, VA - 100 * PAGE, 1000 * PAGE },
	};
	const struct {
		u64 mask, base;
	} to[] = { { 1, other }, { 1UL << other, 0 }, { 0, UINT64_MAX }, { 123, UINT64_MAX } };
	u64 n = 0;
	for (u32 round = 0; round < 20; round++)
		for (u32 w = 0; w < sizeof way / sizeof way[0]; w++) {
			u32 t = (round + w) % 4;
			n = (n + 1) % 4;
			set_frame(1, n);
			struct sbi_ret r = rfence(way[w].fid, to[t].mask, to[t].base, way[w].start,
			                          way[w].len, ASID);
			check(r.error == SBI_OK, "way %u to %u: error %ld", w, t, r.error);
			u64 got = ask();
			check(got == n, "way %u to %u: the other hart reads frame %lu, not %lu", w,
			      t, got, n);
		}
}

/* Ranges that overflow, and harts that are not there. */
static void test_odd(u64 self)
{
	check(rfence(SFENCE, 1, self, UINT64_MAX - PAGE, PAGE, 0).error == SBI_OK,
	      "range at the top");
	(void)rfence(SFENCE, 1, self, UINT64_MAX - PAGE, 8 * PAGE, 0);
	(void)rfence(SFENCE_ASID, 1, self, UINT64_MAX, UINT64_MAX, UINT64_MAX);
	(void)rfence(SFENCE, 1, self, 1, UINT64_MAX - 1, 0);
	check(rfence(SFENCE, 0, 0, 0, UINT64_MAX, 0).error == SBI_OK, "an empty mask");
	check(rfence(SFENCE, 1, 1000, 0, PAGE, 0).error == SBI_INVALID_PARAM, "hart 1000");
	check(rfence(SFENCE, 1UL << 63, 0, 0, PAGE, 0).error == SBI_INVALID_PARAM, "hart 63");
	check(rfence(SFENCE, 1, UINT64_MAX - 1, 0, PAGE, 0).error != SBI_OK, "base -2");
	check(rfence(FENCE_I, 2, UINT64_MAX - 1, 0, PAGE, 0).error != SBI_OK,
	      "base + bit wraps around");
	check(rfence(77, 1, self, 0, PAGE, 0).error == SBI_NOT_SUPPORTED, "function 77");
	check(rfence(3, 1, self, 0, PAGE, 0).error == SBI_NOT_SUPPORTED,
	      "hfence without the H extension");
}

/* More fences than any queue holds, without waiting for the other to run: it must still see the last frame. */
static void test_many(u64 other)
{
	for (u32 i = 0; i < 200; i++) {
		set_frame(1, i % 4);
		check(rfence(SFENCE, 1, other, VA, PAGE, 0).error == SBI_OK, "fence %u of many", i);
	}
	check(ask() == 3, "stale translation after many fences");
}

/* Each side maps its own page anew and fences everybody, at once with the other side. */
static void fence_all_day(u64 side)
{
	u64 n_rounds = guest_arg("rounds", 3000);
	page_enable(roots[side], side);
	for (u64 i = 0; i < n_rounds; i++) {
		set_frame(side, i % 4);
		struct sbi_ret r =
			rfence(i & 1 ? SFENCE : SFENCE_ASID, 0, UINT64_MAX, VA, PAGE, side);
		check(r.error == SBI_OK, "mutual fence: error %ld", r.error);
		check(get64(VA) == i % 4, "mutual fence, side %lu: frame %lu, not %lu", side,
		      get64(VA), i % 4);
		if (i % 16 == 0)
			check(rfence(FENCE_I, 3, 0, 0, 0, 0).error == SBI_OK || !under_pando(),
			      "remote fence.i");
	}
	csr_write(satp, 0);
	fence_all();
}

static void other_side(void *arg)
{
	(void)arg;
	fence_all_day(1);
}

void guest_main(void)
{
	ids[0] = this_hart()->id;
	ids[1] = other_hart(0);
	for (u64 n = 0; n < 4; n++)
		frames[n][0] = n;
	for (u64 side = 0; side < 2; side++) {
		roots[side] = page_root();
		entries[side] = page_map(roots[side], VA, (u64)frames[0], 0, PTE_RW);
	}
	if (under_pando())
		test_odd(ids[0]);
	check(hart_start(ids[1], reader, NULL) == SBI_OK, "start");
	test_ranges(ids[1]);
	test_many(ids[1]);
	atomic_store(&stop, 1);
	hart_await(ids[1], 1);
	check(hart_start(ids[1], other_side, NULL) == SBI_OK, "start of the second round");
	fence_all_day(0);
	hart_await(ids[1], 1);
}
