/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads and stores of the base ISA and of C, decoded for MMIO emulation.
 */
#ifndef RUN_INSN_H
#define RUN_INSN_H

#include "lib/types.h"

struct insn_access {
	bool is_store;
	bool is_signed; /* load: sign-extend to 64 bits */
	u8 len;         /* access width in bytes: 1, 2, 4, 8 */
	u8 reg;         /* rd of a load, rs2 of a store */
	u8 insn_len;    /* 2 or 4: how far sepc advances */
};

/* Decodes the 16 or 32-bit instruction `insn`.  False: not a load or store that a device can
 * take (AMO, FP, vector, anything else). */
bool must_check insn_decode(u32 insn, struct insn_access *a);

/* Decodes a transformed instruction from htinst (bit 0 set, not a pseudoinstruction; spec
 * "Transformed Instruction or Pseudoinstruction for mtinst or htinst"); bit 1 clear: the
 * original was compressed.  False: htinst does not help, fetch the instruction. */
bool must_check insn_decode_htinst(u64 htinst, struct insn_access *a);

/* Extends `value` as the load does and gives what goes into the register. */
u64 insn_extend(const struct insn_access *a, u64 value);

#endif
