/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * void wild_run(const u64 regs[32], const void *code): loads x1 to x31 from regs and jumps to code. Nothing is saved:
 * the only way back is a trap, so it is called through catch_s(). t6 carries the address until the end.
 */
	.text
	.globl	wild_run
wild_run:
	mv	t6, a0
	csrw	sepc, a1
	li	t0, 0x100
	csrs	sstatus, t0
	.irp	i, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
	ld	x\i, 8*\i(t6)
	.endr
	ld	t6, 8*31(t6)
	sret
