/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a clone must find, and what it must not. Before READY the guest sets up one of everything: patterned pages, page
 * tables, floating-point and counter state, a pending interrupt, an armed timer, device registers, the window, and a
 * second vCPU that waits. Each clone checks all of it, learns its number, writes that over half of the pages, by plain
 * stores, atomics and stores over two pages, and checks again and again, while its siblings do the same.
 * With a second vCPU each write is also read there: it must not go on reading through tables that a break replaced.
 * Arguments: pages=256 rounds=20; stay=1: print a line and idle instead of ending.
 */
#include "guest.h"
#include <stdatomic.h>

const char guest_name[] = "clone";

#define UART_SCRATCH   0x10000007UL
#define PLIC_PRIORITY3 0x0c00000cUL
#define WINDOW_MARK    0x5044ff00aa551234UL
#define FP_SEED        0x123456789aUL

void fp_fill(u64 seed, u64 fcsr);
u64 fp_check(u64 seed, u64 fcsr);

static u64 area, n_pages, frozen_ticks, n_rounds;
static _Atomic u64 question, answer; /* page + 1, for the second vCPU */
static u32 code[2] __attribute__((aligned(64)));

static u64 page(u64 i)
{
	return area + i * PAGE;
}

static void write_page(u64 i, u64 salt)
{
	put64(page(i), pattern(i, salt));
	put64(page(i) + 2040, pattern(i, salt + 1));
	put64(page(i) + 4088, pattern(i, salt + 2));
}

static void check_page(u64 i, u64 salt, const char *when)
{
	check(get64(page(i)) == pattern(i, salt) && get64(page(i) + 2040) == pattern(i, salt + 1) &&
	              get64(page(i) + 4088) == pattern(i, salt + 2),
	      "clone %u, %s: page %lu holds 0x%lx, not 0x%lx", mailbox_get(MB_CLONE_ID), when, i,
	      get64(page(i)), pattern(i, salt));
	check(get64(page(i) + 1024) == 0, "clone %u, %s: page %lu has a word nobody wrote",
	      mailbox_get(MB_CLONE_ID), when, i);
}

/* The second vCPU reads what it is asked, compares it with what it is told, and writes a page of its own. */
static void second(void *arg)
{
	u64 last = 0, q;
	page_enable(arg, 3);
	for (;;) {
		while ((q = atomic_load(&question)) == last)
			;
		last = q;
		put64(page(2 * n_pages + (q & 0xffff)), q);
		atomic_store(&answer, get64(page(q & 0xffff)));
	}
}

static void ask_second(u64 i, u64 expected)
{
	static u64 serial;
	u64 end = ticks() + ms(20000);
	if (machine.n_harts < 2)
		return;
	atomic_store(&answer, 0);
	atomic_store(&question, ++serial << 16 | i);
	while (!atomic_load(&answer))
		check(ticks() < end, "the second vCPU does not answer for page %lu", i);
	check(atomic_load(&answer) == expected,
	      "the second vCPU reads 0x%lx in page %lu, not 0x%lx", atomic_load(&answer), i,
	      expected);
	check(get64(page(2 * n_pages + i)) == (serial << 16 | i),
	      "the second vCPU's write to its page %lu is lost", i);
}

static void set_code(u32 value)
{
	code[0] = value << 20 | 0x513; /* li a0, value */
	code[1] = 0x8067;              /* ret */
	__asm__ volatile("fence.i" ::: "memory");
}

static u64 run_code(void)
{
	return ((u64(*)(void))(u64)code)();
}

static void set_up(void)
{
	u64 *root = page_root();
	page_enable(root, 3);
	area = free_start();
	n_pages = guest_arg("pages", 256);
	n_rounds = guest_arg("rounds", 20);
	check(area + 3 * n_pages * PAGE <= free_end(), "not enough memory for %lu pages",
	      3 * n_pages);
	for (u64 i = 0; i < 2 * n_pages; i++)
		write_page(i, 0);
	if (machine.n_harts > 1) {
		check(hart_start(other_hart(0), second, root) == SBI_OK,
		      "start of the second vCPU");
		ask_second(0, pattern(0, 0));
	}
	put64(machine.window, WINDOW_MARK);
	put8(UART_SCRATCH, 0x5c);
	put32(PLIC_PRIORITY3, 5);
	csr_write(scounteren, 5);
	csr_set(sstatus, SSTATUS_FS);
	send_ipi(this_hart()->id);
	set_code(7);
	check(run_code() == 7, "code before the freeze");
	frozen_ticks = ticks();
	sbi_set_timer(ticks() + ms(50));
}

static void check_inheritance(void)
{
	u64 end = ticks() + ms(10000);
	check(fp_check(FP_SEED, 0x60) == 0, "floating-point registers were not cloned");
	check(csr_read(sip) >> IRQ_SOFT & 1, "the pending software interrupt was not cloned");
	check(csr_read(scounteren) == 5, "scounteren is 0x%lx", csr_read(scounteren));
	check(ticks() >= frozen_ticks, "time went back from %lu to %lu", frozen_ticks, ticks());
	while (!timer_pending())
		check(ticks() < end, "the timer that was armed before the freeze never fires");
	sbi_set_timer(UINT64_MAX);
	check(get8(UART_SCRATCH) == 0x5c, "UART scratch register 0x%x", get8(UART_SCRATCH));
	check(get32(PLIC_PRIORITY3) == 5, "PLIC priority %u", get32(PLIC_PRIORITY3));
	check(get64(machine.window) == WINDOW_MARK, "window holds 0x%lx", get64(machine.window));
	check(run_code() == 7, "code after the freeze");
	for (u64 i = 0; i < 2 * n_pages; i++)
		check_page(i, 0, "before any write");
}

/* The first writes to some pages are of the kinds that a fault handler may get wrong. */
static void first_writes(u64 id)
{
	u64 at = page(1), old, failed;
	__asm__ volatile("amoswap.d %0, %1, (%2)" : "=&r"(old) : "r"(id), "r"(at) : "memory");
	check(old == pattern(1, 0) && get64(at) == id, "AMO on a shared page: 0x%lx, then 0x%lx",
	      old, get64(at));
	at = page(2);
	do
		__asm__ volatile("lr.d %0, (%2)\n sc.d %1, %3, (%2)"
		                 : "=&r"(old), "=&r"(failed)
		                 : "r"(at), "r"(id)
		                 : "memory");
	while (failed);
	check(old == pattern(2, 0) && get64(at) == id, "LR/SC on a shared page: 0x%lx, then 0x%lx",
	      old, get64(at));
	at = page(4) - 3; /* over pages 3 and 4, both shared */
	put64(at, id << 24 | 0xabcdef);
	check(get64(at) == (id << 24 | 0xabcdef), "a store over two shared pages: 0x%lx",
	      get64(at));
	put64(page(4) - 8, pattern(3, 2));
	put64(page(4), pattern(4, 0));
	check_page(3, 0, "after the store over two pages");
	check_page(4, 0, "after the store over two pages");
	set_code((u32)id % 1000 + 8);
	check(run_code() == id % 1000 + 8, "patched code ran as %lu", run_code());
}

static void write_rounds(u64 id)
{
	for (u64 round = 1; round <= n_rounds; round++) {
		u64 salt = id << 20 | round << 4;
		for (u64 i = 0; i < n_pages; i++) {
			write_page(i, salt);
			if (round == 1 || i % 64 == 0)
				ask_second(i, pattern(i, salt));
		}
		delay_ms(1);
		for (u64 i = 0; i < n_pages; i++)
			check_page(i, salt, "after writing");
	}
	for (u64 i = n_pages; i < 2 * n_pages; i++)
		check_page(i, 0, "in a page it never wrote");
}

void guest_main(void)
{
	set_up();
	print("ready");
	fp_fill(FP_SEED, 0x60);
	u32 id = mailbox_ready();
	check_inheritance();
	check(id != 0, "a clone with number 0");
	print("clone %u generation %u entropy %08x%08x", id, mailbox_get(MB_GENERATION),
	      mailbox_get(MB_ENTROPY), mailbox_get(MB_ENTROPY));
	first_writes(id);
	write_rounds(id);
	for (u64 i = 0; i < 64; i += 8)
		put64(machine.window + i, pattern(id, i));
	mailbox_put(MB_DONE, 64);
	if (!guest_arg("stay", 0))
		return;
	print("clone %u is content", id);
	for (;;)
		wfi();
}
