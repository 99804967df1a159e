/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that means harm, from a seed: SBI calls with arguments out of a bag of bad values, accesses of every width all
 * over the device space, instructions made of random bits, and page tables and satp full of nonsense. Nothing here can
 * be right or wrong by itself; what is judged is that every trap comes back to this guest, that its own state survives,
 * and, by the test around it, that its neighbours and Pando itself do not notice.
 * Arguments: seed=1 rounds=3000; wild=1: no instruction is spared, so that it may well end without a verdict
 */
#include "guest.h"
#include <string.h>

const char guest_name[] = "hostile";

void wild_run(const u64 regs[32], const void *code);

static u64 seed;
static u32 code[64] __attribute__((aligned(4096)));
static u8 scratch[4 * PAGE] __attribute__((section(".pool"), aligned(4096)));
static u64 regs[32];
static u64 n_rescues;

static u64 rnd(u64 below)
{
	return (random_next(&seed) >> 11) % below;
}

static u64 bad_value(void)
{
	const u64 some[] = { 0,
		             1,
		             2,
		             63,
		             64,
		             4095,
		             UINT64_MAX,
		             UINT64_MAX - PAGE,
		             1UL << 63,
		             1UL << 40,
		             1UL << 32,
		             0x0c000000,
		             0x10000000,
		             0x04000000,
		             machine.window,
		             machine.ram_base + machine.ram_len - 4,
		             machine.ram_base - 4,
		             (u64)scratch,
		             (u64)scratch + PAGE - 2 };
	if (rnd(4) == 0)
		return random_next(&seed);
	return some[rnd(sizeof some / sizeof some[0])] + (rnd(4) ? 0 : rnd(16));
}

/* All but the calls that end or silence this guest when they succeed. */
static void try_sbi(void)
{
	static const u64 eids[] = { EID_BASE, EID_TIME, EID_IPI, EID_RFENCE, EID_HSM,
		                    EID_DBCN, EID_SRST, 1,       2,          5,
		                    6,        7,        0x504d55 };
	u64 eid = eids[rnd(sizeof eids / sizeof eids[0])], fid = rnd(9) ? rnd(6) : bad_value();
	if (eid == EID_SRST || (eid == EID_HSM && (fid == 1 || fid == 3)))
		return;
	if (eid == EID_DBCN && fid == 2)
		return; /* prints nonsense */
	if (eid == EID_HSM && fid == 0) {
		sbi(eid, fid, bad_value(), bad_value() | 1, 0, 0,
		    0); /* no start at a real address */
		return;
	}
	u64 a1 = bad_value();
	if (eid == EID_DBCN && fid < 2 && a1 - machine.ram_base < machine.ram_len)
		a1 = (u64)scratch; /* a read may succeed */
	sbi(eid, fid, bad_value(), a1, bad_value(), bad_value(), bad_value());
}

static void access_once(u64 addr)
{
	switch (random_next(&seed) >> 20 & 7) {
	case 0: (void)get8(addr); break;
	case 1: (void)*(volatile u16 *)addr; break;
	case 2: (void)get32(addr); break;
	case 3: (void)get64(addr); break;
	case 4: put8(addr, random_next(&seed)); break;
	case 5: *(volatile u16 *)addr = (u16)random_next(&seed); break;
	case 6: put32(addr, random_next(&seed)); break;
	default: put64(addr, random_next(&seed)); break;
	}
}

/* The UART's data register and the mailbox's NEXT, READY and DONE are left out: they are meant to be heard. */
static void try_mmio(void)
{
	const u64 base[] = { 0x0c000000, 0x0c000000, 0x0c002000, 0x0c200000, 0x10000001,
		             0x04000020, 0x04001000, 0,          0x30000000 };
	u64 addr = base[rnd(sizeof base / sizeof base[0])];
	if (addr == 0x10000001)
		addr += rnd(7);
	else if (addr == 0x04000020)
		addr += rnd(0xfe0);
	else
		addr += rnd(2) ? rnd(0x600000) : rnd(0x100) * 4;
	if (!under_pando() && addr < 0x0c000000)
		return; /* a real machine has real switches there */
	catch_s(access_once, addr);
}

/* Whoever runs nonsense for too long is called back by the timer. */
static void rescue(struct hart *h, u64 irq)
{
	if (irq == IRQ_TIMER) {
		sbi_set_timer(UINT64_MAX);
		csr_clear(sie, 1UL << IRQ_TIMER);
	}
	if (!h->catch_sp)
		return;
	extern char trap_resume[];
	n_rescues++;
	h->regs[0] = (u64)trap_resume;
	csr_set(sstatus, SSTATUS_SPP);
	csr_clear(sstatus, SSTATUS_SPIE);
}

static bool is_spared(u32 insn)
{
	u32 csr = insn >> 20;
	if ((insn & 0x7f) != 0x73)
		return false;
	if (!(insn >> 12 &
	      7)) /* ecall, wfi, sret, fences: ecall could stop us; sret is as good as a jump */
		return insn == 0x73 || (insn & 0xfff07fff) == 0x10200073;
	return csr == 0x140 || csr == 0x105 || csr == 0x100 || csr == 0x104 || csr == 0x180 ||
	       csr == 0x144 || csr == 0x14d;
}

static u32 random_insn(void)
{
	static const u32 opcodes[] = { 0x03, 0x23, 0x2f, 0x73, 0x0f, 0x07,
		                       0x27, 0x13, 0x33, 0x3b, 0x57, 0x53 };
	u32 insn;
	do {
		insn = (u32)random_next(&seed);
		if (rnd(2))
			insn = (insn & ~0x7fU) | opcodes[rnd(sizeof opcodes / sizeof opcodes[0])];
	} while (!guest_arg("wild", 0) && is_spared(insn));
	return insn;
}

static void run_random(u64 unused)
{
	(void)unused;
	wild_run(regs, code);
}

static void try_instructions(void)
{
	for (u32 i = 0; i < 64; i++)
		code[i] = i < 8 ? random_insn() : 0; /* then illegal ones */
	for (u32 i = 0; i < 32; i++)
		regs[i] = rnd(2)   ? (u64)scratch + PAGE + rnd(2 * PAGE)
		          : rnd(2) ? 0x0c000000 + rnd(0x10000)
		                   : rnd(4096);
	__asm__ volatile("fence.i" ::: "memory");
	sbi_set_timer(ticks() + ms(20));
	csr_set(sie, 1UL << IRQ_TIMER);
	csr_clear(sstatus, SSTATUS_SIE);
	csr_set(sstatus, SSTATUS_SPIE);
	catch_s(run_random, 0);
	csr_clear(sstatus, SSTATUS_SIE | SSTATUS_SUM | SSTATUS_FS);
}

static void load_word(u64 addr)
{
	(void)get64(addr);
}

/* Tables that point anywhere, under an identity map of what this guest needs; then walks through them. */
static void try_tables(void)
{
	static u64 *root, *mid, *leaf;
	if (!root) {
		root = page_root();
		mid = page_table();
		leaf = page_table();
	}
	for (u32 i = 4; i < 512; i += 7)
		root[i] = rnd(3) ? random_next(&seed) : (u64)mid >> 2 | PTE_V;
	for (u32 i = 0; i < 512; i += 3) {
		mid[i] = rnd(3) ? random_next(&seed) >> rnd(40) | PTE_V : (u64)leaf >> 2 | PTE_V;
		leaf[i] = (random_next(&seed) & 0x003fffffffffffffUL) | rnd(256);
	}
	csr_write(satp, 8UL << 60 | rnd(65536) << 44 | (u64)root >> 12);
	fence_all();
	for (u32 i = 0; i < 20; i++) {
		u64 va = (4 + rnd(252)) << 30 | rnd(1UL << 30);
		catch_s(load_word, va & ~7UL); /* a store could hit this guest itself */
	}
	csr_write(satp, 0);
	fence_all();
	/* Reserved modes and bits of satp: ignored or written, but never felt. */
	u64 mode = 1 + rnd(7);
	csr_write(satp, mode << 60 | (random_next(&seed) >> 20));
	csr_write(satp, 0);
	fence_all();
}

void guest_main(void)
{
	u64 rounds = guest_arg("rounds", 3000);
	seed = guest_arg("seed", 1) * 0x9e3779b97f4a7c15UL | 1;
	this_hart()->irq_fn = rescue;
	for (u64 i = 0; i < rounds; i++) {
		if (under_pando()) /* firmware is not what is tried here */
			try_sbi();
		csr_clear(sie, UINT64_MAX);
		csr_clear(sip, 1UL << IRQ_SOFT);
		try_mmio();
		try_instructions();
		if (i % 8 == 0)
			try_tables();
	}
	put8(0x10000001, 0); /* the UART back to a state in which it can be heard */
	put8(0x10000003, 3);
	put8(0x10000004, 0);
	print("%lu rounds, %lu rescues", rounds, n_rescues);
}
