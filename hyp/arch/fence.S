/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fences (fence.h).  The operands are the trap of this file: HFENCE.GVMA takes
 * rs1 = GPA >> 2 and rs2 = VMID, HFENCE.VVMA rs1 = GVA and rs2 = ASID; x0 in
 * either place means "all".
 */
	.option	arch, +h
	.text

	.globl	hfence_gvma_all
hfence_gvma_all:
	hfence.gvma
	ret

	.globl	hfence_gvma_vmid
hfence_gvma_vmid:
	hfence.gvma zero, a0
	ret

	.globl	hfence_gvma_gpa
hfence_gvma_gpa:
	srli	a0, a0, 2
	hfence.gvma a0, a1
	ret

	.globl	hfence_vvma_all
hfence_vvma_all:
	hfence.vvma
	ret

	.globl	hfence_vvma_asid
hfence_vvma_asid:
	hfence.vvma zero, a0
	ret

	.globl	hfence_vvma_gva
hfence_vvma_gva:
	hfence.vvma a0, zero
	ret

	.globl	hfence_vvma_gva_asid
hfence_vvma_gva_asid:
	hfence.vvma a0, a1
	ret

	.globl	fence_i
fence_i:
	fence.i
	ret
