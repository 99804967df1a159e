/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole-page loops (page.h): the inner loops of cloning, unrolled to 256 bytes
 * (copy, compare) or 512 (zero).  Instructions for one page: copy 1,076, zero
 * 532 or 140 by cbo.zero at 64-byte blocks, compare of equal pages 1,590, zero
 * test of a zero page 1,060.
 *
 * a0 and a1 walk, a2 is the end; t0-t6 and a3-a7 carry data.
 */
	.text

	.macro	COPY64 off
	ld	t0, \off(a1)
	ld	t1, \off+8(a1)
	ld	t2, \off+16(a1)
	ld	t3, \off+24(a1)
	ld	t4, \off+32(a1)
	ld	t5, \off+40(a1)
	ld	t6, \off+48(a1)
	ld	a3, \off+56(a1)
	sd	t0, \off(a0)
	sd	t1, \off+8(a0)
	sd	t2, \off+16(a0)
	sd	t3, \off+24(a0)
	sd	t4, \off+32(a0)
	sd	t5, \off+40(a0)
	sd	t6, \off+48(a0)
	sd	a3, \off+56(a0)
	.endm

/* void page_copy(void *dst, const void *src) */
	.globl	page_copy
	.balign	4
page_copy:
	lui	a2, 1
	add	a2, a2, a0
1:	COPY64	0
	COPY64	64
	COPY64	128
	COPY64	192
	addi	a0, a0, 256
	addi	a1, a1, 256
	bne	a0, a2, 1b
	ret

	.macro	ZERO64 off
	sd	zero, \off(a0)
	sd	zero, \off+8(a0)
	sd	zero, \off+16(a0)
	sd	zero, \off+24(a0)
	sd	zero, \off+32(a0)
	sd	zero, \off+40(a0)
	sd	zero, \off+48(a0)
	sd	zero, \off+56(a0)
	.endm

	.macro	CBO_ZERO
	.insn	i 0x0f, 2, x0, a0, 4	/* cbo.zero (a0) */
	add	a0, a0, a1
	.endm

/* void page_zero(void *dst): a1 = bytes that one cbo.zero clears, 0 without Zicboz */
	.globl	page_zero
	.balign	4
page_zero:
	lui	a2, 1
	add	a2, a2, a0
	lla	a1, page_cboz_block_len
	lwu	a1, 0(a1)
	bnez	a1, 2f
1:	ZERO64	0
	ZERO64	64
	ZERO64	128
	ZERO64	192
	ZERO64	256
	ZERO64	320
	ZERO64	384
	ZERO64	448
	addi	a0, a0, 512
	bne	a0, a2, 1b
	ret
2:	CBO_ZERO
	CBO_ZERO
	CBO_ZERO
	CBO_ZERO
	CBO_ZERO
	CBO_ZERO
	CBO_ZERO
	CBO_ZERO
	bltu	a0, a2, 2b
	ret

	.macro	EQUAL32 off
	ld	t0, \off(a0)
	ld	t1, \off(a1)
	ld	t2, \off+8(a0)
	ld	t3, \off+8(a1)
	ld	t4, \off+16(a0)
	ld	t5, \off+16(a1)
	ld	t6, \off+24(a0)
	ld	a3, \off+24(a1)
	bne	t0, t1, 2f
	bne	t2, t3, 2f
	bne	t4, t5, 2f
	bne	t6, a3, 2f
	.endm

/* bool page_is_equal(const void *a, const void *b) */
	.globl	page_is_equal
	.balign	4
page_is_equal:
	lui	a2, 1
	add	a2, a2, a0
1:	EQUAL32	0
	EQUAL32	32
	EQUAL32	64
	EQUAL32	96
	EQUAL32	128
	EQUAL32	160
	EQUAL32	192
	EQUAL32	224
	addi	a0, a0, 256
	addi	a1, a1, 256
	bne	a0, a2, 1b
	li	a0, 1
	ret
2:	li	a0, 0
	ret

	.macro	IS_ZERO64 off
	ld	t0, \off(a0)
	ld	t1, \off+8(a0)
	ld	t2, \off+16(a0)
	ld	t3, \off+24(a0)
	ld	t4, \off+32(a0)
	ld	t5, \off+40(a0)
	ld	t6, \off+48(a0)
	ld	a3, \off+56(a0)
	bnez	t0, 2f
	bnez	t1, 2f
	bnez	t2, 2f
	bnez	t3, 2f
	bnez	t4, 2f
	bnez	t5, 2f
	bnez	t6, 2f
	bnez	a3, 2f
	.endm

/* bool page_is_zero(const void *page) */
	.globl	page_is_zero
	.balign	4
page_is_zero:
	lui	a2, 1
	add	a2, a2, a0
1:	IS_ZERO64 0
	IS_ZERO64 64
	IS_ZERO64 128
	IS_ZERO64 192
	addi	a0, a0, 256
	bne	a0, a2, 1b
	li	a0, 1
	ret
2:	li	a0, 0
	ret
