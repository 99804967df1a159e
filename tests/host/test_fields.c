/* SPDX-License-Identifier: BSD-2-Clause */
/* Fields out and in again; what is read from bytes that are none; and the checksum of memory. */
#include "unit.h"
#include "lib/fields.h"
#include "lib/hash.h"

struct thing {
	u64 word;
	u32 number;
	u8 small;
	bool flag;
	char text[5];
};

static void thing_fields(struct fields *f, struct thing *t)
{
	fields_u64(f, &t->word, 0xffff);
	fields_u32(f, "number", &t->number, 1000);
	fields_u8(f, "small", &t->small, 7);
	fields_bool(f, "flag", &t->flag);
	fields_bytes(f, t->text, sizeof(t->text));
	fields_check(f, "text", t->text[4] == 0);
}

#define THING_LEN 40U

static const struct thing one = { 0x12345678, 1000, 7, true, "abcd" };

static void write_one(u8 *bytes)
{
	struct fields f = { .at = bytes, .end = bytes + THING_LEN };
	struct thing t = one;

	memset(bytes, 0xee, THING_LEN);
	thing_fields(&f, &t);
	assert_ptr_equal(f.at, f.end);
	assert_true(fields_are_good(&f));
	assert_true(t.word == one.word && t.number == one.number); /* it is only read */
}

/* The name of what was wrong, or "". */
static const char *read_back(u8 *bytes, u32 len, struct thing *t)
{
	struct fields f = { .at = bytes, .end = bytes + len, .is_reading = true };

	memset(t, 0xff, sizeof(*t));
	t->small = 0;
	t->flag = false;
	thing_fields(&f, t);
	return fields_are_good(&f) ? "" : f.bad;
}

static void test_both_ways(void **state)
{
	static const u8 expected[THING_LEN] = {
		0x78, 0x56, [8] = 0xe8, 3, [16] = 7, [24] = 1, [32] = 'a', 'b', 'c', 'd'
	};
	u8 bytes[THING_LEN];
	struct thing t;

	(void)state;
	write_one(bytes);
	assert_memory_equal(bytes, expected, sizeof(bytes));
	assert_string_equal(read_back(bytes, THING_LEN, &t), "");
	assert_int_equal(t.word, 0x5678);
	assert_int_equal(t.number, 1000);
	assert_int_equal(t.small, 7);
	assert_true(t.flag);
	assert_string_equal(t.text, "abcd");
}

static void test_wrong(void **state)
{
	static const struct {
		u32 at;
		u8 value;
		const char *bad;
	} cases[] = {
		{ 2, 0xff, "" }, /* masked */
		{ 8, 0xe9, "number" }, { 12, 1, "number" }, { 16, 8, "small" },
		{ 23, 1, "small" },    { 24, 2, "flag" },   { 36, 1, "text" },
	};
	u8 bytes[THING_LEN + 8] = { 0 };
	struct thing t;

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
		write_one(bytes);
		bytes[cases[i].at] = cases[i].value;
		assert_string_equal(read_back(bytes, THING_LEN, &t), cases[i].bad);
		assert_true(t.word == 0x5678 && t.number <= 1000 && t.small <= 7);
	}
	write_one(bytes);
	for (u32 len = 0; len <= THING_LEN + 8; len++)
		assert_string_equal(read_back(bytes, len, &t), len == THING_LEN ? "" : "length");
	/* What is not there is zero. */
	(void)read_back(bytes, 8, &t);
	assert_int_equal(t.word, 0x5678);
	assert_true(t.number == 0 && t.small == 0 && !t.flag && t.text[0] == 0);
}

/* Any one bit that is other changes it; and in what pieces it comes does not. */
static void test_hash(void **state)
{
	u64 words[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	u64 sum = hash_words(HASH_START, words, sizeof(words));

	(void)state;
	assert_int_equal(hash_words(hash_words(HASH_START, words, 24), &words[3], 40), sum);
	assert_int_equal(hash_words(HASH_START, words, 0), HASH_START);
	for (u32 bit = 0; bit < 512; bit++) {
		words[bit / 64] ^= BIT(bit % 64);
		assert_int_not_equal(hash_words(HASH_START, words, sizeof(words)), sum);
		words[bit / 64] ^= BIT(bit % 64);
	}
	/* As docs/template-format.md has it, worked out apart from this code. */
	assert_int_equal(hash_words(HASH_START, words, 8), 0x2f21048d4e054889UL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
