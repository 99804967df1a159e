/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decoder for loads and stores that hit a device.
 *
 * The address is known from the fault, so only width, sign, register and length
 * of the instruction matter; immediates and base registers are never looked at.
 * The input is the guest's and may be any bits at all.
 *
 * Encodings: unprivileged spec, "RV32/64G Instruction Set Listings" and, for the
 * C extension, "RVC Instruction Set Listings".
 */
#include "run/insn.h"

#define OPCODE_LOAD  0x03U
#define OPCODE_STORE 0x23U

static u32 bits(u32 insn, u32 low, u32 n)
{
	return insn >> low & ((1U << n) - 1);
}

static bool decode_32(u32 insn, struct insn_access *a)
{
	u32 opcode = bits(insn, 0, 7), funct3 = bits(insn, 12, 3);

	if (opcode == OPCODE_LOAD && funct3 != 7) {
		/* funct3: log2 of the width, plus 4 if unsigned */
		a->is_store = false;
		a->is_signed = funct3 < 4;
		a->reg = (u8)bits(insn, 7, 5);
	} else if (opcode == OPCODE_STORE && funct3 < 4) {
		a->is_store = true;
		a->is_signed = false;
		a->reg = (u8)bits(insn, 20, 5);
	} else {
		return false;
	}
	a->len = (u8)(1U << (funct3 & 3));
	a->insn_len = 4;
	return true;
}

/*
 * C has 4 and 8-byte accesses only.  Quadrant 0 addresses by a register and names x8 .. x15 in
 * bits 4:2, loads and stores alike; quadrant 2 addresses by sp and names rd in bits 11:7 (x0 is
 * reserved), rs2 in bits 6:2.
 */
static bool decode_16(u32 insn, struct insn_access *a)
{
	u32 quadrant = bits(insn, 0, 2), funct3 = bits(insn, 13, 3);
	bool is_store = (funct3 & 4) != 0;
	u32 reg;

	if ((funct3 & 2) == 0)
		return false;
	if (quadrant == 0)
		reg = 8 + bits(insn, 2, 3);
	else if (quadrant == 2)
		reg = is_store ? bits(insn, 2, 5) : bits(insn, 7, 5);
	else
		return false;
	if (quadrant == 2 && !is_store && reg == 0)
		return false;
	a->is_store = is_store;
	a->is_signed = !is_store;
	a->reg = (u8)reg;
	a->len = (funct3 & 1) != 0 ? 8 : 4;
	a->insn_len = 2;
	return true;
}

bool insn_decode(u32 insn, struct insn_access *a)
{
	return (insn & 3) == 3 ? decode_32(insn, a) : decode_16(insn, a);
}

bool insn_decode_htinst(u64 htinst, struct insn_access *a)
{
	if ((htinst & 1) == 0 || htinst >> 32 != 0 || !decode_32((u32)htinst | 2, a))
		return false;
	if ((htinst & 2) == 0)
		a->insn_len = 2;
	return true;
}

u64 insn_extend(const struct insn_access *a, u64 value)
{
	u32 shift = 64 - 8U * a->len;

	return a->is_signed ? (u64)((s64)(value << shift) >> shift) : value << shift >> shift;
}
