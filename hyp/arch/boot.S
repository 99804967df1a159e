/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * First instructions of every hart.
 *
 * boot_start: the boot hart comes from firmware with a0 = hart id, a1 = device
 * tree, translation off, interrupts off.  Clears .bss (which holds the per-hart
 * structs, so tp is set after it) and calls pando_main(a0, a1).
 *
 * boot_hart_entry: the other harts come through SBI HSM with a0 = hart id,
 * a1 = their struct hart_local, and call boot_hart_main() on their own stack.
 *
 * Registers: s2 and s3 keep a0 and a1 while .bss is cleared.
 */
#include "arch/regs.h"

	.section .text.boot, "ax"
	.globl	boot_start
boot_start:
	csrw	sie, zero
	csrci	sstatus, 2		/* SIE */
	csrw	satp, zero
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
	lla	t0, trap_vector
	csrw	stvec, t0
	csrw	sscratch, zero
	mv	a0, s2
	mv	a1, s3
	tail	pando_main

	.globl	boot_hart_entry
	.balign	4
boot_hart_entry:
	csrw	sie, zero
	csrci	sstatus, 2		/* SIE */
	mv	tp, a1
	ld	sp, HART_STACK_TOP(tp)
	lla	t0, trap_vector
	csrw	stvec, t0
	csrw	sscratch, zero
	tail	boot_hart_main

	.section .stacks, "aw", @nobits
	.balign	4096
	.globl	boot_stacks
boot_stacks:
	.space	8 * STACK_SLOT_LEN
	.size	boot_stacks, . - boot_stacks
