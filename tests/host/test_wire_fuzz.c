/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random streams of good and bad requests, in random pieces, read at a random pace; held against a parser
 * that has the whole text before it.
 */
#include "wire_client.h"
#include "ctl/command.h"
#include "json_check.h"

struct expected {
	char id[40]; /* "null" */
	char code[16];
	bool has_payload;
};

static struct expected expected[1 << 16];
static u32 n_expected;
static char stream[1 << 20];
static u64 n_stream;

static void expect_answer(const char *id, size_t len, const char *code, bool has_payload)
{
	struct expected *e = &expected[n_expected++];

	snprintf(e->id, sizeof(e->id), "%.*s", (int)len, id);
	snprintf(e->code, sizeof(e->code), "%s", code);
	e->has_payload = has_payload;
}

/* Does every word in quotes end, and are there not too many? */
static bool are_words(const char *s)
{
	for (u32 n = 0;; n++) {
		s += strspn(s, " \t");
		if (!*s)
			return n <= CMD_WORDS_MAX + 1;
		if (*s != '"') {
			s += strcspn(s, " \t");
			continue;
		}
		for (s++; *s && *s != '"'; s++)
			if (*s == '\\' && (s[1] == '"' || s[1] == '\\'))
				s++;
		if (*s++ != '"' || (*s && *s != ' ' && *s != '\t'))
			return false;
	}
}

/* What a command of the fuzzer's answers. */
static const char *code_of(const char *command, bool has_payload)
{
	if (strcmp(command, " version") == 0 && !has_payload)
		return "ok";
	if (strcmp(command, " logs linux") == 0 && !has_payload)
		return "ok";
	if (strcmp(command, " image put x") == 0 && has_payload)
		return "ok";
	if (strcmp(command, " freeze nope") == 0 && !has_payload)
		return "absent";
	if (strcmp(command, " freeze") == 0 || strcmp(command, " version") == 0 ||
	    strcmp(command, " logs linux") == 0 || strcmp(command, " freeze nope") == 0 ||
	    strcmp(command, " image put x") == 0)
		return "usage";
	return command[strspn(command, " ")] && are_words(command) ? "unknown" : "syntax";
}

static bool is_id(const char *s, size_t len)
{
	static const char may[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

	return len > 0 && len <= 32 && strspn(s, may) >= len;
}

/* One line of `len` bytes at `at`; how many bytes of payload follow. */
static u64 expect_line(const char *at, size_t len, u64 left)
{
	static char line[1 << 20];
	size_t id_len, digits;
	u64 payload = 0;
	bool has_payload = false;
	const char *code;
	char *plus;

	memcpy(line, at, len);
	line[len] = 0;
	if (len > 4095 || strlen(line) != len) {
		expect_answer("null", 4, "syntax", false);
		return 0;
	}
	if (len > 0 && line[len - 1] == '\r')
		line[len - 1] = 0;
	if (!line[0])
		return 0;
	plus = strrchr(line, ' ');
	id_len = strcspn(line, " ");
	if (!is_id(line, id_len)) {
		expect_answer("null", 4, "syntax", false);
		return 0;
	}
	digits = plus && plus[1] == '+' ? strspn(plus + 2, "0123456789") : 0;
	if (digits > 0 && !plus[2 + digits]) {
		has_payload = true;
		payload = strtoull(plus + 2, NULL, 10);
		*plus = 0;
	}
	code = code_of(line + id_len, has_payload);
	if (strcmp(line + id_len, " image put x") == 0 && payload == 0)
		code = "usage";
	if (strcmp(code, "ok") == 0 && has_payload && payload > left)
		return payload; /* no answer before all of it is there */
	expect_answer(line, id_len, code,
	              strcmp(line + id_len, " logs linux") == 0 && !has_payload);
	return payload;
}

static void expect_stream(void)
{
	u64 at = 0;

	n_expected = 0;
	while (at < n_stream) {
		const char *end = memchr(stream + at, '\n', n_stream - at);
		u64 payload;

		if (!end)
			return;
		payload = expect_line(stream + at, (size_t)(end - stream - (long)at),
		                      n_stream - (u64)(end + 1 - stream));
		at = (u64)(end + 1 - stream);
		at += u64_min(payload, n_stream - at);
	}
}

static void add(const char *text)
{
	memcpy(stream + n_stream, text, strlen(text));
	n_stream += strlen(text);
}

static void add_random(void)
{
	static const char *const commands[] = {
		" version", " bogus x",  " freeze", " freeze nope", " logs linux", " image put x",
		"",         " frob \"a", "  "
	};
	char text[64];
	u32 n = (u32)(fake_random() % 200);

	if (fake_random() % 16 == 0) { /* a line of nothing good, perhaps too long */
		n *= fake_random() % 4 ? 1 : 40;
		for (u32 i = 0; i < n; i++)
			stream[n_stream++] = (char)("ab \"\\+9\r\0\xff\n"[fake_random() % 12]);
		return;
	}
	snprintf(text, sizeof(text), "%lx", fake_random() % 100000);
	add(text);
	add(commands[fake_random() % ARRAY_LEN(commands)]);
	if (fake_random() % 3 == 0) {
		snprintf(text, sizeof(text), " +%u%s\n", n, fake_random() % 8 ? "" : "\r");
		add(text);
		for (u32 i = 0; i < n; i++)
			stream[n_stream++] = (char)fake_random();
		return;
	}
	add(fake_random() % 4 ? "\n" : "\r\n");
}

/* Reads all answers, each of which must be the one that is expected. */
static void check_answers(void)
{
	const char *at = (const char *)port->out, *end = at + port->n_out;

	for (u32 i = 0; i < n_expected; i++) {
		const struct expected *e = &expected[i];
		const char *behind = at < end ? check_value(at) : NULL;
		char head[64], code[32];

		if (!behind || *behind != '\n')
			fail_msg("answer %u, of %s, is none: %.80s", i, e->id, at);
		snprintf(head, sizeof(head),
		         strcmp(e->id, "null") ? "{\"id\":\"%s\"," : "{\"id\":%s,", e->id);
		if (strncmp(at, head, strlen(head)) != 0)
			fail_msg("answer %u is not of %s: %.80s", i, e->id, at);
		snprintf(code, sizeof(code),
		         strcmp(e->code, "ok") ? "\"code\":\"%s\"" : "\"%s\":true", e->code);
		if (!strstr(at, code) || strstr(at, code) > behind)
			fail_msg("answer %u, %s, has no %s: %.80s", i, e->id, code, at);
		at = behind + 1;
		if (e->has_payload) {
			assert_memory_equal(at, "some words", 10);
			at += 10;
		}
	}
	assert_ptr_equal(at, end);
}

/* All of the stream, in random pieces, read at a random pace. */
static void play(void)
{
	port->in = (const u8 *)stream;
	port->in_len = n_stream;
	port->n_out = 0;
	for (u32 i = 0; i < 1000000 && (port->in_len > 0 || port->room < UINT64_MAX); i++) {
		port->chunk = 1 + (u32)(fake_random() % (fake_random() % 2 ? 8 : 3000));
		port->room = fake_random() % 4 ? fake_random() % 300 : 0;
		if (port->in_len == 0)
			port->room = UINT64_MAX;
		fake_serial_work = true;
		ctl_poll();
		fake_time += 1000;
	}
	poll_all();
}

static void test_random_streams(void **state)
{
	struct vm *vm;

	(void)state;
	fake_seed(31);
	fake_type("boot linux\r");
	fake_type("unwatch linux\r");
	vm = vm_find("linux");
	fake_print(vm, "some words");
	vm_put(vm);
	for (u32 round = 0; round < 40; round++) {
		n_stream = 0;
		for (u32 i = 0; i < 300; i++)
			add_random();
		expect_stream();
		play();
		check_answers();
		leave();
		port->room = UINT64_MAX;
		port->chunk = 1000;
		assert_has(say("hello again\n"), "again");
	}
	say("1 image rm x\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random_streams, connect, hang_up),
	};

	return cmocka_run_group_tests(tests, fake_up, NULL);
}
