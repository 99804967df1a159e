/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device registers by every kind of load and store: widths, sign extension, compressed forms, every register that a
 * compressed form can name, x0; PLIC priorities, enables, threshold, claim and complete with the UART's transmitter
 * interrupt; and the mailbox's fixed registers.
 */
#include "guest.h"

const char guest_name[] = "mmio";

#define UART          0x10000000UL
#define SCRATCH       (UART + 7) /* scratch register: reads back what was written */
#define PLIC          0x0c000000UL
#define UART_IRQ      10UL
#define PRIORITY(irq) (PLIC + 4 * (irq))

static u64 context; /* S-mode's of this hart */

#define LOAD(op, addr)                                                               \
	({                                                                           \
		u64 v_;                                                              \
		__asm__ volatile(op " %0, 0(%1)" : "=r"(v_) : "r"(addr) : "memory"); \
		v_;                                                                  \
	})
#define STORE(op, addr, value) \
	__asm__ volatile(op " %0, 0(%1)" ::"r"((u64)(value)), "r"(addr) : "memory")

/* One compressed load and store of PRIORITY(3) through `reg`, with offset 4 from PRIORITY(2). */
#define COMPRESSED(reg, base)                                                                    \
	do {                                                                                     \
		u64 got_;                                                                        \
		__asm__ volatile("li " reg ", 5\n mv " base ", %1\n c.sw " reg ", 4(" base ")\n" \
		                 "li " reg ", -1\n c.lw " reg ", 4(" base ")\n mv %0, " reg      \
		                 : "=r"(got_)                                                    \
		                 : "r"(PRIORITY(2))                                              \
		                 : reg, base, "memory");                                         \
		check(got_ == 5, "c.lw/c.sw " reg ", 4(" base "): 0x%lx", got_);                 \
		put32(PRIORITY(3), 0);                                                           \
	} while (0)

static void test_widths(void)
{
	STORE("sb", SCRATCH, 0x1a5);
	check(LOAD("lbu", SCRATCH) == 0xa5, "lbu: 0x%lx", LOAD("lbu", SCRATCH));
	check(LOAD("lb", SCRATCH) == 0xffffffffffffffa5UL, "lb: 0x%lx", LOAD("lb", SCRATCH));
	STORE("sb", SCRATCH, 0x7f);
	check(LOAD("lb", SCRATCH) == 0x7f, "lb: 0x%lx", LOAD("lb", SCRATCH));
	__asm__ volatile("sb zero, 0(%0)" ::"r"(SCRATCH) : "memory");
	check(LOAD("lbu", SCRATCH) == 0, "sb zero: 0x%lx", LOAD("lbu", SCRATCH));
	__asm__ volatile("lb zero, 0(%0)\n lw zero, 0(%1)" ::"r"(SCRATCH), "r"(PRIORITY(1))
	                 : "memory");
	STORE("sw", PRIORITY(UART_IRQ), 7);
	check(LOAD("lw", PRIORITY(UART_IRQ)) == 7, "lw: 0x%lx", LOAD("lw", PRIORITY(UART_IRQ)));
	check(LOAD("lwu", PRIORITY(UART_IRQ)) == 7, "lwu: 0x%lx", LOAD("lwu", PRIORITY(UART_IRQ)));
	/* Offsets: the immediate's sign bit and its split over two fields. */
	__asm__ volatile("sb %0, -2041(%1)" ::"r"(0x5aUL), "r"(UART + 2048) : "memory");
	u64 got;
	__asm__ volatile("lbu %0, 2047(%1)" : "=r"(got) : "r"(UART + 7 - 2047) : "memory");
	check(got == 0x5a, "offsets -2041 and 2047: 0x%lx", got);
	/* The enables of 32 sources have their top bit in reach of a sign extension. */
	u64 enable = PLIC + 0x2000 + 0x80 * context;
	STORE("sw", enable, 0xfffffffe);
	u64 mask = LOAD("lwu", enable);
	check(mask >> 31 == 1 && mask >> 32 == 0, "lwu of the enables: 0x%lx", mask);
	check(LOAD("lw", enable) == (mask | 0xffffffff00000000UL), "lw of the enables: 0x%lx",
	      LOAD("lw", enable));
	STORE("sw", enable, 0);
}

static void test_registers(void)
{
	COMPRESSED("s1", "a0");
	COMPRESSED("a0", "a1");
	COMPRESSED("a1", "a2");
	COMPRESSED("a2", "a3");
	COMPRESSED("a3", "a4");
	COMPRESSED("a4", "a5");
	COMPRESSED("a5", "s1");
#define FULL(reg)                                                                               \
	do {                                                                                    \
		u64 got_;                                                                       \
		__asm__ volatile("li " reg ", 6\n sw " reg ", 0(%1)\n li " reg ", -1\n lw " reg \
		                 ", 0(%1)\n mv %0, " reg                                        \
		                 : "=&r"(got_)                                                  \
		                 : "r"(PRIORITY(3))                                             \
		                 : reg, "memory");                                              \
		check(got_ == 6, "lw/sw " reg ": 0x%lx", got_);                                 \
		put32(PRIORITY(3), 0);                                                          \
	} while (0)
	FULL("ra");
	FULL("t0");
	FULL("t1");
	FULL("t2");
	FULL("a6");
	FULL("a7");
	FULL("s2");
	FULL("s3");
	FULL("s4");
	FULL("s5");
	FULL("s6");
	FULL("s7");
	FULL("s8");
	FULL("s9");
	FULL("s10");
	FULL("s11");
	FULL("t3");
	FULL("t4");
	FULL("t5");
	FULL("t6");
}

static void load_word(u64 a)
{
	(void)get32(a);
}
static void store_word(u64 a)
{
	put32(a, 0);
}
static void load_atomic(u64 a)
{
	__asm__ volatile("amoor.w t0, zero, (%0)" ::"r"(a) : "t0", "memory");
}
static void jump(u64 a)
{
	__asm__ volatile("jr %0" ::"r"(a));
}

static void test_faults(void)
{
	static const u64 absent[] = { 0x0a000000, 0x04000ffc, 0x04001010, 0x0bfffffc,
		                      0x0ffffff8, 0x30000000, 0x7ffffff8 };
	for (u32 i = 0; i < sizeof absent / sizeof absent[0]; i++) {
		check(catch_s(load_word, absent[i]), "load from 0x%lx: no fault", absent[i]);
		expect_trap("load from nothing", C_LOAD_ACCESS, absent[i], 1);
		check(catch_s(store_word, absent[i]), "store to 0x%lx: no fault", absent[i]);
		expect_trap("store to nothing", C_STORE_ACCESS, absent[i], 1);
	}
	check(catch_s(jump, UART), "jump into the UART");
	expect_trap("jump into the UART", C_FETCH_ACCESS, UART, 1);
	check(catch_s(load_atomic, PRIORITY(1)), "AMO on the PLIC: no fault");
	u64 cause = this_hart()->cause;
	check(cause == C_STORE_ACCESS || cause == C_LOAD_ACCESS, "AMO on the PLIC: cause %lu",
	      cause);
}

static u64 claim_reg(void)
{
	return PLIC + 0x200000 + 0x1000 * context + 4;
}

static u32 n_claimed;
static void take_external(struct hart *h, u64 irq)
{
	(void)h;
	check(irq == IRQ_EXT, "interrupt %lu", irq);
	u32 source = get32(claim_reg());
	check(source == UART_IRQ, "claimed source %u", source);
	check(get32(claim_reg()) == 0, "claimed twice");
	check(!(csr_read(sip) >> IRQ_EXT & 1), "still pending while it is claimed");
	put8(UART + 1, 0); /* the source falls silent */
	put32(claim_reg(), source);
	n_claimed++;
}

/* Turns the transmitter's interrupt on; with `expected` it must be taken within a second, else not within 20 ms. */
static void provoke(const char *what, bool expected)
{
	struct hart *h = this_hart();
	u32 n = n_claimed;
	h->irq_fn = take_external;
	csr_set(sie, 1UL << IRQ_EXT);
	put8(UART + 1, 0);
	put8(UART + 1, 2); /* THRE, and it is empty */
	u64 end = ticks() + (expected ? ms(2000) : ms(20));
	csr_set(sstatus, SSTATUS_SIE);
	while (n_claimed == n && ticks() < end)
		;
	csr_clear(sstatus, SSTATUS_SIE);
	check(n_claimed - n == (expected ? 1 : 0), "%s: %u interrupts", what, n_claimed - n);
	put8(UART + 1, 0);
	(void)get8(UART + 2); /* acknowledges THRE */
	u32 source = get32(claim_reg());
	if (source)
		put32(claim_reg(), source);
}

static void test_plic(void)
{
	u64 enable = PLIC + 0x2000 + 0x80 * context, threshold = PLIC + 0x200000 + 0x1000 * context;
	put32(threshold, 0);
	put32(PRIORITY(UART_IRQ), 1);
	provoke("not enabled", false);
	put32(enable, 1U << UART_IRQ);
	check(get32(enable) == 1U << UART_IRQ, "enables read back 0x%x", get32(enable));
	for (u32 i = 0; i < 20; i++)
		provoke("enabled", true);
	put32(PRIORITY(UART_IRQ), 0);
	provoke("priority 0", false);
	put32(PRIORITY(UART_IRQ), 3);
	put32(threshold, 3);
	provoke("at the threshold", false);
	put32(threshold, 2);
	provoke("above the threshold", true);
	put32(claim_reg(), 9); /* completes what was not claimed: nothing happens */
	put32(claim_reg(), 4000);
	check(get32(claim_reg()) == 0, "a claim out of nothing");
	check(get32(PRIORITY(0)) == 0, "source 0 has a priority");
	put32(enable, 0);
}

static void test_mailbox(void)
{
	check(mailbox_get(MB_MAGIC) == MB_MAGIC_VALUE, "mailbox magic 0x%x", mailbox_get(MB_MAGIC));
	check(mailbox_get(MB_VERSION) == 2, "mailbox version %u", mailbox_get(MB_VERSION));
	check(mailbox_get(MB_CLONE_ID) == 0, "clone id %u before any clone",
	      mailbox_get(MB_CLONE_ID));
	check(mailbox_get(MB_WINDOW_LEN) == (u32)machine.window_len, "window length");
	u32 a = mailbox_get(MB_ENTROPY), b = mailbox_get(MB_ENTROPY), c = mailbox_get(MB_ENTROPY);
	check(a != b || b != c, "entropy says 0x%x again and again", a);
	mailbox_put(MB_MAGIC, 0);
	check(mailbox_get(MB_MAGIC) == MB_MAGIC_VALUE, "the magic can be overwritten");
	for (u64 at = machine.window; at < machine.window + machine.window_len; at += PAGE) {
		check(get64(at) == 0, "window page 0x%lx is not zero", at);
		put64(at, pattern(at, 1));
	}
	for (u64 at = machine.window; at < machine.window + machine.window_len; at += PAGE)
		check(get64(at) == pattern(at, 1), "window page 0x%lx lost its content", at);
}

void guest_main(void)
{
	context = 2 * this_hart()->id + 1;
	test_widths();
	test_registers();
	test_plic();
	if (under_pando()) {
		test_mailbox();
		test_faults();
	}
}
