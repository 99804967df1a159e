/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smallest /init: prints the time counter and powers off. Its first instruction is the end of the kernel's boot, so
 * the number, less what the counter showed when the kernel was entered, is the boot's length; under QEMU's icount one
 * tick is a hundred instructions. Built twice: as a static Linux program (the default), and with ENTRY defined as a bare
 * supervisor image that shows what the counter reads where a kernel is entered. Used by scripts/measure-boot.
 *
 * Registers: s0 the counter, s1 where the next digit goes, s2 digits left.
 */
	.equ	line_len, 28		/* "pando-mark ", 16 digits, newline */
	.equ	image_size, 0x10000

	.option	norelax			/* nobody has set gp */
	.globl	_start
_start:
#ifdef ENTRY
	/* The header of a RISC-V Linux Image, so that every loader takes it for a kernel. */
	j	begin
	.balign	8
	.quad	0x200000, image_size, 0
	.word	2, 0
	.quad	0
	.ascii	"RISCV\0\0\0RSC\5"
	.word	0
#endif
begin:
	rdtime	s0
	lla	s1, digits
	li	s2, 16
1:	srli	t0, s0, 60
	slli	s0, s0, 4
	li	t1, 10
	blt	t0, t1, 2f
	addi	t0, t0, 'a' - '0' - 10
2:	addi	t0, t0, '0'
	sb	t0, 0(s1)
	addi	s1, s1, 1
	addi	s2, s2, -1
	bnez	s2, 1b
#ifdef ENTRY
	lla	s1, line
	li	s2, line_len
3:	lbu	a0, 0(s1)
	li	a7, 1			/* legacy console putchar: every firmware has it */
	ecall
	addi	s1, s1, 1
	addi	s2, s2, -1
	bnez	s2, 3b
	li	a7, 8			/* legacy shutdown */
	ecall
#else
	li	a0, 1
	lla	a1, line
	li	a2, line_len
	li	a7, 64			/* write */
	ecall
	li	a0, 0xfee1dead
	li	a1, 672274793
	li	a2, 0x4321fedc		/* power off */
	li	a7, 142			/* reboot */
	ecall
#endif
4:	j	4b

	.data
line:	.ascii	"pando-mark "
digits:	.ascii	"................\n"
