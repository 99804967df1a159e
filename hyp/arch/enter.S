/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * void vcpu_enter(struct guest_exit *exit, struct guest_regs *regs)
 *
 * Guest entry as a C call that returns.  Pando's callee-saved registers wait on
 * its stack, sscratch holds regs while the guest runs, stvec points to the exit.
 *
 * Entry: t0..t3 carry CSR values, then x1..x31 are the guest's, a1 last.
 * Exit:  a1 is regs again, the guest's a1 comes back from sscratch; the cause
 *        CSRs are read before anything else can trap.
 *
 * gp is not saved: Pando is linked without a global pointer.
 */
#include "arch/regs.h"

#define FRAME_LEN 128

	.option	arch, +h
	.text
	.globl	vcpu_enter
	.balign	4
vcpu_enter:
	addi	sp, sp, -FRAME_LEN
	sd	a0, 0(sp)
	sd	ra, 8(sp)
	sd	tp, 16(sp)
	sd	s0, 24(sp)
	sd	s1, 32(sp)
	sd	s2, 40(sp)
	sd	s3, 48(sp)
	sd	s4, 56(sp)
	sd	s5, 64(sp)
	sd	s6, 72(sp)
	sd	s7, 80(sp)
	sd	s8, 88(sp)
	sd	s9, 96(sp)
	sd	s10, 104(sp)
	sd	s11, 112(sp)
	sd	sp, REGS_HOST_SP(a1)
	csrw	sscratch, a1
	ld	t0, REGS_SEPC(a1)
	ld	t1, REGS_SSTATUS(a1)
	ld	t2, REGS_HSTATUS(a1)
	lla	t3, vcpu_exit
	csrw	sepc, t0
	csrw	sstatus, t1
	csrw	hstatus, t2
	csrw	stvec, t3
	.irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 11
	ld	x\n, REGS_X(\n)(a1)
	.endr
	sret

	.balign	4
vcpu_exit:
	csrrw	a1, sscratch, a1
	.irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	sd	x\n, REGS_X(\n)(a1)
	.endr
	ld	sp, REGS_HOST_SP(a1)
	csrr	t0, sscratch
	csrr	t1, sepc
	csrr	t2, sstatus
	csrr	t3, hstatus
	sd	t0, REGS_X(11)(a1)
	sd	t1, REGS_SEPC(a1)
	sd	t2, REGS_SSTATUS(a1)
	sd	t3, REGS_HSTATUS(a1)
	lla	t0, trap_vector
	csrw	stvec, t0
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
	ld	s0, 24(sp)
	ld	s1, 32(sp)
	ld	s2, 40(sp)
	ld	s3, 48(sp)
	ld	s4, 56(sp)
	ld	s5, 64(sp)
	ld	s6, 72(sp)
	ld	s7, 80(sp)
	ld	s8, 88(sp)
	ld	s9, 96(sp)
	ld	s10, 104(sp)
	ld	s11, 112(sp)
	addi	sp, sp, FRAME_LEN
	ret
