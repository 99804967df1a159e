/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's FP registers.  Pando itself has none (soft-float build), so
 * sstatus.FS must be on around these calls and they are all there is.
 *
 * a0 = struct guest_fp; t0 carries fcsr.
 */
#include "arch/regs.h"

	.option	arch, +d
	.text

/* void fp_load_all(const struct guest_fp *fp) */
	.globl	fp_load_all
fp_load_all:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	fld	f\n, FP_F(\n)(a0)
	.endr
	ld	t0, FP_FCSR(a0)
	csrw	fcsr, t0
	ret

/* void fp_save_all(struct guest_fp *fp) */
	.globl	fp_save_all
fp_save_all:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	fsd	f\n, FP_F(\n)(a0)
	.endr
	csrr	t0, fcsr
	sd	t0, FP_FCSR(a0)
	ret
