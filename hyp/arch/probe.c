// SPDX-License-Identifier: BSD-2-Clause
/*
 * What the machine really does, tried out rather than read.
 *
 * The isa string says which extensions to try; a guarded read then shows that
 * the CSR is there, and that firmware has opened it to us.
 *
 * probe_isolation() asks whether the machine sets A/D bits in guest page tables
 * that lie in G-stage read-only pages.  QEMU 7.2 does, so that a guest can
 * change shared frames without Pando seeing it.  Six instructions run in
 * VS-mode under two tiny tables:
 *
 *   G-stage   page 1: the guest's root table, read-only
 *             page 2: data, read-write          page 3: code, read-execute
 *   VS-stage  GVA 0 .. 1 GiB: the data, by a leaf with A and D still 0
 *             GVA 1 .. 2 GiB: the code, by a leaf with A and D set
 *
 * The guest loads and stores through the first leaf.  However that ends, the
 * bytes of the leaf must be the same afterwards.
 */
#include "arch/boot.h"
#include "arch/csr.h"
#include "arch/fence.h"
#include "arch/guest.h"
#include "arch/hart_local.h"
#include "arch/page.h"
#include "arch/trap.h"
#include "arch/probe_guest.h"

#define PTE_G_LEAF  (PTE_V | PTE_U | PTE_A | PTE_D) /* G-stage leaves are user pages */
#define PTE_OF(ptr) ((u64)(ptr) >> PAGE_SHIFT << PTE_PPN_SHIFT)

#define SATP_MODE_SV39 (8UL << 60)
#define VMID_MASK      0x3fffUL
#define ROOT_LEN       2048U /* entries of a G-stage root table */

#define GPA_VS_ROOT   (1 * PAGE_SIZE)
#define GPA_DATA      (2 * PAGE_SIZE)
#define GPA_CODE      (3 * PAGE_SIZE)
#define GVA_CODE_BASE BIT(30)

static u64 g_root[ROOT_LEN] __attribute__((aligned(16384)));
static u64 g_middle[N_ENTRIES] __attribute__((aligned(4096)));
static u64 g_low[N_ENTRIES] __attribute__((aligned(4096)));
static u64 vs_root[N_ENTRIES] __attribute__((aligned(4096)));
static u64 data[N_ENTRIES] __attribute__((aligned(4096)));

/* Number of VMID bits: all ones go in, under a legal MODE, and what sticks comes back
 * ([priv spec, hgatp]; with MODE = Bare the other fields must be zero). */
static u32 vmid_bits(void)
{
	u64 old = csr_read(hgatp);
	u64 back;
	u32 n = 0;

	csr_write(hgatp, HGATP_MODE_SV39X4 | VMID_MASK << HGATP_VMID_SHIFT);
	back = csr_read(hgatp);
	csr_write(hgatp, old);
	hfence_gvma_all();
	for (back = back >> HGATP_VMID_SHIFT & VMID_MASK; back & 1; back >>= 1)
		n++;
	return n;
}

static bool has_sv39x4(void)
{
	u64 old = csr_read(hgatp);
	u64 back;

	csr_write(hgatp, HGATP_MODE_SV39X4);
	back = csr_read(hgatp);
	csr_write(hgatp, old);
	return (back & HGATP_MODE_SV39X4) == HGATP_MODE_SV39X4;
}

/* Does henvcfg keep `bits`?  It does not where firmware has not opened them. */
static bool henvcfg_keeps(u64 bits)
{
	u64 back;

	csr_write(henvcfg, bits);
	back = csr_read(henvcfg);
	csr_write(henvcfg, 0);
	return (back & bits) == bits;
}

/* V comes with D.  Longer registers than fit in a frame stay unused. */
static void probe_vector(void)
{
	u64 vlenb = 0;

	csr_set(sstatus, SSTATUS_VS);
	machine.has_vector = machine.has_fp && trap_try_vlenb(&vlenb, BIT(CAUSE_ILLEGAL));
	csr_clear(sstatus, SSTATUS_VS);
	machine.vlenb = (u32)vlenb;
	if (GUEST_VECTOR_LEN > PAGE_SIZE)
		machine.has_vector = false;
}

static void probe_extensions(void)
{
	u64 v;

	machine.has_sstc = machine.has_sstc && trap_try_stimecmp(&v, BIT(CAUSE_ILLEGAL)) &&
	                   henvcfg_keeps(HENVCFG_STCE);
	machine.has_svadu = machine.has_svadu && henvcfg_keeps(HENVCFG_ADUE);
	machine.has_zicbom = machine.has_zicbom && machine.cbom_block_len != 0 &&
	                     henvcfg_keeps(HENVCFG_CBIE_FLUSH | HENVCFG_CBCFE);
	machine.has_zicboz = machine.has_zicboz && machine.cboz_block_len != 0 &&
	                     henvcfg_keeps(HENVCFG_CBZE) &&
	                     trap_try_cbo_zero(data, BIT(CAUSE_ILLEGAL));
	machine.has_smstateen = machine.has_smstateen && trap_try_hstateen0(&v, BIT(CAUSE_ILLEGAL));
	machine.has_siselect = trap_try_vsiselect(&v, BIT(CAUSE_ILLEGAL));
	if (machine.has_fp) {
		csr_set(sstatus, SSTATUS_FS);
		machine.has_fp = (csr_read(sstatus) & SSTATUS_FS) != 0;
		csr_clear(sstatus, SSTATUS_FS);
	}
	if (machine.has_vector)
		probe_vector();
}

enum err probe_machine(const char **why)
{
	u64 v;

	if (!trap_try_hgatp(&v, BIT(CAUSE_ILLEGAL))) {
		*why = "this machine has no H extension: nothing can run here";
		return ERR_ABSENT;
	}
	if (!has_sv39x4()) {
		*why = "this machine has no Sv39x4 translation for guests";
		return ERR_ABSENT;
	}
	/* [priv spec, "henvcfg"]: of the H extension since it was ratified. */
	if (!trap_try_henvcfg(&v, BIT(CAUSE_ILLEGAL))) {
		*why = "this machine's H extension is older than privileged spec 1.12: no henvcfg";
		return ERR_ABSENT;
	}
	probe_extensions();
	machine.vmid_bits = vmid_bits();
	if (machine.has_zicboz)
		page_use_zicboz(machine.cboz_block_len);
	return ERR_OK;
}

/* Runs the guest once with the leaf as given; true if the leaf is unchanged after an end
 * that the guest's own accesses explain. */
static bool leaf_stays(u64 leaf)
{
	struct guest_regs regs;
	struct guest_csrs csrs;
	struct guest_units units = { .vector.v = NULL };
	struct guest_exit out;

	vs_root[0] = leaf;
	guest_reset(&regs, &csrs, &units, GVA_CODE_BASE + GPA_CODE, GPA_DATA, 0);
	csrs.vsatp = SATP_MODE_SV39 | GPA_VS_ROOT >> PAGE_SHIFT;
	guest_load(&regs, &csrs, &units, 0, true);
	csr_write(hedeleg, 0); /* every trap of the probe ends it */
	guest_set_hgatp(HGATP_MODE_SV39X4 | (u64)g_root >> PAGE_SHIFT);
	hfence_gvma_all(); /* pairs with the stores to the tables above */
	hfence_vvma_all();
	vcpu_enter(&out, &regs);
	guest_save(&csrs, &regs, &units);
	csr_write(vsatp, 0);
	csr_write(hgatp, 0);
	hfence_gvma_all();
	switch (out.scause) {
	case CAUSE_LOAD_PAGE:
	case CAUSE_STORE_PAGE:
	case CAUSE_GUEST_LOAD_PAGE:
	case CAUSE_GUEST_STORE_PAGE: return vs_root[0] == leaf;
	default: return false; /* an access went through, so the machine wrote somewhere */
	}
}

void probe_isolation(void)
{
	const u64 leaf = PTE_V | PTE_R | PTE_W;
	u64 sie = csr_swap(sie, 0);

	g_root[0] = PTE_OF(g_middle) | PTE_V;
	g_middle[0] = PTE_OF(g_low) | PTE_V;
	g_low[GPA_VS_ROOT / PAGE_SIZE] = PTE_OF(vs_root) | PTE_G_LEAF | PTE_R;
	g_low[GPA_DATA / PAGE_SIZE] = PTE_OF(data) | PTE_G_LEAF | PTE_R | PTE_W;
	g_low[GPA_CODE / PAGE_SIZE] = PTE_OF(probe_guest_code) | PTE_G_LEAF | PTE_R | PTE_X;
	vs_root[1] = PTE_V | PTE_R | PTE_X | PTE_A | PTE_D;
	machine.isolation_strong = leaf_stays(leaf) && leaf_stays(leaf | PTE_A);
	hart_self()->is_guest_ready = false; /* hedeleg was changed */
	csr_write(sie, sie);
}
