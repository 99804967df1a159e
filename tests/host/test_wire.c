/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control protocol byte by byte: what a client says, in any pieces, and what it reads, at any
 * pace.
 */
#include "wire_client.h"

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

/* A file whose parts take long: not more of it in a turn than the turn may take. */
static void test_payload_that_is_work(void **state)
{
	static u8 file[60 + FAKE_FILE_LEN];
	int head = snprintf((char *)file, 60, "1 load new +%u\n", FAKE_FILE_LEN);

	(void)state;
	for (u32 i = 0; i < FAKE_FILE_LEN; i++)
		file[(u32)head + i] = (u8)(i * 7);
	fake_load_ticks = 4000; /* a turn has 10,000 */
	port->in = file;
	port->in_len = (u32)head + FAKE_FILE_LEN;
	fake_serial_work = true;
	for (u32 n = 1; n <= 3; n++) {
		ctl_poll();
		assert_int_equal(port->in_len, FAKE_FILE_LEN - n * 300);
		assert_false(ctl_wanted());
		fake_time += 10000;
	}
	port->n_out = 0;
	fake_load_ticks = 0;
	poll_all();
	assert_has(take_out(), "{\"id\":\"1\",\"ok\":true");
	assert_int_equal(port->in_len, 0);
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

/* However much memory there is for it: each request has one answer, if later. */
static void test_no_memory(void **state)
{
	u32 n_refused = 0, n_waited = 0;

	(void)state;
	fake_type("boot linux\r");
	fake_type("freeze linux\r");
	fake_type("clone linux -n 50\r");
	for (u32 n = 1; n < 12; n++) {
		const char *out;

		frame_fail_from(n);
		n_waited += strstr(say("1 vms\n"), "\"id\"") == NULL;
		frame_fail_after(0);
		port->n_out = strlen((const char *)port->out);
		fake_time += time_ns_to_ticks(20000000);
		poll_all();
		out = (const char *)port->out;
		assert_has(out, "{\"id\":\"1\",\"ok\":");
		assert_null(strstr(strstr(out, "\"id\":\"1\"") + 1, "\"id\":\"1\""));
		n_refused +=
			strstr(out,
		               "{\"code\":\"nomem\",\"message\":\"no memory for the answer\"}") !=
			NULL;
	}
	assert_in_range(n_refused, 2, 10);
	assert_in_range(n_waited, 1, 2);
}

/* Between the end of a client and the hello of the next one lies what the first has left: no requests. */
static void test_what_is_left(void **state)
{
	const char *out;

	(void)state;
	port->has_peer = true;
	assert_string_equal(say("1 image put left +1000\nhalf"), "");
	port->has_ended = true;
	out = say("old\n2 version\nhello old\n3 version\nhello new\n4 version\n");
	assert_has(out, "{\"hello\":\"new\"");
	assert_has_not(out, "\"id\"");
	assert_has(say("5 image list\n"), "\"id\":\"5\",\"ok\":true");
	assert_has_not(take_out(), "left");
	/* Nobody has come since: the hello was the old one's, too. */
	port->has_peer = false;
	port->has_ended = true;
	say("hello old\n");
	assert_string_equal(say("6 version\n"), "");
	/* The last client's last line has no end. */
	port->has_peer = true;
	port->has_ended = true;
	assert_string_equal(say("7 version"), "");
	assert_has(say("\nhello next\n"), "\"next\"");
}

/* ---- a client that reads slowly, or not at all ---- */

static void test_slow_reader(void **state)
{
	static char text[2000 * 16], *at = text;
	u64 n_answers = 0;

	(void)state;
	say("hello slow\n");
	for (u32 i = 0; i < 2000; i++)
		at += sprintf(at, "%u bogus\n", i);
	port->room = 0;
	say(text);
	assert_true(port->in_len > 0);                /* it is not read any more */
	assert_has(fake_type("version\r"), "Pando "); /* the shell does not notice */
	for (u32 i = 0; i < 100000 && (port->in_len > 0 || port->room == 0); i++) {
		port->room = 700;
		poll_all();
	}
	port->room = UINT64_MAX;
	poll_all();
	for (const char *p = (const char *)port->out; (p = strstr(p, "{\"id\":\"")) != NULL; p++)
		assert_int_equal(strtoul(p + 7, NULL, 10), n_answers++);
	assert_int_equal(n_answers, 2000);
}

/* It leaves with all that in flight. */
static void test_leaves_unread(void **state)
{
	(void)state;
	port->room = 100;
	for (u32 i = 0; i < 300; i++)
		say("1 help\n");
	port->room = 10;
	poll_all();
}

static void test_events(void **state)
{
	const char *out;
	u32 n = 0;

	(void)state;
	assert_has(say("1 events maybe\n"), "\"usage\"");
	assert_has(say("1 events on\n"), "\"ok\":true");
	out = say("2 boot linux\n");
	assert_has(out, "{\"event\":\"booted\",\"vm\":\"linux\",\"vm_id\":");
	out = say("3 freeze linux\n4 clone linux -n 2\n");
	assert_has(out, "{\"event\":\"frozen\",\"vm\":\"linux\",");
	assert_has(out, "{\"event\":\"cloned\",\"vm\":\"linux.2\",");
	assert_has(out, ",\"parent\":\"linux\"}\n");
	/* Nobody reads: some are lost, and their number is told. */
	port->room = 0;
	say("5 clone linux -n 40\n");
	for (u32 i = 0; i < 8; i++)
		say("6 kill all\n7 boot linux\n8 freeze linux\n9 clone linux -n 40\n");
	port->room = UINT64_MAX;
	port->n_out = 0;
	poll_all();
	out = (const char *)port->out;
	assert_has(out, "{\"event\":\"lost\",\"n\":");
	for (const char *p = out; (p = strstr(p, "\"event\":\"cloned\"")) != NULL; p++)
		n++;
	assert_in_range(n, 60, 128);
	assert_has(say("1 events off\n2 kill linux\n"), "{\"id\":\"2\",\"ok\":true,\"data\":{}}\n");
	assert_has_not(take_out(), "event");
}

/* The answer to `line`, a boot after which there is no memory to wait. */
static const char *boot_and_fail(const char *line)
{
	const char *out;

	fc.takes_last_frame = true;
	out = say(line);
	frame_fail_from(0);
	return out;
}

/* A VM that was booted and cannot be waited for is not kept, and both are told: one from images, one of the bundle. */
static void test_booted_and_killed(void **state)
{
	const char *out;

	(void)state;
	say("1 image put k +6\nkernel2 events on\n");
	out = boot_and_fail("3 boot new kernel=k memory=4M wait=1000\n");
	assert_has(out, "{\"id\":\"3\",\"ok\":false,\"error\":{\"code\":\"nomem\"");
	assert_has(out, "{\"event\":\"booted\",\"vm\":\"new\"");
	assert_has(out, "{\"event\":\"killed\",\"vm\":\"new\"");
	say("4 image rm k\n");

	out = boot_and_fail("5 boot linux wait=1000\n");
	assert_has(out, "{\"id\":\"5\",\"ok\":false,\"error\":{\"code\":\"nomem\"");
	assert_has(out, "{\"event\":\"killed\",\"vm\":\"linux\"");

	/* The same where nobody else has a reference to it: as many as can be are watched. */
	fake_type("boot linux -n 8\r");
	out = boot_and_fail("6 boot linux wait=1000\n");
	assert_has(out, "{\"id\":\"6\",\"ok\":false,\"error\":{\"code\":\"nomem\"");
}

static void test_attach(void **state)
{
	struct fake_port *console = &fake_ports[9];
	struct vm *vm;

	(void)state;
	assert_has(say("1 attach linux 2\n"), "\"code\":\"absent\"");
	console->name = "pando.console.2";
	console->room = UINT64_MAX;
	console->chunk = 1000;
	poll_all();
	fake_type("boot linux\r");
	fake_type("unwatch linux\r");
	vm = vm_find("linux");
	fake_print(vm, "be");
	assert_has(say("1 attach linux 3\n"), "\"code\":\"absent\"");
	assert_has(say("1 attach linux x\n"), "\"code\":\"usage\"");
	assert_has(say("1 attach linux 2\n"), "\"ok\":true");
	assert_has(fake_type("console linux\r"), "its console is at a port; detach it");
	assert_has(fake_type("watch linux\r"), "its console is at a port; detach it");
	fake_print(vm, "fore\n");
	poll_all();
	assert_null(console->out); /* nobody is there yet */
	console->has_peer = true;
	poll_all();
	assert_string_equal((const char *)console->out, "before\n");
	fake_print(vm, "x");
	poll_all();
	assert_string_equal((const char *)console->out, "before\nx");
	/* Typed faster than the guest reads. */
	fc.fifo_room = 2;
	fc.n_guest_in = 0;
	console->in = (const u8 *)"typed";
	console->in_len = 5;
	fake_serial_work = true;
	for (u32 i = 0; i < 10; i++)
		ctl_poll();
	assert_int_equal(fc.n_guest_in, 2);
	fc.fifo_room = 10;
	poll_all();
	assert_memory_equal(fc.guest_in, "typed", 5);
	/* It dies with something left to say. */
	fake_print(vm, "last");
	vm_put(vm);
	fake_type("kill linux\r");
	poll_all();
	assert_string_equal((const char *)console->out, "before\nxlast");
	assert_has(say("1 detach 2\n"), "\"ok\":true");
	assert_has(say("1 detach 3\n"), "\"code\":\"absent\"");
}

static void types(struct fake_port *console, const char *text)
{
	console->in = (const u8 *)text;
	console->in_len = strlen(text);
	poll_all();
}

/* What a VM has not taken is for no other one, whoever has the port next. */
static void test_typed_for_another(void **state)
{
	struct fake_port *console = &fake_ports[9];

	(void)state;
	console->name = "pando.console.2";
	console->chunk = 1000;
	fake_type("boot linux -n 2\r");
	assert_has(say("1 attach linux 2\n"), "\"ok\":true");
	fc.fifo_room = 2;
	fc.n_guest_in = 0;
	types(console, "secret");
	assert_has(say("1 attach linux 2\n"), "\"ok\":true"); /* the same again changes nothing */
	assert_int_equal(console->in_len, 4);
	assert_has(say("1 attach linux-2 2\n"), "\"ok\":true");
	fc.fifo_room = 10;
	poll_all();
	assert_int_equal(fc.n_guest_in, 2);
	types(console, "new");
	assert_int_equal(fc.n_guest_in, 5);
	assert_memory_equal(fc.guest_in, "senew", 5);
	fake_type("kill all\r");
	poll_all();
}

/* The device's port PORT is unplugged, and another one is plugged there; `bytes` lie in it already. */
static void plug(const char *name, const char *bytes)
{
	port->is_open = port->has_peer = false;
	port->has_ended = true;
	port->name = name;
	types(port, bytes);
}

/* A port is what its name says, whatever was at its number before, in the middle of whatever it was. */
static void test_another_port_at_its_number(void **state)
{
	u64 n_free = frame_n_free();

	(void)state;
	fake_type("boot linux\r");
	say("1 vers");
	plug(NULL, "");
	assert_true(frame_n_free() > n_free - 20);
	plug("pando.console.3", "");
	fake_type("unwatch linux\r");
	assert_has_not(fake_type("attach linux 3\r"), "no port");
	fc.fifo_room = 100;
	fc.n_guest_in = 0;
	types(port, "hello you\n");
	assert_memory_equal(fc.guest_in, "hello you\n", 10);
	assert_has_not(take_out(), "pando");
	plug("pando.control.7", "");
	assert_has(say("hello you\n"), "{\"hello\":\"you\"");
	assert_has(say("1 version\n2 vers"), "{\"id\":\"1\",\"ok\":true");
	/* The end of a line, of an earlier client's bytes, of a payload: all of the earlier life. */
	plug("pando.control.7", "hello me\n");
	assert_has(say("ion\n3 version\n"), "{\"id\":\"3\",\"ok\":true");
	say("4 image put k +100\n12345");
	plug("pando.control.7", "");
	assert_has(say("hello me\n"), "{\"hello\":\"me\"");
	assert_int_equal(fc.n_guest_in, 10);
	assert_has(fake_type("attach linux 3\r"), "no port");
	fake_type("kill all\r");
}

/* ---- answers that come later ---- */

static void start_boot(const char *wait)
{
	char line[100];

	assert_has(say("1 image put k +6\nkernel"), "\"ok\":true");
	snprintf(line, sizeof(line), "2 boot new kernel=k memory=4M wait=%s\n3 version\n", wait);
	assert_true(strncmp(say(line), "{\"id\":\"3\",", 10) == 0);
}

static void ready(void)
{
	struct vm *vm = vm_find("new");

	port->n_out = 0;
	vm_post_event(vm, VM_EV_READY);
	vm_put(vm);
	poll_all();
}

static void test_later(void **state)
{
	(void)state;
	start_boot("1000");
	ready();
	assert_has((const char *)port->out, "{\"id\":\"2\",\"ok\":true,\"data\":{\"vm\":\"new\"");
	say("1 kill new\n");
	/* It takes too long. */
	start_boot("5");
	port->n_out = 0;
	fake_time += time_ns_to_ticks(10000000);
	poll_all();
	assert_has((const char *)port->out,
	           "{\"id\":\"2\",\"ok\":false,\"error\":{\"code\":\"timeout\"");
	say("1 kill new\n");
	/* It ends, and says so to whoever waits. */
	start_boot("1000");
	assert_has(say("4 kill new\n"), "{\"id\":\"2\",\"ok\":false,");
	say("1 image rm k\n");
}

/* Whoever waited has gone: nothing is said to the next one. */
static void test_nobody_waits(void **state)
{
	struct vm *vm;

	(void)state;
	start_boot("1000");
	leave();
	assert_has(say("hello next\n"), "next");
	vm = vm_find("new");
	if (vm) {
		vm_put(vm);
		ready();
		assert_has_not((const char *)port->out, "\"id\":\"2\"");
	}
	assert_has(say("1 image rm k\n"), "\"ok\":true");
	/* And with half a payload under way. */
	assert_string_equal(say("1 image put k +1000\nabc"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_before_hello, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_requests, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_half_lines, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_long_line, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_payload_is_skipped, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_payload_that_is_work, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_payload_out, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_what_is_left, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_no_memory, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_slow_reader, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_leaves_unread, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_events, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_booted_and_killed, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_attach, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_typed_for_another, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_another_port_at_its_number, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_later, connect, hang_up),
		cmocka_unit_test_setup_teardown(test_nobody_waits, connect, hang_up),
	};

	return cmocka_run_group_tests(tests, fake_up, NULL);
}
