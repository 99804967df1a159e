/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The decoder against the real assembler: insn_cases.h is written by
 * scripts/gen-insn-cases when the tests are built.  Then every compressed
 * instruction there is, and random words.
 */
#include "run/insn.h"
#include <stdarg.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>

struct insn_case {
	u32 insn;
	u64 htinst;
	bool is_access;
	struct insn_access access;
};
#include "insn_cases.h"

#define N_RANDOM 4000000U

static void assert_same(const struct insn_access *got, const struct insn_case *c)
{
	if (got->is_store != c->access.is_store || got->is_signed != c->access.is_signed ||
	    got->len != c->access.len || got->reg != c->access.reg ||
	    got->insn_len != c->access.insn_len)
		fail_msg(
			"%#x (htinst %#llx) decoded as store %d signed %d len %d reg %d insn_len %d",
			c->insn, (unsigned long long)c->htinst, got->is_store, got->is_signed,
			got->len, got->reg, got->insn_len);
}

static void test_instructions(void **state)
{
	(void)state;
	assert_true(ARRAY_LEN(insn_cases) > 10000);
	for (u32 i = 0; i < ARRAY_LEN(insn_cases); i++) {
		const struct insn_case *c = &insn_cases[i];
		struct insn_access got;

		if (insn_decode(c->insn, &got) != c->is_access)
			fail_msg("%#x: is it an access? %d", c->insn, c->is_access);
		if (c->is_access)
			assert_same(&got, c);
		/* What follows a 16-bit instruction in memory plays no part. */
		if ((c->insn & 3) != 3 && c->is_access) {
			assert_true(insn_decode(c->insn | 0xabcd0000, &got));
			assert_same(&got, c);
		}
	}
}

static void test_htinst(void **state)
{
	struct insn_access got;

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(insn_cases); i++) {
		const struct insn_case *c = &insn_cases[i];

		if (!c->is_access)
			continue;
		assert_true(insn_decode_htinst(c->htinst, &got));
		assert_same(&got, c);
		assert_false(insn_decode_htinst(c->htinst | 1UL << 32, &got));
	}
	/* Nothing, and the four pseudoinstructions. */
	assert_false(insn_decode_htinst(0, &got));
	assert_false(insn_decode_htinst(0x2000, &got));
	assert_false(insn_decode_htinst(0x2020, &got));
	assert_false(insn_decode_htinst(0x3000, &got));
	assert_false(insn_decode_htinst(0x3020, &got));
	/* A transformed AMO and a transformed HLV are none of ours. */
	assert_false(insn_decode_htinst(0x0063a2af, &got));
	assert_false(insn_decode_htinst(0x6803c2f3, &got));
}

/* Whatever decodes is a base load or store by the letter of the listing. */
static void check_word(u32 insn)
{
	struct insn_access a;
	u32 opcode = insn & 0x7f, funct3 = insn >> 12 & 7, c3 = insn >> 13 & 7;
	bool is_c = (insn & 3) != 3, got = insn_decode(insn, &a), expected;

	if (!is_c) {
		expected = (opcode == 0x03 && funct3 <= 6) || (opcode == 0x23 && funct3 <= 3);
	} else {
		bool is_cl = c3 == 2 || c3 == 3, is_cs = c3 == 6 || c3 == 7;

		expected = ((insn & 3) == 0 && (is_cl || is_cs)) ||
		           ((insn & 3) == 2 && ((is_cl && (insn >> 7 & 31) != 0) || is_cs));
	}
	if (got != expected)
		fail_msg("%#x: is it an access? %d", insn, expected);
	if (!got)
		return;
	assert_true(a.reg < 32 && (a.len == 1 || a.len == 2 || a.len == 4 || a.len == 8));
	assert_int_equal(a.insn_len, is_c ? 2 : 4);
	assert_false(a.is_store && a.is_signed);
}

static void test_any_bits(void **state)
{
	const char *s = getenv("PANDO_SEED");
	u64 x = s != NULL ? strtoull(s, NULL, 0) : 0x5eed;

	(void)state;
	print_message("PANDO_SEED=%#llx\n", (unsigned long long)x);
	for (u32 i = 0; i < 0x10000; i++) {
		if ((i & 3) != 3)
			check_word(i);
	}
	for (u32 i = 0; i < N_RANDOM; i++) {
		struct insn_access a;
		u32 insn;

		x = x * 6364136223846793005U + 1442695040888963407U;
		insn = (u32)(x >> 32);
		check_word(insn);
		check_word((insn & ~0x7fU) | ((i & 1) != 0 ? 0x03 : 0x23));
		if (insn_decode_htinst(x >> (x & 1 ? 32 : 0), &a))
			assert_true(a.reg < 32 && (a.insn_len == 2 || a.insn_len == 4));
	}
}

static void test_extend(void **state)
{
	static const struct {
		u8 len;
		u64 sign, zero;
	} rows[] = {
		{ 1, 0xffffffffffffff80, 0x80 },
		{ 2, 0xffffffffffff8080, 0x8080 },
		{ 4, 0xffffffff80808080, 0x80808080 },
		{ 8, 0x8080808080808080, 0x8080808080808080 },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(rows); i++) {
		struct insn_access a = { .len = rows[i].len, .is_signed = true };

		assert_true(insn_extend(&a, 0x8080808080808080) == rows[i].sign);
		assert_true(insn_extend(&a, 0x7f) == 0x7f);
		a.is_signed = false;
		assert_true(insn_extend(&a, 0x8080808080808080) == rows[i].zero);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instructions),
		cmocka_unit_test(test_htinst),
		cmocka_unit_test(test_any_bits),
		cmocka_unit_test(test_extend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
