/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for the merge scanner, and what a guest pays for its work, in instructions of the machine. `pages` pages are
 * filled; `copies` neighbours at a time hold the same. tests/bench/dedup.py scans while the guest sleeps, and then has it
 * load from pages and store to them. A clone (diverge=1) first stores to each page of its template, and puts back
 * what was there when it is given work. A busy one (busy=ROUNDS) rewrites a part of its pages in each round, part after part,
 * and computes for a while (work=INSTRUCTIONS); in the end it says how long all that took.
 * Arguments: pages=1024 copies=1 diverge=0 busy=0 parts=1 work=0
 */
#include "guest.h"

const char guest_name[] = "bench_dedup";

#define UART_RBR 0x10000000UL
#define UART_LSR 0x10000005UL
#define REGION   (2UL << 20)
#define N        64UL

static u64 area, n_pages, n_copies;

/* A scan wants a guest that stands still. */
static void wait_key(const char *stage)
{
	print("STAGE %s", stage);
	csr_set(sie, 1UL << IRQ_TIMER);
	while (!(get8(UART_LSR) & 1)) {
		sbi_set_timer(ticks() + ms(10));
		csr_set(sie, 1UL << IRQ_TIMER);
		wfi();
	}
	csr_clear(sie, 1UL << IRQ_TIMER);
	get8(UART_RBR);
}

static void fill(void)
{
	for (u64 i = 0; i < n_pages; i++)
		for (u64 at = 0; at < PAGE; at += 8)
			put64(area + i * PAGE + at, pattern(i / n_copies, at));
}

static void look(void)
{
	for (u64 i = 0; i < n_pages; i++)
		for (u64 at = 0; at < PAGE; at += 8)
			check(get64(area + i * PAGE + at) == pattern(i / n_copies, at),
			      "page %lu changed at %lu", i, at);
}

/* Mean of N accesses, each to another page: one instruction is the access. */
static u64 cost(bool is_store)
{
	u64 sum = 0;

	for (u64 i = 0; i < N; i++)
		sum += access_cost(area + i * PAGE, is_store, pattern(i / n_copies, 0));
	return sum / N;
}

static void be_busy(u64 rounds)
{
	u64 start = ticks(), len = n_pages / guest_arg("parts", 1), work = guest_arg("work", 0) / 2;

	for (u64 r = 0; r < rounds; r++) {
		u64 first = r * len % n_pages;

		for (u64 i = first; i < first + len; i++)
			for (u64 at = 0; at < PAGE; at += 8)
				put64(area + i * PAGE + at,
				      (i / n_copies << 32) + at + r * len / n_pages);
		for (u64 n = work; n > 0; n--)
			__asm__ volatile("" : "+r"(n));
	}
	print("BENCH busy %lu", ticks() - start);
}

static void booted(void)
{
	wait_key("filled");
	be_busy(guest_arg("busy", 0));
	print("BENCH load %lu", cost(false));
	print("BENCH store %lu", cost(true));
	if (!guest_arg("busy", 0))
		look();
	wait_key("end");
}

static void cloned(void)
{
	mailbox_ready();
	for (u64 i = 0; i < n_pages; i++)
		put64(area + i * PAGE, pattern(i, i));
	mailbox_put(MB_DONE, 0);
	mailbox_get(MB_NEXT);
	for (u64 i = 0; i < n_pages; i++)
		put64(area + i * PAGE, pattern(i / n_copies, 0));
	look();
	mailbox_put(MB_DONE, 0);
	for (;;)
		wfi();
}

void guest_main(void)
{
	area = (free_start() + REGION - 1) & ~(REGION - 1); /* not in the image's block */
	n_pages = guest_arg("pages", 1024);
	n_copies = guest_arg("copies", 1);
	check(area + n_pages * PAGE <= free_end(), "not enough memory");
	fill();
	if (guest_arg("diverge", 0))
		cloned();
	booted();
}
