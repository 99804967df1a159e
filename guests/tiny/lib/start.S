/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a tiny guest gets control: at its entry, on further harts that HSM starts, in traps, and how it calls code that
 * is expected to trap.
 *
 * sscratch holds the hart's struct hart at all times (offsets below: checked in guest.c). A trap saves all registers
 * there, runs the C handler on the trap stack, and restores. Traps do not nest.
 *
 * gp is nobody's: without __global_pointer$ the linker leaves every address relative to pc, so that code also works at an
 * alias of its page.
 *
 * trap_run(hart, fn, arg, to) calls fn(arg), in S-mode (to = 0) or by sret in U-mode (to = user stack), and returns
 * 0 when fn returned, 1 when a trap ended it: the handler then resumes at trap_resume.
 */
	.equ	HART_CATCH_SP, 256
	.equ	HART_TRAP_SP, 264
	.equ	HART_STACK, 272
	.equ	HART_REGS_PC, 0			/* regs[0]: x0 needs no saving */

	.section .text.start, "ax"
	.globl	_start, hart_entry, trap_entry, trap_run, trap_resume
_start:
	csrw	sie, zero
	csrw	satp, zero
	lla	t0, bss_start
	lla	t1, bss_end
1:	sd	zero, 0(t0)
	addi	t0, t0, 8
	bltu	t0, t1, 1b
	lla	tp, tls_area
	mv	s0, a0
	mv	s1, a1
	lla	sp, first_stack_end	/* until hart_at has said which one is ours */
	call	hart_at			/* a0 = hart id -> struct hart */
	lla	t0, trap_entry
	csrw	stvec, t0
	csrw	sscratch, a0
	ld	sp, HART_STACK(a0)
	mv	a0, s0
	mv	a1, s1
	call	guest_start

/* HSM start: a0 = hart id, a1 = struct hart. */
hart_entry:
	lla	tp, tls_area
	lla	t0, trap_entry
	csrw	stvec, t0
	csrw	sscratch, a1
	ld	sp, HART_STACK(a1)
	call	guest_hart_start

	.balign	4
trap_entry:
	csrrw	a0, sscratch, a0
	sd	x1, 8(a0)
	sd	x2, 16(a0)
	sd	x3, 24(a0)
	sd	x4, 32(a0)
	sd	x5, 40(a0)
	sd	x6, 48(a0)
	sd	x7, 56(a0)
	sd	x8, 64(a0)
	sd	x9, 72(a0)
	sd	x11, 88(a0)
	sd	x12, 96(a0)
	sd	x13, 104(a0)
	sd	x14, 112(a0)
	sd	x15, 120(a0)
	sd	x16, 128(a0)
	sd	x17, 136(a0)
	sd	x18, 144(a0)
	sd	x19, 152(a0)
	sd	x20, 160(a0)
	sd	x21, 168(a0)
	sd	x22, 176(a0)
	sd	x23, 184(a0)
	sd	x24, 192(a0)
	sd	x25, 200(a0)
	sd	x26, 208(a0)
	sd	x27, 216(a0)
	sd	x28, 224(a0)
	sd	x29, 232(a0)
	sd	x30, 240(a0)
	sd	x31, 248(a0)
	csrr	t0, sepc
	sd	t0, HART_REGS_PC(a0)
	csrrw	t0, sscratch, a0
	sd	t0, 80(a0)
	ld	sp, HART_TRAP_SP(a0)
	lla	tp, tls_area
	mv	s0, a0
	call	guest_trap
	mv	a0, s0
	ld	t0, HART_REGS_PC(a0)
	csrw	sepc, t0
	ld	x1, 8(a0)
	ld	x2, 16(a0)
	ld	x3, 24(a0)
	ld	x4, 32(a0)
	ld	x5, 40(a0)
	ld	x6, 48(a0)
	ld	x7, 56(a0)
	ld	x8, 64(a0)
	ld	x9, 72(a0)
	ld	x11, 88(a0)
	ld	x12, 96(a0)
	ld	x13, 104(a0)
	ld	x14, 112(a0)
	ld	x15, 120(a0)
	ld	x16, 128(a0)
	ld	x17, 136(a0)
	ld	x18, 144(a0)
	ld	x19, 152(a0)
	ld	x20, 160(a0)
	ld	x21, 168(a0)
	ld	x22, 176(a0)
	ld	x23, 184(a0)
	ld	x24, 192(a0)
	ld	x25, 200(a0)
	ld	x26, 208(a0)
	ld	x27, 216(a0)
	ld	x28, 224(a0)
	ld	x29, 232(a0)
	ld	x30, 240(a0)
	ld	x31, 248(a0)
	ld	x10, 80(a0)
	sret

	.text
trap_run:
	addi	sp, sp, -128
	sd	ra, 0(sp)
	sd	s0, 8(sp)
	sd	s1, 16(sp)
	sd	s2, 24(sp)
	sd	s3, 32(sp)
	sd	s4, 40(sp)
	sd	s5, 48(sp)
	sd	s6, 56(sp)
	sd	s7, 64(sp)
	sd	s8, 72(sp)
	sd	s9, 80(sp)
	sd	s10, 88(sp)
	sd	s11, 96(sp)
	mv	s0, a0
	sd	sp, HART_CATCH_SP(a0)
	mv	a0, a2
	bnez	a3, 1f
	jalr	a1
	li	a0, 0
	j	2f
1:	csrw	sepc, a1
	li	t0, 0x100			/* SPP = 0: U-mode */
	csrc	sstatus, t0
	mv	sp, a3
	li	ra, 0
	sret

trap_resume:
	csrr	s0, sscratch
	ld	sp, HART_CATCH_SP(s0)
	lla	tp, tls_area
	li	a0, 1
2:	sd	zero, HART_CATCH_SP(s0)
	ld	ra, 0(sp)
	ld	s0, 8(sp)
	ld	s1, 16(sp)
	ld	s2, 24(sp)
	ld	s3, 32(sp)
	ld	s4, 40(sp)
	ld	s5, 48(sp)
	ld	s6, 56(sp)
	ld	s7, 64(sp)
	ld	s8, 72(sp)
	ld	s9, 80(sp)
	ld	s10, 88(sp)
	ld	s11, 96(sp)
	addi	sp, sp, 128
	ret

	.section .bss
	.balign	16
	.skip	256
first_stack_end:
