/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vCPU switch, bare: registers in, guest runs, registers out.
 *
 * Three groups by how often they are switched:
 *   guest_regs  on every entry and exit (enter.S);
 *   guest_csrs  when a hart changes to another vCPU (guest_load/guest_save): the
 *               VS CSRs stay live in the hart across exits, so handlers read
 *               and write them with csr_read()/csr_write();
 *   guest_units loaded if another vCPU has used the hart, saved if dirty (sstatus.FS, VS).
 */
#ifndef ARCH_GUEST_H
#define ARCH_GUEST_H

#include "arch/hart.h"
#include "arch/regs.h"
#include "lib/types.h"

struct guest_regs {
	u64 x[32]; /* x[0] is never read */
	u64 sepc;
	u64 sstatus; /* HS sstatus while the guest runs: SPP, FS, VS */
	u64 hstatus; /* SPV, SPVP, VTW, VSXL */
	u64 host_sp; /* Pando's stack while the guest runs */
};

struct guest_csrs {
	u64 vsstatus, vsie, vstvec, vsscratch, vsepc, vscause, vstval, vsatp;
	u64 hvip;
	u64 vstimecmp; /* Sstc only; guest time, TIME_NEVER when unarmed */
	u64 scounteren;
	u64 senvcfg;
};

struct guest_fp {
	u64 f[32];
	u64 fcsr;
};

struct guest_vector {
	u64 vstart, vcsr, vl, vtype;
	u8 *v; /* v0 .. v31, GUEST_VECTOR_LEN bytes; NULL: it has none */
};
#define GUEST_VECTOR_LEN (32UL * machine.vlenb)

struct guest_units {
	struct guest_fp fp;
	struct guest_vector vector;
};

/* Why the guest left: CSRs read right after the exit, before anything can overwrite them. */
struct guest_exit {
	u64 scause;
	u64 stval;
	u64 htval;
	u64 htinst;
};

/* Runs the guest until the next trap into HS-mode; `*exit` gets its cause. */
void vcpu_enter(struct guest_exit *exit, struct guest_regs *regs);

/* Reset values of all three groups, for a hart that starts at pc with a0, a1; units->vector.v
 * stays, and what it points to is cleared. */
void guest_reset(struct guest_regs *regs, struct guest_csrs *csrs, struct guest_units *units,
                 u64 pc, u64 a0, u64 a1);

/* Loads VS CSRs and hypervisor controls: hedeleg/hideleg/henvcfg/hcounteren are constants set here
 * once per hart; guest time = time + htimedelta (ticks).  FP and vector registers are loaded unless
 * the hart still holds them; `is_fresh`: it does not, whatever it thinks (the vCPU ran elsewhere or
 * was written to).  FS and VS become Clean, so that the machine notes the first change. */
void guest_load(struct guest_regs *regs, const struct guest_csrs *csrs,
                const struct guest_units *units, u64 htimedelta, bool is_fresh);

/* Stores live VS CSRs to `csrs`, disarms vstimecmp and clears hvip, so that an idle hart is not woken
 * for a vCPU that is not there.  Saves of the units what the guest dirtied. */
void guest_save(struct guest_csrs *csrs, struct guest_regs *regs, struct guest_units *units);

/* Switches hgatp as vsatp = 0, hgatp = new, vsatp = old value (spec: "the hgatp register"
 * and speculative walks must never see one VM's hgatp with another's vsatp). */
void guest_set_hgatp(u64 hgatp);

/* Kills any LR reservation of this hart: an SC to a scratch word. */
void guest_drop_reservation(void);

/* Redirects the trap to the guest's VS-mode: sets vsepc, vscause, vstval, the stacked
 * bits of vsstatus from the interrupted mode (hstatus.SPV, sstatus.SPP), sepc = vstvec. */
void guest_inject(struct guest_regs *regs, u64 scause, u64 stval);

/* Fetches the instruction at `gva` through the loaded guest's own translation (HLVX);
 * `*insn` gets 16 or 32 bits. Returns false if the fetch faulted: retry the guest
 * instruction, whatever the cause says. */
bool must_check guest_fetch(gva_t gva, const struct guest_regs *regs, u32 *insn);

#endif
