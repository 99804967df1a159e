// SPDX-License-Identifier: BSD-2-Clause
/*
 * The vCPU switch (guest.h): what enter.S does not do on every exit.
 *
 * The units (FP, vector) are saved only if the guest changed them since they were loaded
 * (sstatus.FS, VS), and loaded only if the hart holds somebody else's.  They are not
 * loaded at the first such instruction: with HS sstatus.FS = Off the guest's first use
 * would be an illegal instruction that firmware has to redirect here (see HEDELEG).
 * vsstatus.FS and VS are the guest's own.
 *
 * QEMU does not make FS or VS Dirty for all that changes their state: not for a CSR that
 * the guest writes (7.2, 10.0), nor for what ends half-way in a fault (vector, 7.2).  So
 * the units' CSRs are saved always, and vector registers also if vstart is not 0.
 */
#include "arch/guest.h"

#include <string.h>

#include "arch/csr.h"
#include "arch/guest_local.h"
#include "arch/hart_local.h"
#include "arch/time.h"
#include "arch/trap.h"

_Static_assert(offsetof(struct guest_regs, x[31]) == REGS_X(31), "");
_Static_assert(offsetof(struct guest_regs, sepc) == REGS_SEPC, "");
_Static_assert(offsetof(struct guest_regs, sstatus) == REGS_SSTATUS, "");
_Static_assert(offsetof(struct guest_regs, hstatus) == REGS_HSTATUS, "");
_Static_assert(offsetof(struct guest_regs, host_sp) == REGS_HOST_SP, "");
_Static_assert(offsetof(struct guest_fp, f[31]) == FP_F(31), "");
_Static_assert(offsetof(struct guest_fp, fcsr) == FP_FCSR, "");
_Static_assert(sizeof(struct guest_exit) == 32, "enter.S stores four words");

/* All that a guest handles itself; guest page faults, calls from VS-mode and virtual instructions
 * come here.  Illegal instructions go through firmware first, which looks for counters to emulate;
 * it hands them to VS-mode when they are delegated.  That matters: QEMU 10.0.13 stays in V = 1 when
 * firmware redirects a guest's trap to HS-mode. */
#define HEDELEG                                                                        \
	(BIT(CAUSE_FETCH_MISALIGNED) | BIT(CAUSE_FETCH_ACCESS) | BIT(CAUSE_ILLEGAL) |  \
	 BIT(CAUSE_BREAKPOINT) | BIT(CAUSE_LOAD_MISALIGNED) | BIT(CAUSE_LOAD_ACCESS) | \
	 BIT(CAUSE_STORE_MISALIGNED) | BIT(CAUSE_STORE_ACCESS) | BIT(CAUSE_ECALL_U) |  \
	 BIT(CAUSE_FETCH_PAGE) | BIT(CAUSE_LOAD_PAGE) | BIT(CAUSE_STORE_PAGE))
#define HIDELEG (HVIP_VSSIP | HVIP_VSTIP | HVIP_VSEIP)

#define COUNTERS_CY_TM_IR 7UL
#define HSTATEEN0_ENVCFG  BIT(62)

/* What a fetch through the guest's tables may end in; QEMU 7.2 and 10.0, and Spike,
 * report the same fault under different names. */
#define FETCH_MISSES                                                                \
	(BIT(CAUSE_FETCH_ACCESS) | BIT(CAUSE_LOAD_ACCESS) | BIT(CAUSE_FETCH_PAGE) | \
	 BIT(CAUSE_LOAD_PAGE) | BIT(CAUSE_GUEST_FETCH_PAGE) | BIT(CAUSE_GUEST_LOAD_PAGE))

/* [priv spec, henvcfg] ADUE stays 0: the machine must never write into a shared frame.
 * cbo.inval acts as cbo.flush, so that a guest cannot uncover another one's old data; PBMTE stays 0,
 * since a page of memory type NC would do the same, and every device of a guest is one of Pando's. */
static u64 henvcfg_value(void)
{
	u64 v = 0;

	if (machine.has_sstc)
		v |= HENVCFG_STCE;
	if (machine.has_zicbom)
		v |= HENVCFG_CBIE_FLUSH | HENVCFG_CBCFE;
	if (machine.has_zicboz)
		v |= HENVCFG_CBZE;
	return v;
}

/* The same for every guest: written once per hart. */
static void load_constants(void)
{
	csr_write(hedeleg, HEDELEG);
	csr_write(hideleg, HIDELEG);
	csr_write(hie, 0);
	csr_write(hgeie, 0);
	csr_write(hcounteren, COUNTERS_CY_TM_IR);
	csr_write(henvcfg, henvcfg_value());
	if (machine.has_smstateen)
		csr_write(hstateen0, HSTATEEN0_ENVCFG);
	hart_self()->is_guest_ready = true;
}

/* [V spec, "State of Vector Extension at Reset"] the recommended values. */
static void reset_vector(struct guest_vector *vector)
{
	*vector = (struct guest_vector){ .vtype = VTYPE_VILL, .v = vector->v };
	if (vector->v != NULL)
		memset(vector->v, 0, GUEST_VECTOR_LEN);
}

void guest_reset(struct guest_regs *regs, struct guest_csrs *csrs, struct guest_units *units,
                 u64 pc, u64 a0, u64 a1)
{
	memset(regs, 0, sizeof(*regs));
	memset(csrs, 0, sizeof(*csrs));
	memset(&units->fp, 0, sizeof(units->fp));
	reset_vector(&units->vector);
	regs->sepc = pc;
	regs->x[10] = a0;
	regs->x[11] = a1;
	regs->sstatus = SSTATUS_UXL_64 | SSTATUS_SPP | SSTATUS_SPIE;
	regs->hstatus = HSTATUS_VSXL_64 | HSTATUS_VTW | HSTATUS_SPV | HSTATUS_SPVP;
	csrs->vsstatus = SSTATUS_UXL_64;
	csrs->vstimecmp = TIME_NEVER;
	/* What KVM's guests find: without it rdtime traps in their user mode. */
	csrs->scounteren = COUNTERS_CY_TM_IR;
}

static void load_fp(struct guest_regs *regs, const struct guest_fp *fp, bool is_held)
{
	if (!is_held) {
		csr_set(sstatus, SSTATUS_FS_DIRTY);
		fp_load_all(fp);
		csr_clear(sstatus, SSTATUS_FS);
	}
	regs->sstatus = (regs->sstatus & ~SSTATUS_FS) | SSTATUS_FS_CLEAN;
}

static void load_vector(struct guest_regs *regs, const struct guest_vector *vector, bool is_held)
{
	if (!is_held) {
		csr_set(sstatus, SSTATUS_VS_DIRTY);
		vector_load_v(vector->v);
		vector_set_vl_vtype(vector->vl, vector->vtype);
		csr_write(vcsr, vector->vcsr);
		csr_write(vstart, vector->vstart);
		csr_clear(sstatus, SSTATUS_VS);
	}
	regs->sstatus = (regs->sstatus & ~SSTATUS_VS) | SSTATUS_VS_CLEAN;
}

/* The hart may still hold the very registers: they were saved when this vCPU left, if dirty. */
static void load_units(struct guest_regs *regs, const struct guest_units *units, bool is_fresh)
{
	struct hart_local *self = hart_self();
	bool is_held = !is_fresh && self->units_owner == units;

	self->units_owner = units;
	if (machine.has_fp)
		load_fp(regs, &units->fp, is_held);
	if (units->vector.v != NULL)
		load_vector(regs, &units->vector, is_held);
}

void guest_load(struct guest_regs *regs, const struct guest_csrs *csrs,
                const struct guest_units *units, u64 htimedelta, bool is_fresh)
{
	if (!hart_self()->is_guest_ready)
		load_constants();
	csr_write(vsstatus, csrs->vsstatus);
	csr_write(vsie, csrs->vsie);
	csr_write(vstvec, csrs->vstvec);
	csr_write(vsscratch, csrs->vsscratch);
	csr_write(vsepc, csrs->vsepc);
	csr_write(vscause, csrs->vscause);
	csr_write(vstval, csrs->vstval);
	csr_write(vsatp, csrs->vsatp);
	csr_write(htimedelta, htimedelta);
	if (machine.has_sstc)
		csr_write(vstimecmp, csrs->vstimecmp);
	csr_write(hvip, csrs->hvip);
	csr_write(scounteren, csrs->scounteren);
	csr_write(senvcfg, csrs->senvcfg);
	if (machine.has_siselect)
		csr_write(vsiselect, 0); /* no guest is told of it, so none may miss it */
	load_units(regs, units, is_fresh);
}

static void save_fp(struct guest_regs *regs, struct guest_fp *fp)
{
	csr_set(sstatus, SSTATUS_FS_DIRTY);
	if ((regs->sstatus & SSTATUS_FS) == SSTATUS_FS_DIRTY)
		fp_save_all(fp);
	else
		fp->fcsr = csr_read(fcsr);
	csr_clear(sstatus, SSTATUS_FS); /* Pando itself has no use for FP */
	regs->sstatus &= ~SSTATUS_FS;
}

void vcpu_enter(struct guest_exit *exit, struct guest_regs *regs)
{
	register struct guest_exit *a0 __asm__("a0") = exit;
	register struct guest_regs *a1 __asm__("a1") = regs;

	__asm__ volatile("call vcpu_switch"
	                 : "+r"(a0), "+r"(a1)
	                 :
	                 : "memory", "ra", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a2", "a3",
	                   "a4", "a5", "a6", "a7", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7",
	                   "s8", "s9", "s10", "s11");
}

static void save_vector(struct guest_regs *regs, struct guest_vector *vector)
{
	csr_set(sstatus, SSTATUS_VS_DIRTY);
	vector->vstart = csr_read(vstart);
	vector->vcsr = csr_read(vcsr);
	vector->vl = csr_read(vl);
	vector->vtype = csr_read(vtype);
	if ((regs->sstatus & SSTATUS_VS) == SSTATUS_VS_DIRTY || vector->vstart != 0)
		vector_save_v(vector->v);
	csr_clear(sstatus, SSTATUS_VS);
	regs->sstatus &= ~SSTATUS_VS;
}

void guest_save(struct guest_csrs *csrs, struct guest_regs *regs, struct guest_units *units)
{
	csrs->vsstatus = csr_read(vsstatus);
	csrs->vsie = csr_read(vsie);
	csrs->vstvec = csr_read(vstvec);
	csrs->vsscratch = csr_read(vsscratch);
	csrs->vsepc = csr_read(vsepc);
	csrs->vscause = csr_read(vscause);
	csrs->vstval = csr_read(vstval);
	csrs->vsatp = csr_read(vsatp);
	csrs->hvip = csr_read(hvip);
	csrs->scounteren = csr_read(scounteren);
	csrs->senvcfg = csr_read(senvcfg);
	if (machine.has_sstc) {
		csrs->vstimecmp = csr_read(vstimecmp);
		csr_write(vstimecmp, TIME_NEVER);
	}
	csr_write(hvip, 0);
	if (machine.has_fp)
		save_fp(regs, &units->fp);
	if (units->vector.v != NULL)
		save_vector(regs, &units->vector);
}

void guest_set_hgatp(u64 hgatp)
{
	u64 vsatp = csr_swap(vsatp, 0);

	csr_write(hgatp, hgatp);
	csr_write(vsatp, vsatp);
}

void guest_drop_reservation(void)
{
	u32 scratch;
	u32 failed;

	/* Succeeds or not, the reservation is gone afterwards. */
	__asm__ volatile("sc.w %0, zero, (%1)" : "=&r"(failed) : "r"(&scratch) : "memory");
}

void guest_inject(struct guest_regs *regs, u64 scause, u64 stval)
{
	u64 vsstatus = csr_read(vsstatus);
	u64 vstvec = csr_read(vstvec);

	csr_write(vsepc, regs->sepc);
	csr_write(vscause, scause);
	csr_write(vstval, stval);
	/* [priv spec, "Trap entry"] stack the interrupt enable and the mode it came from. */
	vsstatus &= ~(SSTATUS_SPIE | SSTATUS_SPP);
	if (vsstatus & SSTATUS_SIE)
		vsstatus |= SSTATUS_SPIE;
	if (regs->sstatus & SSTATUS_SPP)
		vsstatus |= SSTATUS_SPP;
	csr_write(vsstatus, vsstatus & ~SSTATUS_SIE);
	regs->sepc = vstvec & ~3UL;
	if ((vstvec & 3) == 1 && (scause & CAUSE_IRQ) != 0)
		regs->sepc += 4 * (scause & ~CAUSE_IRQ);
	/* The handler runs in VS-mode, whatever mode was interrupted. */
	regs->sstatus |= SSTATUS_SPP;
	regs->hstatus |= HSTATUS_SPV | HSTATUS_SPVP;
}

bool guest_fetch(gva_t gva, const struct guest_regs *regs, u32 *insn)
{
	u64 low;
	u64 high = 0;

	/* HLVX translates with the privilege in hstatus.SPVP: that of the trapped code. */
	csr_write(hstatus, regs->hstatus);
	if (!trap_try_hlvx_hu(gva.v, &low, FETCH_MISSES))
		return false;
	/* Two halves: a 32-bit instruction may lie across two pages. */
	if ((low & 3) == 3 && !trap_try_hlvx_hu(gva.v + 2, &high, FETCH_MISSES))
		return false;
	*insn = (u32)(low | high << 16);
	return true;
}
