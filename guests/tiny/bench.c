/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest pays for what Pando does behind its back, in instructions of the machine: rdinstret counts Pando's as
 * well, and under QEMU's icount it is exact. tests/bench/breaks.py boots this guest, freezes, clones, forks and kills it
 * between the stages, and types a key when the guest may go on. Each figure is one line: "BENCH name min median max".
 */
#include "guest.h"

const char guest_name[] = "bench";

#define REGION    (2UL << 20)
#define N_REGIONS 8UL /* filled before READY */
#define UART_RBR  0x10000000UL
#define UART_LSR  0x10000005UL
#define N         48UL  /* samples of a figure */
#define AHEAD     256UL /* more frames than a hart keeps zeroed */

static u64 sample[N], overhead;

static void wait_key(const char *stage)
{
	print("STAGE %s", stage);
	while (!(get8(UART_LSR) & 1))
		delay_ms(1);
	get8(UART_RBR);
}

static u64 cost_store(u64 at)
{
	u64 before, after;
	__asm__ volatile("rdinstret %0\n\tsd %2, 8(%2)\n\trdinstret %1"
	                 : "=&r"(before), "=&r"(after)
	                 : "r"(at)
	                 : "memory");
	return after - before;
}

static u64 cost_load(u64 at)
{
	u64 before, after, v;
	__asm__ volatile("rdinstret %0\n\tld %2, 8(%3)\n\trdinstret %1"
	                 : "=&r"(before), "=&r"(after), "=&r"(v)
	                 : "r"(at)
	                 : "memory");
	return after - before;
}

static u64 cost_sbi(u64 unused)
{
	register u64 a7 __asm__("a7") = EID_BASE, a6 __asm__("a6") = 0, a0 __asm__("a0") = unused,
			a1 __asm__("a1") = 0;
	u64 before, after;
	__asm__ volatile("rdinstret %0\n\tecall\n\trdinstret %1"
	                 : "=&r"(before), "=&r"(after), "+r"(a0), "+r"(a1), "+r"(a6), "+r"(a7)
	                 :
	                 : "memory");
	return after - before;
}

static void report(const char *name, u64 n)
{
	for (u64 i = 1; i < n; i++)
		for (u64 k = i; k > 0 && sample[k] < sample[k - 1]; k--) {
			u64 t = sample[k];
			sample[k] = sample[k - 1];
			sample[k - 1] = t;
		}
	print("BENCH %s %lu %lu %lu", name, sample[0] - overhead, sample[n / 2] - overhead,
	      sample[n - 1] - overhead);
}

/* n samples of `cost`, at `at`, `at` + step, ... */
static void measure(const char *name, u64 (*cost)(u64), u64 at, u64 step, u64 n)
{
	for (u64 i = 0; i < n; i++)
		sample[i] = cost(at + i * step);
	report(name, n);
}

static void fill(u64 at, u64 n_pages)
{
	for (u64 i = 0; i < n_pages; i++)
		put64(at + i * PAGE, pattern(i, at));
}

/* Leaves the hart to Pando for a while. */
static void sleep_ms(u64 n)
{
	sbi_set_timer(ticks() + ms(n));
	csr_set(sie, 1UL << IRQ_TIMER);
	wfi();
	csr_clear(sie, 1UL << IRQ_TIMER);
	sbi_set_timer(UINT64_MAX);
}

/* In the booted VM: what needs no clone. */
static void before_freeze(u64 base)
{
	measure("sbi-call", cost_sbi, 0, 0, N);
	fill(base, AHEAD);
	measure("zero-fill", cost_store, base + AHEAD * PAGE, PAGE, N);
	sleep_ms(10);
	measure("zero-fill-ahead", cost_store, base + (AHEAD + N) * PAGE, PAGE, N);
	fill(base + (AHEAD + 2 * N) * PAGE, N);
	measure("zero-map", cost_load, base + (AHEAD + 3 * N) * PAGE, PAGE, N);
	measure("store-to-zero-page", cost_store, base + (AHEAD + 3 * N) * PAGE, PAGE, N);
	measure("mmio-load", cost_load, UART_RBR - 8, 0,
	        N); /* eight bytes, answered by one register */
}

static u8 in_block[3 * PAGE] __attribute__((aligned(4096))); /* the image lies in a 2 MiB block */

/* READY, and the very first two stores of the clone, with no stack in between: to a page of a sealed
 * region, and to one of the block that the image was loaded into. The loop lets the shell finish first. */
static void ready_and_first_stores(u64 at)
{
	u64 t0, t1, t2;
	__asm__ volatile(
		"sw zero, 0(%3)\n\tli %0, 30000000\n1:\taddi %0, %0, -1\n\tbnez %0, 1b\n\trdinstret %0\n\tsd %4, 8(%4)\n\trdinstret %1\n\tsd %5, 8(%5)\n\trdinstret %2"
		: "=&r"(t0), "=&r"(t1), "=&r"(t2)
		: "r"(machine.mailbox + MB_READY), "r"(at), "r"((u64)in_block)
		: "memory");
	sample[0] = t1 - t0;
	report("first-break", 1);
	sample[0] = t2 - t1;
	report("break-split-block", 1);
}

/* In a clone: regions 1 to N_REGIONS hold 512 written pages each. */
static void in_clone(u64 base)
{
	u64 r1 = base + REGION, r2 = r1 + REGION;
	measure("break-private-table", cost_store, r1 + PAGE, PAGE, N);
	for (u64 i = 0; i < N; i++)
		get64(r1 + (200 + i) * PAGE);
	measure("read-shared", cost_load, r1 + 300 * PAGE, PAGE, N);
	measure("break-after-read", cost_store, r1 + 200 * PAGE, PAGE, N);
	measure("break-derive-sealed", cost_store, r2, REGION, 4);
}

void guest_main(void)
{
	u64 base = (free_start() + REGION - 1) & ~(REGION - 1);

	overhead = 0;
	cost_store(base + 500 * PAGE);
	overhead = cost_store(base + 500 * PAGE);
	check(base + (N_REGIONS + 1) * REGION <= free_end(), "not enough memory");
	before_freeze(base);
	for (u64 i = 1; i <= N_REGIONS; i++)
		fill(base + i * REGION, 512);
	ready_and_first_stores(base + REGION);
	in_clone(base);
	fill(base + 6 * REGION, 512); /* 512 counted frames in a table with a block */
	wait_key("derive");           /* a clone of this clone */
	measure("break-derive-counted", cost_store, base + 6 * REGION, PAGE, 1);
	fill(base + 7 * REGION, 512);
	wait_key("own"); /* forked, and the child is gone again */
	cost_store(base + 7 * REGION);
	measure("last-owner", cost_store, base + 7 * REGION + PAGE, PAGE, N);
	fill(base + 8 * REGION, 1 + N);
	/* The scanner clears D: a store traps where the machine does not set it, and finds W. */
	wait_key("spurious");
	cost_store(base + 8 * REGION);
	measure("spurious", cost_store, base + 8 * REGION + PAGE, PAGE, N);
	wait_key("end");
}
