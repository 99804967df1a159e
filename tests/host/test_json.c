/* SPDX-License-Identifier: BSD-2-Clause */
/* The JSON writer: text for text, then random values read back by a parser of their own. */
#include "unit.h"
#include "ctl/json.h"
#include "fake_arch/fake.h"

static char text[1 << 16];
static struct json_buf buf;

static struct json begin(void)
{
	buf = (struct json_buf){ .at = text, .room = sizeof(text) - 1 };
	return (struct json){ .put = json_buf_put, .ctx = &buf };
}

static void expect(const struct json *j, const char *what)
{
	assert_true(json_is_closed(j));
	assert_false(buf.is_cut);
	text[buf.len] = 0;
	assert_string_equal(text, what);
}

static void test_values(void **state)
{
	struct json j = begin();

	(void)state;
	json_object(&j, NULL);
	json_u64(&j, "n", UINT64_MAX);
	json_array(&j, "list");
	json_u64(&j, NULL, 0);
	json_string(&j, NULL, "a");
	json_object(&j, NULL);
	json_end_object(&j);
	json_array(&j, NULL);
	json_end_array(&j);
	json_end_array(&j);
	json_bool(&j, "yes", true);
	json_bool(&j, "no", false);
	json_null(&j, "none");
	json_s64(&j, "s", INT64_MIN);
	json_s64(&j, "t", -1);
	json_s64(&j, "u", 120);
	json_string(&j, "absent", NULL);
	assert_false(json_is_closed(&j));
	json_end_object(&j);
	expect(&j, "{\"n\":18446744073709551615,\"list\":[0,\"a\",{},[]],\"yes\":true,\"no\":false,"
	           "\"none\":null,\"s\":-9223372036854775808,\"t\":-1,\"u\":120,\"absent\":null}");
}

static void test_strings(void **state)
{
	struct json j = begin();

	(void)state;
	json_bytes(&j, NULL, "a\"\\\n\t\0\x7f\x80\xff/z", 11);
	expect(&j, "\"a\\\"\\\\\\n\\u0009\\u0000\\u007f\\u0080\\u00ff/z\"");
	j = begin();
	json_string(&j, NULL, "");
	expect(&j, "\"\"");
	j = begin();
	json_object(&j, NULL);
	json_string(&j, "k\"", "v");
	json_end_object(&j);
	expect(&j, "{\"k\\\"\":\"v\"}");
}

/* Nobody wants it. */
static void test_nobody(void **state)
{
	(void)state;
	json_object(NULL, "a");
	json_array(NULL, "a");
	json_u64(NULL, "a", 1);
	json_bool(NULL, "a", true);
	json_null(NULL, "a");
	json_string(NULL, "a", "b");
	json_bytes(NULL, "a", "b", 1);
	json_end_array(NULL);
	json_end_object(NULL);
}

/* A buffer takes what fits, and never a byte more. */
static void test_room(void **state)
{
	(void)state;
	for (size_t room = 0; room < 20; room++) {
		char small[21];
		struct json_buf b = { .at = small, .room = room };
		struct json j = { .put = json_buf_put, .ctx = &b };

		memset(small, '#', sizeof(small));
		json_object(&j, NULL);
		json_string(&j, "key", "value");
		json_end_object(&j);
		assert_int_equal(b.is_cut, room < strlen("{\"key\":\"value\"}"));
		assert_true(b.len <= room);
		for (size_t i = b.len; i < sizeof(small); i++)
			assert_int_equal(small[i], '#');
		assert_int_equal(strncmp(small, "{\"key\":\"value\"}", b.len), 0);
	}
}

/* The string that `at` begins with, decoded; returns behind it. */
static const char *read_string(const char *at, u8 *bytes, size_t *n)
{
	unsigned code;

	*n = 0;
	assert_int_equal(*at++, '"');
	for (; *at != '"'; at++) {
		assert_in_range((u8)*at, ' ', '~');
		if (*at != '\\') {
			bytes[(*n)++] = (u8)*at;
			continue;
		}
		switch (*++at) {
		case 'n': bytes[(*n)++] = '\n'; break;
		case '"':
		case '\\': bytes[(*n)++] = (u8)*at; break;
		default:
			assert_int_equal(*at, 'u');
			assert_int_equal(sscanf(at + 1, "%4x", &code), 1);
			bytes[(*n)++] = (u8)code;
			at += 4;
		}
	}
	return at + 1;
}

static void test_random_bytes(void **state)
{
	(void)state;
	fake_seed(11);
	for (u32 round = 0; round < 2000; round++) {
		u8 in[64], out[sizeof(in) * 2];
		size_t len = fake_random() % sizeof(in), n;
		struct json j = begin();

		for (size_t i = 0; i < len; i++)
			in[i] = (u8)fake_random();
		json_bytes(&j, NULL, (const char *)in, len);
		text[buf.len] = 0;
		assert_ptr_equal(read_string(text, out, &n), text + buf.len);
		assert_int_equal(n, len);
		assert_memory_equal(in, out, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),       cmocka_unit_test(test_strings),
		cmocka_unit_test(test_nobody),       cmocka_unit_test(test_room),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
