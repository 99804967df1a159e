/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All of RAM: what nobody has written reads as zero, first by loads alone; then every page is written, in an order that
 * jumps about, by every width, and read back; an atomic and a misaligned store over two fresh pages are first touches
 * as well.
 */
#include "guest.h"

const char guest_name[] = "memory";

static u64 start, n_pages;

/* Visits all pages once: an odd stride modulo a power of two, skipping what is beyond. */
static u64 page_at(u64 i)
{
	u64 all = 1;
	while (all < n_pages)
		all <<= 1;
	u64 p = i * 0x9e3779b1UL & (all - 1);
	return p < n_pages ? start + p * PAGE : 0;
}

static u64 n_visits(void)
{
	u64 all = 1;
	while (all < n_pages)
		all <<= 1;
	return all;
}

static void test_zero(void)
{
	for (u64 p = 0; p < n_pages; p += 3)
		for (u64 at = 0; at < PAGE; at += 512 - 8)
			check(get64(start + p * PAGE + at) == 0,
			      "0x%lx is 0x%lx before it was written", start + p * PAGE + at,
			      get64(start + p * PAGE + at));
}

/* The last three pages of the area are touched first by an AMO, by LR/SC, and by a store across a border. */
static void test_first_touch(void)
{
	u64 at = start + (n_pages - 3) * PAGE, got, failed;
	__asm__ volatile("amoadd.d %0, %1, (%2)" : "=r"(got) : "r"(5UL), "r"(at + 64) : "memory");
	check(got == 0 && get64(at + 64) == 5, "AMO as the first touch: was 0x%lx, is 0x%lx", got,
	      get64(at + 64));
	do
		__asm__ volatile("lr.d t0, (%1)\n addi t0, t0, 9\n sc.d %0, t0, (%1)"
		                 : "=&r"(failed)
		                 : "r"(at + PAGE)
		                 : "t0", "memory");
	while (failed);
	check(get64(at + PAGE) == 9, "LR/SC as the first touch: 0x%lx", get64(at + PAGE));
	put64(at + 2 * PAGE - 3, 0x1122334455667788UL);
	check(get64(at + 2 * PAGE - 3) == 0x1122334455667788UL, "a store over two pages");
	check(get8(at + 2 * PAGE) == 0x55 && get8(at + 2 * PAGE - 1) == 0x66, "its halves");
	for (u64 i = 0; i < 3 * PAGE; i += 8)
		put64(at + i, 0);
}

static void write_all(u64 salt)
{
	for (u64 i = 0; i < n_visits(); i++) {
		u64 p = page_at(i);
		if (!p)
			continue;
		put64(p, pattern(p, salt));
		put32(p + 1020, pattern(p, salt + 1));
		put8(p + 2047, pattern(p, salt + 2));
		put64(p + PAGE - 8, pattern(p, salt + 3));
	}
}

static void check_all(u64 salt)
{
	for (u64 i = 0; i < n_visits(); i++) {
		u64 p = page_at(i * 3);
		if (!p)
			continue;
		check(get64(p) == pattern(p, salt) &&
		              get32(p + 1020) == (u32)pattern(p, salt + 1) &&
		              get8(p + 2047) == (u8)pattern(p, salt + 2) &&
		              get64(p + PAGE - 8) == pattern(p, salt + 3),
		      "page 0x%lx lost what was written", p);
		check(get64(p + 512) == 0, "page 0x%lx holds something that nobody wrote", p);
	}
}

void guest_main(void)
{
	start = free_start();
	n_pages = (free_end() - start) / PAGE;
	check(n_pages > 16, "no memory to test");
	test_zero();
	test_first_touch();
	write_all(1);
	check_all(1);
	write_all(7);
	check_all(7);
}
