/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where every trap goes.  sscratch is zero while Pando runs, and a guest's registers'
 * address while that guest does: its exits go on in enter.S.
 *
 * Interrupts are off in HS-mode, so this is an exception: either one that the
 * code under way expects (its cause is in recover_causes: go on at recover_pc,
 * with t0 and t1 lost), or a bug.  A bug always moves to the emergency stack,
 * because sp may be what is wrong.
 *
 * Registers: tp is the hart's struct, which takes t0, t1, sp.
 */
#include "arch/regs.h"

	.text
	.globl	trap_vector
	.balign	4
trap_vector:
	csrrw	a1, sscratch, a1
	bnez	a1, vcpu_exit
	csrrw	a1, sscratch, a1
	sd	t0, HART_SPILL_T0(tp)
	sd	t1, HART_SPILL_T1(tp)
	csrr	t0, scause
	bltz	t0, trap_is_bug
	ld	t1, HART_RECOVER_CAUSES(tp)
	srl	t1, t1, t0
	andi	t1, t1, 1
	beqz	t1, trap_is_bug
	sd	zero, HART_RECOVER_CAUSES(tp)
	ld	t0, HART_RECOVER_PC(tp)
	jr	t0

trap_is_bug:
	sd	sp, HART_SPILL_SP(tp)
	ld	sp, HART_EMERGENCY_TOP(tp)
	addi	sp, sp, -TRAP_FRAME_LEN
	ld	t0, HART_SPILL_T0(tp)
	ld	t1, HART_SPILL_T1(tp)
	.irp n, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	sd	x\n, 8 * \n(sp)
	.endr
	ld	t0, HART_SPILL_SP(tp)
	sd	t0, 8 * 2(sp)
	mv	a0, sp
	call	trap_fatal

/*
 * Guarded accesses: each arms recover_causes with the causes in its last
 * argument, tries one instruction, and returns 1, or 0 when it trapped.
 */
	.macro	GUARD_BEGIN causes
	lla	t0, 9f
	sd	t0, HART_RECOVER_PC(tp)
	sd	\causes, HART_RECOVER_CAUSES(tp)
	.endm

	.macro	GUARD_END
	sd	zero, HART_RECOVER_CAUSES(tp)
	li	a0, 1
	ret
	.balign	4
9:	li	a0, 0
	ret
	.endm

	.option	arch, +h

/* bool trap_try_hlvx_hu(u64 gva, u64 *half, u64 causes) */
	.globl	trap_try_hlvx_hu
trap_try_hlvx_hu:
	GUARD_BEGIN a2
	hlvx.hu	t1, (a0)
	sd	t1, 0(a1)
	GUARD_END

/* bool trap_try_NAME(u64 *value, u64 causes): reads this CSR */
	.macro TRY_CSR name, csr
	.globl	trap_try_\name
trap_try_\name:
	GUARD_BEGIN a1
	csrr	t1, \csr
	sd	t1, 0(a0)
	GUARD_END
	.endm

	TRY_CSR	hgatp, 0x680		/* stands for "is there an H extension?" */
	TRY_CSR	stimecmp, 0x14d
	TRY_CSR	henvcfg, 0x60a
	TRY_CSR	hstateen0, 0x60c
	TRY_CSR	vsiselect, 0x250
	TRY_CSR	vlenb, 0xc22

/* bool trap_try_cbo_zero(void *block, u64 causes) */
	.globl	trap_try_cbo_zero
trap_try_cbo_zero:
	GUARD_BEGIN a1
	.insn	i 0x0f, 2, x0, a0, 4
	GUARD_END
