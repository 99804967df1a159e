/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All 32 floating-point registers and fcsr, filled from a seed and compared with it; the tool chain's library is
 * soft-float, so no C code touches them in between. Register i holds seed + i.
 *
 *   void fp_fill(u64 seed, u64 fcsr);
 *   u64 fp_check(u64 seed, u64 fcsr);		how many differ
 *   void fp_write_one(u64 value);		f7 alone
 *   u64 fp_sum(u64 n);				1 + 2 + ... + n in double precision, as an integer
 */
	.option arch, +f, +d
	.text
	.globl	fp_fill, fp_check, fp_write_one, fp_sum
fp_fill:
	.irp	i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	addi	t0, a0, \i
	fmv.d.x	f\i, t0
	.endr
	csrw	fcsr, a1
	ret

fp_check:
	li	t2, 0
	.irp	i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	addi	t0, a0, \i
	fmv.x.d	t1, f\i
	xor	t1, t1, t0
	snez	t1, t1
	add	t2, t2, t1
	.endr
	csrr	t1, fcsr
	xor	t1, t1, a1
	snez	t1, t1
	add	a0, t2, t1
	ret

fp_write_one:
	fmv.d.x	f7, a0
	ret

fp_sum:
	fcvt.d.l ft0, zero
	li	t0, 1
1:	fcvt.d.l ft1, t0
	fadd.d	ft0, ft0, ft1
	addi	t0, t0, 1
	bleu	t0, a0, 1b
	fcvt.l.d a0, ft0
	ret
