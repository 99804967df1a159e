/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest of probe.c: a0 = GVA of the data.  On a page of its own. */
	.section .text.probe_guest, "ax"
	.balign	4096
	.globl	probe_guest_code
probe_guest_code:
	ld	t0, 0(a0)
	sd	t0, 0(a0)
	li	a7, 0
	ecall
1:	j	1b
	.balign	4096
