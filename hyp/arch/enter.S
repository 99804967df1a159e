/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vcpu_switch: a0 = struct guest_exit *, a1 = struct guest_regs *; see vcpu_enter().
 *
 * Guest entry as a call that returns, with every register but sp and tp lost: its caller
 * keeps next to nothing across it, and so nothing is saved that nobody needs.  sscratch
 * holds regs while the guest runs, and so tells its exit from a trap of Pando (trap.S).
 *
 * Entry: t0..t2 carry CSR values, then x1..x31 are the guest's, a1 last.
 * Exit:  a1 is regs, the guest's a1 is in sscratch, which is cleared; the cause
 *        CSRs are read before anything else can trap.
 *
 * gp is not saved: Pando is linked without a global pointer.
 */
#include "arch/regs.h"

#define FRAME_LEN 32

	.option	arch, +h
	.text
	.globl	vcpu_switch
	.balign	4
vcpu_switch:
	addi	sp, sp, -FRAME_LEN
	sd	a0, 0(sp)
	sd	ra, 8(sp)
	sd	tp, 16(sp)
	sd	sp, REGS_HOST_SP(a1)
	csrw	sscratch, a1
	ld	t0, REGS_SEPC(a1)
	ld	t1, REGS_SSTATUS(a1)
	ld	t2, REGS_HSTATUS(a1)
	csrw	sepc, t0
	csrw	sstatus, t1
	csrw	hstatus, t2
	.irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 11
	ld	x\n, REGS_X(\n)(a1)
	.endr
	sret

	.globl	vcpu_exit
vcpu_exit:
	.irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	sd	x\n, REGS_X(\n)(a1)
	.endr
	ld	sp, REGS_HOST_SP(a1)
	csrrw	t0, sscratch, zero
	csrr	t1, sepc
	csrr	t2, sstatus
	csrr	t3, hstatus
	sd	t0, REGS_X(11)(a1)
	sd	t1, REGS_SEPC(a1)
	sd	t2, REGS_SSTATUS(a1)
	sd	t3, REGS_HSTATUS(a1)
	ld	a0, 0(sp)
	csrr	t0, scause
	csrr	t1, stval
	csrr	t2, htval
	csrr	t3, htinst
	sd	t0, 0(a0)
	sd	t1, 8(a0)
	sd	t2, 16(a0)
	sd	t3, 24(a0)
	ld	ra, 8(sp)
	ld	tp, 16(sp)
	addi	sp, sp, FRAME_LEN
	ret
