/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control protocol byte by byte: what a client says, in any pieces, and what it reads, at any
 * pace; held against a parser that has the whole text before it.
 */
#include "ctl_fake.h"
#include "arch/time.h"
#include "ctl/command.h"
#include "ctl/wire.h"

#define PORT 3U

static struct fake_port *const port = &fake_ports[PORT];

static u64 n_free_before;

/* Everything that came out since the last look. */
static const char *take_out(void)
{
	port->n_out = 0;
	return port->out ? (const char *)port->out : "";
}

static void poll_all(void)
{
	fake_serial_work = true;
	for (u32 i = 0; i < 100000 && ctl_wanted(); i++) {
		ctl_poll();
		fake_time += 1000;
	}
	assert_false(ctl_wanted());
}

/* Says `len` bytes; what came back. */
static const char *say_bytes(const void *bytes, u64 len)
{
	port->in = bytes;
	port->in_len = len;
	if (port->out)
		port->out[0] = 0;
	port->n_out = 0;
	poll_all();
	return take_out();
}

static const char *say(const char *text)
{
	return say_bytes(text, strlen(text));
}

static void leave(void)
{
	port->has_ended = true;
	port->in_len = 0;
	port->room = UINT64_MAX;
	poll_all();
	take_out();
}

static int connect(void **state)
{
	(void)state;
	port->name = "pando.control.7";
	port->room = UINT64_MAX;
	port->chunk = 1000;
	say("hello first\n"); /* the port has its memory from now on */
	leave();
	n_free_before = frame_n_free();
	assert_string_equal(say("hello me\n"),
	                    "\n{\"hello\":\"me\",\"pando\":\"0.1\",\"protocol\":1,"
	                    "\"port\":7,\"timebase_hz\":10000000}\n");
	return 0;
}

/* A client that has gone has left nothing. */
static int hang_up(void **state)
{
	leave();
	fake_down(state);
	while (space_idle_work())
		continue;
	assert_int_equal(frame_n_free(), n_free_before);
	return 0;
}

static void test_before_hello(void **state)
{
	(void)state;
	leave();
	assert_string_equal(say("1 version\n\n\nhello\nhello \nhello a b\nhello a/b\n"), "");
	assert_string_equal(say("hello 0123456789012345678901234567890123\n"), "");
	assert_string_equal(say("garbage without end"), "");
	assert_string_equal(say("hello me\n"), "");
	assert_has(say("hello me.-_2\r\n"), "{\"hello\":\"me.-_2\"");
}

static void test_requests(void **state)
{
	(void)state;
	assert_has(say("1 version\n"),
	           "{\"id\":\"1\",\"ok\":true,\"data\":{},\"text\":\"Pando 0.1: ");
	assert_has(say("a.b_c-D bogus\n"), "{\"id\":\"a.b_c-D\",\"ok\":false,\"error\":{\"code\":"
	                                   "\"unknown\",\"message\":\"unknown command "
	                                   "\\\"bogus\\\"; try help\"}}\n");
	assert_has(say("1 freeze nope\n"), "\"code\":\"absent\"");
	assert_has(say("1 freeze\n"), "\"code\":\"usage\"");
	assert_has(say("1 freeze \"a b\n"), "\"code\":\"syntax\"");
	assert_has(say("1 freeze \"a b\"\n"), "no VM \\\"a b\\\"");
	assert_has(say("1\n"), "{\"id\":\"1\",\"ok\":false,\"error\":{\"code\":\"syntax\"");
	assert_has(say(" 1 version\n"), "{\"id\":null,\"ok\":false,\"error\":{\"code\":\"syntax\"");
	assert_has(say("/ version\n"), "{\"id\":null,");
	assert_has(say_bytes("1 ver\0sion\n", 11), "{\"id\":null,");
	assert_string_equal(say("\n\r\n\n"), "");
	assert_has(say("1 logs x +\n"), "\"code\":\"usage\"");
	assert_has(say("1 version +99999999999999999999\n2 version\n"), "\"2\",\"ok\":true");
}

static void test_half_lines(void **state)
{
	(void)state;
	assert_string_equal(say("1 ver"), "");
	assert_string_equal(say("sion"), "");
	assert_has(say("\n2 ver"), "{\"id\":\"1\",\"ok\":true");
	leave();
	assert_string_equal(say("sion\n"), "");
	assert_has(say("hello you\n"), "\"you\"");
}

static void test_long_line(void **state)
{
	static char line[10 << 20];
	const char *out;

	(void)state;
	memset(line, 'x', sizeof(line));
	assert_string_equal(say_bytes(line, sizeof(line)), "");
	out = say("\n2 version\n");
	assert_has(out, "{\"id\":null,\"ok\":false,\"error\":{\"code\":\"syntax\"");
	assert_has(out, "{\"id\":\"2\",\"ok\":true");
	/* The longest that there may be, and a byte more. */
	memcpy(line, "3 ", 2);
	line[CMD_LINE_LEN - 1] = '\n';
	assert_has(say_bytes(line, CMD_LINE_LEN), "\"code\":\"unknown\"");
	line[CMD_LINE_LEN - 1] = 'x';
	line[CMD_LINE_LEN] = '\n';
	assert_has(say_bytes(line, CMD_LINE_LEN + 1UL), "\"code\":\"syntax\"");
}

static void test_payload_is_skipped(void **state)
{
	const char *out;

	(void)state;
	out = say("1 version +10\n2 version\n2 version\n");
	assert_has(
		out,
		"{\"id\":\"1\",\"ok\":false,\"error\":{\"code\":\"usage\",\"message\":\"version: "
		"takes no payload\"}}\n{\"id\":\"2\",\"ok\":true");
	assert_null(strstr(strstr(out, "\"2\"") + 1, "\"2\""));
	assert_has(say("1 bogus +3\nabc2 version\n"), "{\"id\":\"2\",\"ok\":true");
	assert_has(say("1 +3\nabc2 version\n"), "{\"id\":\"2\",\"ok\":true");
	assert_has(say("1 freeze \"x +3\nabc2 version\n"), "{\"id\":\"2\",\"ok\":true");
	assert_has(say("1 version +0\n2 version\n"), "{\"id\":\"2\",\"ok\":true");
	/* It does not all come. */
	assert_has(say("1 version +100\nabc"), "{\"id\":\"1\"");
	leave();
	assert_has(say("hello me\n"), "\"me\"");
	/* A new hello ends it only when the payload is over. */
	assert_string_equal(say("1 version +16\nhello you\n"), take_out());
	assert_has(say("abcdef2 version\n"), "{\"id\":\"2\",\"ok\":true");
}

static void test_payload_out(void **state)
{
	struct vm *vm;

	(void)state;
	fake_type("boot linux\r");
	fake_type("unwatch linux\r");
	vm = vm_find("linux");
	fake_print(vm, "some words");
	vm_put(vm);
	assert_string_equal(say("1 logs linux\n"),
	                    "{\"id\":\"1\",\"ok\":true,\"data\":{},\"payload\":10}\nsome words");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_before_hello, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_requests, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_half_lines, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_long_line, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_payload_is_skipped, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_payload_out, connect, hang_up),
	};

	return cmocka_run_group_tests(tests, fake_up, NULL);
}
