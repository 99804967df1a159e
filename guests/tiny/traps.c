/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every synchronous cause, from U-mode and from S-mode, with paging off and on: the handler must see the right cause,
 * stval and previous privilege. Hypervisors have frozen a vCPU on one unprivileged ebreak, run a kernel's handler in
 * user mode, and killed a guest for a jump to nowhere; so the order here is chosen to go on after each.
 */
#include "guest.h"

const char guest_name[] = "traps";

#define HOLE        0x0a000000UL   /* no device, no memory, on bare QEMU as under Pando */
#define TOO_HIGH    (1UL << 45)    /* beyond any guest-physical address */
#define ALIAS       0x2000000000UL /* where U-mode sees RAM */
#define TEST_PAGE   0x3000000000UL /* a page with the permissions of the moment */
#define PTE_PBMT_NC (1UL << 61)    /* Svpbmt */

static u64 *root;
static u8 data[PAGE] __attribute__((aligned(4096)));

static void do_ebreak(u64 a)
{
	(void)a;
	__asm__ volatile(".option push\n.option norvc\nebreak\n.option pop");
}
static void do_c_ebreak(u64 a)
{
	(void)a;
	__asm__ volatile("c.ebreak");
}
static void do_ecall(u64 a)
{
	__asm__ volatile("mv a0, %0\n ecall" ::"r"(a) : "a0");
}
static void do_zero(u64 a)
{
	(void)a;
	__asm__ volatile(".2byte 0");
}
static void do_bad(u64 a)
{
	(void)a;
	__asm__ volatile(".4byte 0xffffffff");
}
static void do_load(u64 a)
{
	(void)get64(a);
}
static void do_load_byte(u64 a)
{
	(void)get8(a);
}
static void do_store(u64 a)
{
	put64(a, 1);
}
static void do_amo(u64 a)
{
	__asm__ volatile("amoadd.w zero, zero, (%0)" ::"r"(a) : "memory");
}
static void do_lr(u64 a)
{
	__asm__ volatile("lr.d t0, (%0)" ::"r"(a) : "t0", "memory");
}
static void do_jump(u64 a)
{
	__asm__ volatile("jr %0" ::"r"(a));
}
static void do_wfi(u64 a)
{
	(void)a;
	wfi();
}
static void do_sret(u64 a)
{
	(void)a;
	__asm__ volatile("sret");
}
static void do_sfence(u64 a)
{
	(void)a;
	fence_all();
}
static void do_sstatus(u64 a)
{
	(void)a;
	(void)csr_read(sstatus);
}
static void do_rdtime(u64 a)
{
	(void)a;
	(void)ticks();
	do_ecall(0);
}
static void do_rdcycle(u64 a)
{
	(void)a;
	(void)csr_read(cycle);
	do_ecall(0);
}
static void do_rdinstret(u64 a)
{
	(void)a;
	(void)csr_read(instret);
	do_ecall(0);
}
static void do_mstatus(u64 a)
{
	(void)a;
	(void)csr_read(0x300);
}
static void do_hgatp(u64 a)
{
	(void)a;
	(void)csr_read(0x680);
}
static void do_hstatus_write(u64 a)
{
	(void)a;
	csr_write(0x600, 0);
}
static void do_vsatp(u64 a)
{
	(void)a;
	(void)csr_read(0x280);
}
static void do_vsstatus(u64 a)
{
	(void)a;
	(void)csr_read(0x200);
}
static void do_stimecmp(u64 a)
{
	(void)a;
	(void)csr_read(0x14d);
}
static u64 selected;

/* The select register of indirect CSRs (AIA, Sscsrind). */
static void do_siselect(u64 a)
{
	selected = csr_read(0x150);
	csr_write(0x150, a);
}
static void do_sstateen(u64 a)
{
	(void)a;
	(void)csr_read(0x10c);
}
static void do_vstart(u64 a)
{
	(void)a;
	(void)csr_read(0x008);
}
static void do_time_write(u64 a)
{
	(void)a;
	csr_write(0xc01, 0);
}
static void do_unknown_csr(u64 a)
{
	(void)a;
	(void)csr_read(0x5c5);
}
static void do_hfence(u64 a)
{
	(void)a;
	__asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, x0");
}
static void do_hlv(u64 a)
{
	(void)a;
	__asm__ volatile(".insn r 0x73, 4, 0x36, t0, %0, x0" ::"r"(data) : "t0");
}

/* Runs fn in S- or U-mode and expects `cause`; illegal instructions may report stval 0 or their own bits. */
static void expect(const char *what, bool user, void (*fn)(u64), u64 arg, u64 cause, u64 tval)
{
	struct hart *h = this_hart();
	u64 alias = user && csr_read(satp) ? ALIAS : 0;
	if (user)
		catch_u((void (*)(u64))((u64)fn + alias), arg);
	else
		check(catch_s(fn, arg), "%s: no trap in S-mode", what);
	if (cause == C_ILLEGAL) {
		u32 insn = *(u16 *)(h->epc - alias);
		if ((insn & 3) == 3)
			insn |= (u32) * (u16 *)(h->epc - alias + 2) << 16;
		/* QEMU 7.2 gives a stale stval for hlv: that one is not judged. */
		tval = h->tval && fn != do_hlv ? insn : h->tval;
	} else if (cause == C_BREAK) {
		tval = h->tval ? h->epc : 0;
	}
	expect_trap(what, cause, tval, !user);
}

/* An access to this address faults with `fault` + the offset of its kind: 0 fetch, 1 load, 3 store, as the causes of
 * access faults (from 1... 5, 7) and of page faults (12, 13, 15) go. */
static void expect_access(const char *what, bool user, u64 addr, bool page_fault)
{
	expect(what, user, do_jump, addr, page_fault ? C_FETCH_PAGE : C_FETCH_ACCESS, addr);
	check(this_hart()->epc == addr, "%s: sepc 0x%lx after a jump to 0x%lx", what,
	      this_hart()->epc, addr);
	expect(what, user, do_load, addr, page_fault ? C_LOAD_PAGE : C_LOAD_ACCESS, addr);
	expect(what, user, do_load_byte, addr + 3, page_fault ? C_LOAD_PAGE : C_LOAD_ACCESS,
	       addr + 3);
	expect(what, user, do_store, addr + 8, page_fault ? C_STORE_PAGE : C_STORE_ACCESS,
	       addr + 8);
}

static void test_common(bool user)
{
	const char *mode = user ? "U-mode" : "S-mode";
	expect(mode, user, do_ebreak, 0, C_BREAK, 0);
	expect(mode, user, do_c_ebreak, 0, C_BREAK, 0);
	expect(mode, user, do_zero, 0, C_ILLEGAL, 0);
	expect(mode, user, do_bad, 0, C_ILLEGAL, 0);
	expect(mode, user, do_mstatus, 0, C_ILLEGAL, 0);
	expect(mode, user, do_time_write, 0, C_ILLEGAL, 0);
	expect(mode, user, do_unknown_csr, 0, C_ILLEGAL, 0);
	if (!has_extension("sstc"))
		expect(mode, user, do_stimecmp, 0, C_ILLEGAL, 0);
	if (user)
		expect(mode, user, do_siselect, 0, C_ILLEGAL, 0);
	if (!has_extension("smstateen"))
		expect(mode, user, do_sstateen, 0, C_ILLEGAL, 0);
	if (!has_extension("v"))
		expect(mode, user, do_vstart, 0, C_ILLEGAL, 0);
	if (under_pando() || user) { /* on bare QEMU, S-mode has the H extension */
		expect("hgatp", user, do_hgatp, 0, C_ILLEGAL, 0);
		expect("hstatus", user, do_hstatus_write, 0, C_ILLEGAL, 0);
		expect("vsatp", user, do_vsatp, 0, C_ILLEGAL, 0);
		expect("vsstatus", user, do_vsstatus, 0, C_ILLEGAL, 0);
		expect("hfence.gvma", user, do_hfence, 0, C_ILLEGAL, 0);
		expect("hlv", user, do_hlv, 0, C_ILLEGAL, 0);
	}
}

/* A hypervisor that cannot close it must not let one guest find what another has left there. */
static void test_siselect(void)
{
	if (under_pando() && !catch_s(do_siselect, 0x31))
		check(selected == 0, "siselect holds 0x%lx", selected);
	else if (under_pando())
		expect("siselect", false, do_siselect, 0, C_ILLEGAL, 0);
}

static void test_misaligned(void)
{
	struct hart *h = this_hart();
	put64((u64)data, 0x1122334455667788UL);
	put64((u64)data + 8, 0x99aabbccddeeff00UL);
	check(get64((u64)data + 5) == 0xccddeeff00112233UL, "misaligned load: 0x%lx",
	      get64((u64)data + 5));
	put32((u64)data + 3, 0xa1b2c3d4);
	check(get64((u64)data) == 0x11a1b2c3d4667788UL, "misaligned store: 0x%lx",
	      get64((u64)data));
	check(catch_s(do_lr, (u64)data + 4), "misaligned lr.d: no trap");
	check(h->cause == C_LOAD_ALIGN || h->cause == C_LOAD_ACCESS, "misaligned lr.d: cause %lu",
	      h->cause);
	check(catch_s(do_amo, (u64)data + 1), "misaligned amo: no trap");
	/* The spec says 6 or 7; QEMU says 4, and it is the machine that traps here, not the hypervisor. */
	check(h->cause == C_STORE_ALIGN || h->cause == C_STORE_ACCESS || h->cause == C_LOAD_ALIGN,
	      "misaligned amo: cause %lu", h->cause);
	check(h->tval == (u64)data + 1, "misaligned amo: stval 0x%lx", h->tval);
}

static void test_user_only(void)
{
	expect("wfi", true, do_wfi, 0, C_ILLEGAL, 0);
	expect("sret", true, do_sret, 0, C_ILLEGAL, 0);
	expect("sfence.vma", true, do_sfence, 0, C_ILLEGAL, 0);
	expect("sstatus", true, do_sstatus, 0, C_ILLEGAL, 0);
	expect("ecall", true, do_ecall, 77, C_ECALL_U, 0);
	check(this_hart()->regs[10] == 77, "ecall: a0 lost");
	csr_write(scounteren, 7);
	expect("rdtime", true, do_rdtime, 0, C_ECALL_U, 0);
	expect("rdcycle", true, do_rdcycle, 0, C_ECALL_U, 0);
	expect("rdinstret", true, do_rdinstret, 0, C_ECALL_U, 0);
	csr_write(scounteren, 0);
	if (under_pando()) /* firmware may emulate it for bare U-mode whatever scounteren says */
		expect("rdtime", true, do_rdtime, 0, C_ILLEGAL, 0);
	expect("rdcycle", true, do_rdcycle, 0, C_ILLEGAL, 0);
	expect("rdinstret", true, do_rdinstret, 0, C_ILLEGAL, 0);
	csr_write(scounteren, 2);
	expect("rdtime alone", true, do_rdtime, 0, C_ECALL_U, 0);
	expect("rdcycle", true, do_rdcycle, 0, C_ILLEGAL, 0);
}

static void set_test_page(u64 flags)
{
	page_map(root, TEST_PAGE, (u64)data, 0, flags);
	fence_all();
}

/* Page faults by permission; the page's own rights, then U against S. */
static void test_page_faults(void)
{
	expect_access("unmapped page", false, ALIAS + 0x800000000UL, true);
	expect_access("unmapped page, U-mode", true, ALIAS + 0x800000000UL, true);
	expect_access("bad virtual address", false, 1UL << 50, true);
	expect_access("kernel page, U-mode", true, (u64)data, true);
	set_test_page(PTE_R | PTE_A | PTE_D);
	expect("read-only page", false, do_store, TEST_PAGE + 16, C_STORE_PAGE, TEST_PAGE + 16);
	expect("read-only page", false, do_amo, TEST_PAGE + 16, C_STORE_PAGE, TEST_PAGE + 16);
	expect("read-only page", false, do_jump, TEST_PAGE, C_FETCH_PAGE, TEST_PAGE);
	check(!catch_s(do_load, TEST_PAGE), "load from a read-only page");
	set_test_page(PTE_X | PTE_A);
	expect("execute-only page", false, do_load, TEST_PAGE + 8, C_LOAD_PAGE, TEST_PAGE + 8);
	set_test_page(PTE_RW | PTE_U);
	expect("user page", false, do_load, TEST_PAGE + 8, C_LOAD_PAGE, TEST_PAGE + 8);
	csr_set(sstatus, SSTATUS_SUM);
	check(!catch_s(do_load, TEST_PAGE), "load from a user page with SUM");
	csr_clear(sstatus, SSTATUS_SUM);
	if (under_pando()) {
		set_test_page(PTE_R | PTE_A | PTE_D | PTE_PBMT_NC);
		expect("uncached page", false, do_load, TEST_PAGE + 8, C_LOAD_PAGE, TEST_PAGE + 8);
	}
	set_test_page(0);
	expect_access("unmapped test page", false, TEST_PAGE, true);
}

static void test_paging(void)
{
	root = page_root();
	user_alias = ALIAS;
	for (u64 g = 0; g < 2; g++)
		page_map(root, ALIAS + machine.ram_base + (g << 30), machine.ram_base + (g << 30),
		         2, PTE_RWX | PTE_U);
	page_map(root, TEST_PAGE + 0x40000000, HOLE & ~0x1fffffUL, 1, PTE_RWX);
	page_enable(root, 0);
	test_page_faults();
	test_common(false);
	expect_access("hole through a page table", false,
	              HOLE - (HOLE & ~0x1fffffUL) + TEST_PAGE + 0x40000000, false);
	expect_access("hole", false, HOLE, false);
	csr_write(satp, 0);
	fence_all();
}

/* As above with U-mode behind a page table: its stack and code are seen at the alias. */
static void test_user_paging(void)
{
	page_enable(root, 0);
	expect("ebreak, paged", true, do_ebreak, 0, C_BREAK, 0);
	expect("illegal, paged", true, do_bad, 0, C_ILLEGAL, 0);
	expect("hole, paged", true, do_load, HOLE, C_LOAD_PAGE, HOLE);
	expect("RAM by its physical address, paged", true, do_jump, (u64)do_ebreak, C_FETCH_PAGE,
	       (u64)do_ebreak);
	csr_write(satp, 0);
	fence_all();
}

void guest_main(void)
{
	static const u64 holes[] = { HOLE, TOO_HIGH, 0 };
	for (unsigned i = 0; i < sizeof holes / sizeof holes[0]; i++) {
		if (!holes[i] && !under_pando())
			continue; /* the debug region */
		expect_access("hole", false, holes[i], false);
		expect_access("hole, U-mode", true, holes[i], false);
	}
	u64 top = machine.ram_base + machine.ram_len;
	if (machine.window >= top)
		top = machine.window + machine.window_len;
	expect_access("above all memory", false, top, false);
	test_misaligned();
	test_siselect();
	test_common(false);
	test_common(true);
	test_user_only();
	test_paging();
	test_user_paging();
	/* Still alive and able to take a trap the plain way. */
	csr_write(scounteren, 7);
	expect("the end", true, do_ecall, 1, C_ECALL_U, 0);
}
