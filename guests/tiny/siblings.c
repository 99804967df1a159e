/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All vCPUs of a VM at the same pages at once, while the VM is cloned, forked, paused and moved between harts. In each page each
 * vCPU has a word of its own, of which it knows what it must hold; all share a counter by AMO and one by LR/SC; every
 * boundary between two pages belongs to one vCPU, which stores across it. Each patches code of its own in a page that they share. Words carry
 * the VM's generation, so that neither side of a fork can take the other's for its own.
 * Arguments: pages=32 ms=2000, or less if it is given anything, ready=1
 */
#include "guest.h"
#include <stdatomic.h>

const char guest_name[] = "siblings";

#define N_PAGES_MAX 256
#define AMO_WORD    1024
#define LRSC_WORD   2048

static u64 expected[MAX_HARTS][N_PAGES_MAX], n_amo[MAX_HARTS], n_lrsc[MAX_HARTS];
static u32 code[MAX_HARTS][16] __attribute__((aligned(4096)));
static u64 area, n_pages, end;
static _Atomic u64 n_started, n_ended;

/* One more in the counter at `at`, however often a sibling or a break comes between. */
static void add_lrsc(u64 at)
{
	u64 failed = 1;

	while (failed)
		__asm__ volatile("lr.d t0, (%1)\n"
		                 "addi t0, t0, 1\n"
		                 "sc.d %0, t0, (%1)"
		                 : "=&r"(failed)
		                 : "r"(at)
		                 : "t0", "memory");
}

static void use_page(u64 me, u64 i, u64 salt)
{
	u64 at = area + i * PAGE, own = at + 64 * (me + 1), across = at + PAGE - 4;

	check(get64(own) == expected[me][i], "vCPU %lu page %lu: 0x%lx, not 0x%lx", me, i,
	      get64(own), expected[me][i]);
	expected[me][i] = pattern(i * MAX_HARTS + me, salt);
	put64(own, expected[me][i]);
	__asm__ volatile("amoadd.d zero, %0, (%1)" ::"r"(1UL), "r"(at + AMO_WORD) : "memory");
	n_amo[me]++;
	add_lrsc(at + LRSC_WORD);
	n_lrsc[me]++;
	if (i % machine.n_harts != me)
		return;
	put64(across, salt ^ i);
	check(get64(across) == (salt ^ i), "vCPU %lu: the store across pages %lu and %lu is lost",
	      me, i, i + 1);
}

static void use_code(u64 me, u32 value)
{
	code[me][0] = value << 20 | 0x513; /* li a0, value */
	code[me][1] = 0x8067;              /* ret */
	__asm__ volatile("fence.i" ::: "memory");
	check(((u64(*)(void))(u64)code[me])() == value, "vCPU %lu runs old code", me);
}

static void work(void *arg)
{
	u64 me = (u64)arg, round = 0;

	atomic_fetch_add(&n_started, 1);
	while (atomic_load(&n_started) < machine.n_harts)
		;
	for (; goes_on(end); round++) {
		u64 salt = (u64)mailbox_get(MB_GENERATION) << 40 | (round << 4 | me);

		for (u64 k = 0; k < n_pages; k++)
			use_page(me, (k + me * (round % 3)) % n_pages, salt);
		use_code(me, (u32)(round % 2000));
	}
	atomic_fetch_add(&n_ended, 1);
}

static void check_counters(void)
{
	u64 amo = 0, lrsc = 0;

	for (u64 i = 0; i < n_pages; i++) {
		amo += get64(area + i * PAGE + AMO_WORD);
		lrsc += get64(area + i * PAGE + LRSC_WORD);
	}
	for (u64 h = 0; h < MAX_HARTS; h++) {
		amo -= n_amo[h];
		lrsc -= n_lrsc[h];
	}
	check(amo == 0, "AMO: %ld more than were added", (long)amo);
	check(lrsc == 0, "LR/SC: %ld more than were added", (long)lrsc);
}

void guest_main(void)
{
	u64 limit;

	area = free_start();
	n_pages = guest_arg("pages", 32);
	check(n_pages <= N_PAGES_MAX, "at most %u pages", N_PAGES_MAX);
	for (u64 i = 0; i <= n_pages; i++)
		for (u64 at = 0; at < PAGE; at += 8)
			put64(area + i * PAGE + at, 0);
	end = UINT64_MAX;
	for (u64 h = 1; h < machine.n_harts; h++)
		check(hart_start(other_hart(h - 1), work, (void *)h) == SBI_OK, "start");
	if (guest_arg("ready", 1)) /* the others wait for us, and are frozen as they do */
		mailbox_ready();
	print("running");
	end = ticks() + ms(guest_arg("ms", 2000));
	work((void *)0);
	limit = ticks() + ms(60000);
	while (atomic_load(&n_ended) < machine.n_harts)
		check(ticks() < limit, "a sibling does not end");
	check_counters();
	print("%lu pages used", n_amo[0]);
	if (guest_arg("ready", 1))
		mailbox_put(MB_DONE, 64);
}
