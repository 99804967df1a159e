/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Vector state belongs to one vCPU: all 32 registers, vl, vtype, vcsr and vstart keep their values over exits,
 * preemption, sleep and other harts, while the neighbours (other vCPUs, another VM with another seed) do the same with
 * other values; a template's clones start with it. And an instruction that faults half-way goes on where it stopped.
 * On a machine without V all of it traps.
 * Arguments: seed=1 ms=1500, or less if it is given anything, ready=0 (1: store READY with everything set up, and judge what comes back)
 */
#include "guest.h"

const char guest_name[] = "vector";

#define SSTATUS_VS (3UL << 9)
#define VS_OFF     0UL
#define VS_INITIAL 1UL
#define VS_CLEAN   2UL
#define VS_DIRTY   3UL

#define VLENB_MAX 128UL
#define N_WORDS   (32 * VLENB_MAX / 8)
#define VTYPES    4
#define E8_M8     0xc3UL

/* For the faults half-way: two pages here, of which the second comes late. */
#define LATE_VA (1UL << 33)
#define BEFORE  40UL /* bytes in the first page */

void v_load(const void *from);
void v_store(void *to);
u64 v_set(u64 avl, u64 vtype);
void v_load_bytes(u64 from);
void v_store_bytes(u64 to);

struct csrs {
	u64 vl, vtype, vcsr;
};

static u64 words[MAX_HARTS][N_WORDS] __attribute__((aligned(64)));
static struct csrs csrs[MAX_HARTS];
static u64 *late_pte, late_pa, n_late, late_vstart;

static bool has_v(void)
{
	for (const char *p = machine.isa + 4; *p && *p != '_'; p++)
		if (*p == 'v')
			return true;
	return false;
}

static u64 vs(void)
{
	return csr_read(sstatus) >> 9 & 3;
}

static void set_vs(u64 state)
{
	csr_clear(sstatus, SSTATUS_VS);
	csr_set(sstatus, state << 9);
}

/* In bytes: all registers. */
static u64 total(void)
{
	return 32 * csr_read(vlenb);
}

/* Everything a function of `seed`; what v_set() makes of it is noted. */
static void fill(u64 seed)
{
	/* e8 m8, e16 m1, e32 m2, e64 m4; agnostic or not */
	static const u64 vtypes[VTYPES] = { E8_M8, 0x08, 0x51, 0x9a };
	u64 id = this_hart()->id;
	for (u64 i = 0; i < total() / 8; i++)
		words[id][i] = pattern(seed, i);
	v_load(words[id]);
	csrs[id].vtype = vtypes[seed % VTYPES];
	csrs[id].vl = v_set(seed % (csr_read(vlenb) / 4) + 1, csrs[id].vtype);
	csrs[id].vcsr = seed % 8;
	csr_write(vcsr, csrs[id].vcsr);
}

static void compare(u64 seed, const char *when)
{
	static u64 found[MAX_HARTS][N_WORDS];
	u64 id = this_hart()->id;
	struct csrs now = { csr_read(vl), csr_read(vtype), csr_read(vcsr) };
	check(csr_read(vstart) == 0, "%s: vstart is %lu", when, csr_read(vstart));
	check(now.vl == csrs[id].vl && now.vtype == csrs[id].vtype && now.vcsr == csrs[id].vcsr,
	      "%s: hart %lu has vl %lu vtype 0x%lx vcsr %lu, not %lu, 0x%lx, %lu", when, id, now.vl,
	      now.vtype, now.vcsr, csrs[id].vl, csrs[id].vtype, csrs[id].vcsr);
	v_store(found[id]);
	for (u64 i = 0; i < total() / 8; i++)
		check(found[id][i] == pattern(seed, i),
		      "%s: hart %lu, seed 0x%lx: word %lu of v%lu holds 0x%lx", when, id, seed,
		      i % (csr_read(vlenb) / 8), i * 8 / csr_read(vlenb), found[id][i]);
}

static void read_vl(u64 arg)
{
	(void)arg;
	(void)csr_read(vl);
}

static void test_no_v(void)
{
	csr_set(sstatus, SSTATUS_VS); /* has no effect, but on QEMU 7.2 */
	check(catch_s(read_vl, 0), "no V, but vl can be read");
	check(this_hart()->cause == C_ILLEGAL, "no V: cause %lu", this_hart()->cause);
}

static void test_vs(u64 seed)
{
	check(!under_pando() || vs() == VS_OFF, "VS is %lu at the start", vs());
	set_vs(VS_OFF);
	check(catch_s(read_vl, 0), "no trap with VS = Off");
	check(this_hart()->cause == C_ILLEGAL, "VS = Off: cause %lu", this_hart()->cause);
	set_vs(VS_INITIAL);
	fill(seed);
	check(vs() == VS_DIRTY, "VS = %lu after a write", vs());
	check(csr_read(sstatus) >> 63, "SD is clear though VS is dirty");
	set_vs(VS_CLEAN);
	compare(seed, "cleaned");
	set_vs(VS_OFF);
	delay_ms(20);
	set_vs(VS_CLEAN);
	compare(seed, "after Off");
}

static void keep(void *arg)
{
	u64 seed = (u64)arg << 32 | this_hart()->id << 24,
	    end = ticks() + ms(guest_arg("ms", 1500));
	set_vs(VS_INITIAL);
	for (u64 round = 0; goes_on(end); round++) {
		fill(seed + round);
		leave_guest(round);
		compare(seed + round, "kept");
		/* A change to nothing but a CSR, while the registers are as they were. */
		leave_guest(1);
		csrs[this_hart()->id].vcsr ^= 6;
		csr_write(vcsr, csrs[this_hart()->id].vcsr);
		leave_guest(1);
		compare(seed + round, "vcsr written");
	}
}

/* The second page comes, after the neighbours have had the hart. */
static bool map_late(struct hart *h)
{
	if (h->cause != C_LOAD_PAGE && h->cause != C_STORE_PAGE)
		return false;
	late_vstart = csr_read(vstart);
	n_late++;
	leave_guest(1);
	check(csr_read(vstart) == late_vstart, "vstart was %lu, and is %lu after a sleep",
	      late_vstart, csr_read(vstart));
	*late_pte = late_pa >> 12 << 10 | PTE_RW | PTE_V;
	fence_all();
	return true;
}

/* Everything that the next vector instruction needs is set up, and clean: in the hart, too, after a sleep. */
static void set_bytes(u64 n)
{
	v_set(n, E8_M8);
	set_vs(VS_CLEAN);
	leave_guest(1);
}

static void unmap_late(void)
{
	*late_pte = 0;
	n_late = 0;
	fence_all();
}

static void check_late(const char *what)
{
	check(n_late == 1, "%s: %lu faults", what, n_late);
	check(late_vstart == BEFORE, "%s: the fault came at element %lu", what, late_vstart);
	check(csr_read(vstart) == 0, "%s: vstart is %lu at the end", what, csr_read(vstart));
}

/* A load and a store that stop at the second page, which is not in the guest's own table yet. */
static void test_late_page(u64 seed)
{
	u64 *root = page_root(), n = 8 * csr_read(vlenb), at = LATE_VA + PAGE - BEFORE;
	u8 *bytes = (u8 *)words[this_hart()->id], *to = (u8 *)free_start() + PAGE - BEFORE;
	late_pa = free_start() + PAGE;
	page_map(root, LATE_VA, free_start(), 0, PTE_RW);
	late_pte = page_map(root, LATE_VA + PAGE, late_pa, 0, PTE_RW);
	page_enable(root, 1);
	this_hart()->trap_fn = map_late;
	fill(seed);
	unmap_late();
	set_bytes(n);
	v_store_bytes(at);
	check_late("store");
	for (u64 i = 0; i < n; i++)
		check(to[i] == bytes[i], "store: byte %lu is 0x%x, not 0x%x", i, to[i], bytes[i]);
	fill(seed + 1);
	for (u64 i = 0; i < n; i++)
		to[i] = (u8)~bytes[i];
	unmap_late();
	set_bytes(n);
	v_load_bytes(at);
	check_late("load");
	v_store(words[this_hart()->id]);
	for (u64 i = 0; i < n; i++)
		check(to[i] == bytes[i], "load: byte %lu is 0x%x, not 0x%x", i, bytes[i], to[i]);
	this_hart()->trap_fn = NULL;
}

/* Stores over two pages that are shared with the template: the second breaks half-way, or both do. */
static void test_shared_pages(u64 page, u64 seed)
{
	u64 n = 8 * csr_read(vlenb);
	u8 *bytes = (u8 *)words[this_hart()->id];
	for (u64 k = 0; k < 2; k++) {
		u8 *to = (u8 *)page + (2 * k + 1) * PAGE - BEFORE;
		fill(seed + k);
		if (k == 1)
			to[-1] = 1;
		set_bytes(n);
		v_store_bytes((u64)to);
		for (u64 i = 0; i < n; i++)
			check(to[i] == bytes[i], "shared: byte %lu is 0x%x, not 0x%x", i, to[i],
			      bytes[i]);
		check(to[n] == 0x55, "shared: a byte behind the store is 0x%x", to[n]);
	}
}

static void become_clone(u64 seed)
{
	u64 page = free_start() + 4 * PAGE;
	for (u64 at = page; at < page + 4 * PAGE; at += 8)
		put64(at, 0x5555555555555555);
	set_vs(VS_INITIAL);
	fill(seed);
	print("ready");
	u32 id = mailbox_ready();
	compare(seed, "clone");
	test_shared_pages(page, seed + id);
}

void guest_main(void)
{
	u64 seed = guest_arg("seed", 1);
	if (!has_v()) {
		test_no_v();
		return;
	}
	test_vs(seed);
	if (guest_arg("ready", 0))
		become_clone(seed);
	test_late_page(seed);
	for (u64 i = 0; i + 1 < machine.n_harts; i++)
		check(hart_start(other_hart(i), keep, (void *)seed) == SBI_OK, "start");
	print("running");
	keep((void *)seed);
	for (u64 i = 0; i + 1 < machine.n_harts; i++)
		hart_await(other_hart(i), 1);
}
