/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * First instructions of every hart, all at boot_start: translation off,
 * interrupts off, a0 = hart id.
 *
 * The first hart to come is the boot hart: a1 = device tree.  It clears .bss
 * (which holds the per-hart structs, so tp is set after it) and calls
 * pando_main(a0, a1).  Every later one was started by it (SBI HSM), finds its
 * struct hart_local by its id and calls boot_hart_main() on its own stack.
 *
 * Neither the address nor a1 tells them apart: OpenSBI 1.1 lets a hart go
 * before it has noted where to, and such a hart comes with the address and the
 * a1 of the boot hart.
 *
 * Registers: s2 and s3 keep a0 and a1 while .bss is cleared.
 */
#include "arch/regs.h"

	.equ	N_HARTS, 8		/* HART_MAX */

	.section .text.boot, "ax"
	.globl	boot_start
boot_start:
	csrw	sie, zero
	csrci	sstatus, 2		/* SIE */
	csrw	satp, zero
	csrw	sscratch, zero
	lla	t0, trap_vector
	csrw	stvec, t0
	lla	t0, boot_hart_came
	li	t1, 1
	amoswap.w.aq t1, t1, (t0)
	bnez	t1, later_hart
	mv	s2, a0
	mv	s3, a1
	lla	t0, image_bss_start
	lla	t1, image_bss_end
1:	bgeu	t0, t1, 2f
	sd	zero, 0(t0)
	addi	t0, t0, 8
	j	1b
2:	lla	tp, hart_locals
	lla	sp, boot_stacks + STACK_GUARD_LEN + STACK_LEN
	lla	t0, boot_stacks + STACK_SLOT_LEN
	sd	t0, HART_EMERGENCY_TOP(tp)
	mv	a0, s2
	mv	a1, s3
	tail	pando_main

later_hart:
	lla	tp, hart_locals
	lla	t0, hart_locals + N_HARTS * HART_LOCAL_LEN
1:	ld	t1, HART_ID(tp)
	beq	t1, a0, 3f
	addi	tp, tp, HART_LOCAL_LEN
	bltu	tp, t0, 1b
2:	wfi				/* nobody has called it */
	j	2b
3:	ld	sp, HART_STACK_TOP(tp)
	mv	a0, tp
	tail	boot_hart_main

	.data
	.balign	4
boot_hart_came:
	.word	0

	.section .stacks, "aw", @nobits
	.balign	4096
	.globl	boot_stacks
boot_stacks:
	.space	N_HARTS * STACK_SLOT_LEN
	.size	boot_stacks, . - boot_stacks
