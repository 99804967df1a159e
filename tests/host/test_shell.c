/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shell as somebody types it: editing, history, completion, commands, attached
 * consoles.  What is checked is what appears on the screen.
 */
#include "ctl_fake.h"
#include "arch/time.h"
#include "ctl/command.h"
#include "ctl/fmt.h"

static void test_prompt_and_echo(void **state)
{
	(void)state;
	assert_has(fake_type("\r"), "pando> ");
	assert_string_equal(fake_type("abc"), "abc");
	assert_has(fake_type("\r"), "unknown command \"abc\"; try help");
	assert_has(fake_type("help\r\n"), "turn the machine off");
}

static void test_editing(void **state)
{
	(void)state;
	assert_has(fake_type("helq\x7fp\r"), "all VMs, or NAME");
	assert_has(fake_type("xyz\x15"
	                     "foo\r"),
	           "\"foo\"");
	assert_has(fake_type("foo bar\x17\x17"
	                     "baz\r"),
	           "\"baz\"");
	assert_has(fake_type("junk\x03"
	                     "qux\r"),
	           "\"qux\"");
	/* Left twice, insert; home, delete; end. */
	assert_has(fake_type("ac\033[D\033[Db\033[C\r"), "\"bac\"");
	assert_has(fake_type("xfoo\x01\033[3~\x05"
	                     "d\r"),
	           "\"food\"");
	assert_has(fake_type("abcd\x02\x02\x0b\r"), "\"ab\"");
	assert_has(fake_type("esc\033\r"), "\"esc\"");
	/* Backspace at the start, right at the end, keys that mean nothing. */
	assert_has(fake_type("\x7f\x7f\033[C\033[Z\033[15~ok\r"), "\"ok\"");
}

static void test_long_line(void **state)
{
	char line[1024], most[32];

	(void)state;
	memset(line, 'a', sizeof(line));
	line[sizeof(line) - 1] = 0;
	fake_type(line);
	assert_has(fake_type("\r"), "unknown command");
	for (u32 i = 0; i < CMD_WORDS_MAX + 2; i++)
		fake_type("a ");
	snprintf(most, sizeof(most), "more than %u words", CMD_WORDS_MAX);
	assert_has(fake_type("\r"), most);
}

static void test_history(void **state)
{
	(void)state;
	fake_type("first\r");
	fake_type("second\r");
	assert_has(fake_type("\033[A\r"), "unknown command \"second\"");
	assert_has(fake_type("\033[A\033[A\r"), "unknown command \"first\"");
	/* Up twice, down once; up beyond the oldest stays there. */
	assert_has(fake_type("\x10\x10\x0e\r"), "unknown command \"first\"");
	for (u32 i = 0; i < 40; i++)
		fake_type("\033[A");
	fake_type("\x03");
	for (u32 i = 0; i < 40; i++) {
		char line[16];

		snprintf(line, sizeof(line), "n%u\r", i);
		fake_type(line);
	}
	assert_has(fake_type("\033[A\033[A\r"), "\"n38\"");
}

static void test_completion(void **state)
{
	(void)state;
	assert_has(fake_type("vers\t\r"), "Pando ");
	/* Two that fit: the part they share, then the list. */
	assert_string_equal(fake_type("re\t"), "res");
	assert_has(fake_type("\x15"
	                     "re\t\t\x15"),
	           "resume");
	assert_has(fake_type("boot l\t"), "inux ");
	assert_has_not(fake_type("\x15zzz\t\x15"), "zzz ");
	/* A VM that is booted under its bundle's name is one candidate, not two. */
	fake_type("boot linux\r");
	assert_string_equal(fake_type("freeze l\t"), "freeze linux ");
	fake_type("\003");
	assert_string_equal(fake_type("freeze -\t"), "freeze --compact ");
	fake_type("\003");
	assert_string_equal(fake_type("dedup st\t"), "dedup status ");
	fake_type("\003");
	assert_string_equal(fake_type("dedup r\t"), "dedup rate=");
	fake_type("\003");
	assert_has(fake_type("dedup o\t"), "on  off  once  ");
	fake_type("\x15");
}

static void test_usage(void **state)
{
	char most[64];

	(void)state;
	assert_has(fake_type("freeze\r"), "usage: freeze VM");
	assert_has(fake_type("vms now\r"), "no VM \"now\"; try vms");
	assert_has(fake_type("vms a b\r"), "usage: vms [NAME] [-s]");
	assert_has(fake_type("log now\r"), "usage: log\n");
	snprintf(most, sizeof(most), "-n wants a number from 1 to %lu", frame_n_total());
	assert_has(fake_type("clone a -n 0\r"), most);
	assert_has(fake_type("clone a -n\r"), "-n wants a number");
	assert_has(fake_type("clone a -n 99999999999999999999\r"), "-n wants a number");
	assert_has(fake_type("clone -n 2\r"), "usage: clone");
	assert_has(fake_type("freeze nope\r"), "no VM \"nope\"; try vms");
	assert_has(fake_type("boot nope\r"), "no \"nope\" in the bundle");
	assert_has(fake_type("help nope\r"), "unknown command \"nope\"");
	assert_has(fake_type("quit 128\r"), "quit wants a code from 0 to 127");
}

static void test_life_of_a_vm(void **state)
{
	struct vm *vm;

	(void)state;
	fake_type("boot linux -n 2\r");
	assert_int_equal(fc.n_vms, 2);
	assert_string_equal(fc.vms[1]->name, "linux-2");
	assert_true(fc.vms[0]->hold_at_ready);
	assert_has(fake_type("vms\r"), "linux-2");
	assert_has(fake_type("vcpus linux\r"), "linux ");
	vm = fc.vms[0];
	assert_has(fake_type("clone linux\r"), "not a template");
	assert_has(fake_type("freeze linux\r"), "a template after");
	assert_has(fake_type("freeze linux\r"), "it is template");
	assert_has(fake_type("clone linux -n 3\r"), "3 started, the last is linux.3");
	assert_int_equal(fc.n_vms, 5);
	fake_type("kill linux\r");
	assert_null(vm_find("linux"));
	assert_int_equal(atomic_load(&vm->refs), 3);
	assert_has(fake_type("reset linux-2\r"), "linux-2: has no template to go back to");
	fake_type("reset linux.1\r");
	fake_type("pause linux.2\r");
	assert_has(fake_type("vms\r"), "paused");
	assert_has(fake_type("audit\r"), "audit: clean");
	assert_has(fake_type("vms\r"), "paused");
	fake_type("resume linux.2\r");
	assert_has_not(fake_type("vms\r"), "paused");
	assert_has(fake_type("stat\r"), "linux.3");
	assert_has(fake_type("mem\r"), "free");
	assert_has(fake_type("pages linux.1\r"), "linux.1: 0 private pages in 0 ranges of 2 MiB\n");
	assert_int_equal(copy_prepare(&vm_find("linux.1")->space, GPA(FAKE_GUEST_RAM), 5000),
	                 ERR_OK);
	assert_has(fake_type("pages linux.1\r"),
	           "linux.1: 2 private pages in 1 ranges of 2 MiB\n  0x80000000 2\n");
	fc.fail_next = ERR_NOMEM;
	assert_has(fake_type("boot linux\r"), "cannot boot: as the test wants it");
}

static void test_what_calls_cost(void **state)
{
	struct vm_stats *s;
	const char *text;

	(void)state;
	fake_type("boot linux\r");
	s = &fc.vms[0]->stats;
	text = fake_type("stat linux\r");
	assert_has_not(text, "clone call");
	assert_has_not(text, "first entry");
	assert_has_not(text, "reset:");
	s->created = 1000;
	s->clone = (struct time_cost){ 10, 1000 };
	s->run_instret = 100;
	s->picked_instret = 70000;
	s->entry_instret = 70020;
	assert_has_not(fake_type("stat linux\r"), "first entry");
	s->first_entry = 1025;
	text = fake_type("stat linux\r");
	assert_has(text, "  clone call: 1 us, 1000 instructions\n");
	assert_has(text, "  first entry after the call: 2.50 us, 1120 instructions\n");
	s->reset = (struct time_cost){ 5, 500 };
	text = fake_type("stat linux\r");
	assert_has(text, "  reset: 500 ns, 500 instructions\n");
	assert_has(text, "  first entry after the call: 2.50 us, 620 instructions\n");
	assert_has(fake_type("stat\r"), "last kill: 3 us, 3000 instructions\n");
}

/* A VM that has to give way is stopped with the reason, and is gone. */
static void test_victim(void **state)
{
	struct vm *vm;

	(void)state;
	fake_type("boot linux\r");
	vm = fc.stuck = fc.vms[0];
	vm_get(vm);
	fake_type("\r");
	assert_string_equal(vm->off_reason, "killed: every VM that could run waits for memory");
	assert_int_equal(fc.n_vms, 0);
	vm_put(vm);
}

static void test_policy(void **state)
{
	struct frame *gone[64];
	struct vm *vm;
	u32 n = 0;

	(void)state;
	fake_type("boot linux\r");
	vm = fc.vms[0];
	assert_has(fake_type("policy linux\r"), "linux: time=continue");
	assert_has(fake_type("policy linux time=jump\r"), "linux: time=jump");
	assert_int_equal(vm->policy.time, TIME_JUMP);
	/* Nothing is changed by a line with a mistake in it. */
	assert_has(fake_type("policy linux time=continue time=never\r"),
	           "error: time= wants continue or jump");
	assert_has(fake_type("policy linux time\r"), "error: time= wants continue or jump");
	assert_has(fake_type("policy linux tim=jump\r"),
	           "error: no policy \"tim\"; try help policy");
	assert_has(fake_type("policy linux =\r"), "error: no policy \"\"");
	assert_int_equal(vm->policy.time, TIME_JUMP);
	assert_has(fake_type("policy linux memory=reserve\r"), "linux: time=jump memory=reserve");
	assert_true(frame_n_promised() > 0);
	assert_has(fake_type("policy linux memory=overcommit\r"), "memory=overcommit");
	assert_int_equal(frame_n_promised(), 0);
	assert_has(fake_type("policy linux memory=none\r"),
	           "error: memory= wants overcommit or reserve");
	while (n < ARRAY_LEN(gone) && (gone[n] = frame_alloc_order(9, FRAME_FOR_GUEST)))
		n++;
	assert_has(fake_type("policy linux memory=reserve\r"), "error: linux: reserve: wants ");
	assert_int_equal(vm->policy.memory, MEMORY_OVERCOMMIT);
	while (n > 0)
		frame_free_order(gone[--n], 9);
}

static void test_resume_past_ready(void **state)
{
	(void)state;
	fake_type("boot linux\r");
	atomic_store(&fc.vms[0]->vcpu[1]->holds, HOLD_READY);
	fake_type("resume linux\r");
	assert_int_equal(atomic_load(&fc.vms[0]->vcpu[1]->holds), 0);
	assert_false(fc.vms[0]->hold_at_ready);
}

static void test_watched_output(void **state)
{
	struct vm *vm;

	(void)state;
	fake_type("boot linux\r");
	vm = fc.vms[0];
	fake_print(vm, "hello\r\nwor");
	assert_has(fake_type("ab"), "[linux] hello\n");
	fake_print(vm, "ld\n");
	fake_poll();
	assert_has(fc.screen, "[linux] world\n");
	/* The typed line is there again. */
	assert_has(fc.screen, "pando> ab");
	fake_type("\x15unwatch linux\r");
	fake_print(vm, "unseen\n");
	assert_has_not(fake_type("\r"), "unseen");
	assert_has(fake_type("watch linux\rvms\r"), "[linux] unseen\n");
	fake_print(vm, "last words");
	assert_has(fake_type("kill linux\r"), "[linux] last words\n");
}

static void test_attach(void **state)
{
	struct vm *vm;

	(void)state;
	fake_type("boot linux\r");
	vm = fc.vms[0];
	fake_type("unwatch linux\r");
	fake_print(vm, "login: ");
	assert_has(fake_type("console linux\r"), "login: ");
	fc.n_guest_in = 0;
	fc.fifo_room = 4;
	assert_string_equal(fake_type("root\r\x03"), "");
	assert_memory_equal(fc.guest_in, "root", 4);
	/* The FIFO is full: what was typed waits, Ctrl-] does not. */
	fc.fifo_room = 10;
	fake_time += 10000000;
	fake_poll();
	assert_int_equal(fc.n_guest_in, 6);
	assert_memory_equal(fc.guest_in, "root\r\x03", 6);
	fc.fifo_room = 0;
	fake_print(vm, "raw\n");
	assert_has(fake_type("x"), "raw\n");
	assert_has_not(fc.screen, "[linux]");
	assert_has(fake_type("\x1d"), "pando> ");
	assert_has(fake_type("foo\r"), "unknown command \"foo\"");
}

/* A pasted text arrives whole, however slowly the guest reads. */
static void test_paste(void **state)
{
	char text[3001];

	(void)state;
	for (u32 i = 0; i < sizeof(text) - 1; i++)
		text[i] = (char)('a' + i % 26);
	text[sizeof(text) - 1] = 0;
	fake_type("boot linux\rconsole linux\r");
	fc.n_guest_in = fc.fifo_room = 0;
	fake_type(text);
	while (fc.n_guest_in < sizeof(text) - 1 && ctl_deadline() != TIME_NEVER) {
		fc.fifo_room = 16;
		fake_time = ctl_deadline();
		fake_poll();
	}
	assert_int_equal(fc.n_guest_in, sizeof(text) - 1);
	assert_memory_equal(fc.guest_in, text, sizeof(text) - 1);
	fc.n_guest_in = 0;
}

/* What a watched VM has begun to say, its prompt, is there when somebody attaches; and only once. */
static void test_attach_in_mid_line(void **state)
{
	struct vm *vm;

	(void)state;
	fake_type("boot linux\r");
	vm = fc.vms[0];
	fake_print(vm, "login: ");
	assert_has_not(fake_type("\r"), "login: ");
	assert_has(fake_type("console linux\r"), "detaches\nlogin: ");
	fake_print(vm, "root\n");
	fake_poll();
	assert_has(fake_type("\x1d"), "pando> ");
	fake_print(vm, "b\n");
	assert_has_not(fake_type("\r"), "login: ");
}

/* A terminal passes over a NUL, and so does a watched line: the rest of it is not lost. */
static void test_nul_in_a_line(void **state)
{
	struct vm *vm;

	(void)state;
	fake_type("boot linux\r");
	vm = fc.vms[0];
	fake_print(vm, "one-two\n");
	vm->console.ring[vm->console.head + 3] = 0;
	fake_poll();
	assert_has(fc.screen, "[linux] onetwo\n");
}

/* `vm` has these events, `n` times; how many lines the log gets of it. */
static u32 n_logged(struct vm *vm, u32 events, u32 n)
{
	u32 before = fake_n_logged;

	for (u32 i = 0; i < n; i++) {
		vm_post_event(vm, events);
		fake_poll();
	}
	return fake_n_logged - before;
}

/* READY and DONE in a loop: the log is for others, too. */
static void test_boastful_guest(void **state)
{
	const u64 second = time_ns_to_ticks(1000000000);

	(void)state;
	fake_type("boot linux -n 2\r");
	assert_int_equal(n_logged(fc.vms[0], VM_EV_DONE, 1000), 16);
	assert_int_equal(n_logged(fc.vms[0], VM_EV_READY, 1), 0);
	assert_int_equal(n_logged(fc.vms[1], VM_EV_READY, 1000), 16);
	for (u32 i = 0; i < 5; i++) {
		fake_time += second;
		assert_int_equal(n_logged(fc.vms[0], VM_EV_DONE, 3), 1);
	}
	fake_time += 1000 * second;
	assert_int_equal(n_logged(fc.vms[0], VM_EV_DONE, 1000), 16);
	assert_int_equal(n_logged(fc.vms[0], VM_EV_DONE | VM_EV_OFF, 1), 1);
}

/* An attached VM that is killed gives the screen back. */
static void test_attached_vm_dies(void **state)
{
	(void)state;
	fake_type("boot linux\r");
	fake_type("console linux\r");
	vm_kill(fc.vms[0]);
	fake_type("x");
	assert_has(fake_type("\x1d\r"), "pando> ");
}

static void test_events(void **state)
{
	struct vm *vm;

	(void)state;
	fake_type("boot linux\r");
	vm = fc.vms[0];
	fake_print(vm, "bye\n");
	vm->off_reason = "shut down";
	atomic_store(&vm->state, VM_OFF);
	vm_post_event(vm, VM_EV_READY | VM_EV_DONE | VM_EV_NOMEM | VM_EV_OFF);
	fake_type("");
	assert_has(fc.screen, "[linux] bye\n");
	assert_int_equal(atomic_load(&vm->refs), 2); /* the list, the view */
}

static void test_quit(void **state)
{
	(void)state;
	if (setjmp(fc.off) == 0) {
		fake_type("quit 42\r");
		fail();
	}
	assert_int_equal(fc.off_code, 42);
}

static void test_units(void **state)
{
	(void)state;
	assert_string_equal(fmt_bytes(0).s, "0 B");
	assert_string_equal(fmt_bytes(4096).s, "4 KiB");
	assert_string_equal(fmt_bytes(256UL << 20).s, "256 MiB");
	assert_string_equal(fmt_bytes((5UL << 20) + (1UL << 19)).s, "5.50 MiB");
	assert_string_equal(fmt_bytes(UINT64_MAX).s, "17179869183 GiB");
	assert_string_equal(fmt_ns(640).s, "640 ns");
	assert_string_equal(fmt_ns(12345).s, "12.3 us");
	assert_string_equal(fmt_ns(1020000000UL).s, "1.02 s");
}

/* Any keys, any guest output: nothing but lines and prompts comes of it. */
static void test_fuzz(void **state)
{
	static const char *const bits[] = { "boot ",   "linux",  "clone ", "freeze ", "console ",
		                            "\r",      "\t",     "\033[A", "-n 2",    "kill ",
		                            "linux.1", "\x1d",   "\x17",   "vms ",    "stat ",
		                            "resume ", "pause ", "fork " };

	(void)state;
	fake_seed(3);
	for (u32 n = 0; n < 20000; n++) {
		char any[2] = { (char)(1 + fake_random() % 255), 0 };

		if (fake_random() % 4)
			fake_type(bits[fake_random() % ARRAY_LEN(bits)]);
		else
			fake_type(any);
		if (fc.n_vms > 20)
			fake_type("\x1d\x03kill all\r");
		if (fc.n_vms > 0 && fake_random() % 8 == 0)
			fake_print(fc.vms[fake_random() % fc.n_vms], any);
		fake_poll();
		fc.fifo_room = (u32)(fake_random() % 3);
		fc.n_guest_in = 0;
		fake_time += 100000;
	}
}

#define TEST(fn) cmocka_unit_test_teardown(fn, fake_down)

static u32 n_given;

static void note_work(struct vm *vm, u32 len)
{
	assert_non_null(vm);
	assert_int_equal(len, 5);
	n_given++;
}

/* Work for which the window finds no memory is not given, whichever frame is missing; then it is. */
static void test_give_without_memory(void **state)
{
	static const struct device_ops noting = { .give_work = note_work };
	char text[6] = "";
	struct vm *vm;
	u32 n = 0;

	(void)state;
	fake_type("boot linux\rfreeze linux\rclone linux\r");
	vm = vm_find("linux.1");
	device_set_ops(&noting);
	n_given = 0;
	while (n_given == 0) {
		bool refused;

		frame_fail_from(++n);
		refused = strstr(fake_type("give linux.1 hello\r"), "its window: out of memory");
		frame_fail_from(0);
		assert_int_equal(n_given, refused ? 0 : 1);
		assert_has(fake_type("audit\r"), "audit: clean");
	}
	assert_in_range(n, 3, 8); /* tables and a page */
	assert_int_equal(copy_from_guest(&vm->space, text, vm->window.base, 5), ERR_OK);
	assert_string_equal(text, "hello");
	vm_put(vm);
	device_set_ops(&fake_ops);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_prompt_and_echo),
		TEST(test_editing),
		TEST(test_long_line),
		TEST(test_history),
		TEST(test_completion),
		TEST(test_usage),
		TEST(test_life_of_a_vm),
		TEST(test_what_calls_cost),
		TEST(test_policy),
		TEST(test_victim),
		TEST(test_resume_past_ready),
		TEST(test_watched_output),
		TEST(test_attach),
		TEST(test_paste),
		TEST(test_attach_in_mid_line),
		TEST(test_nul_in_a_line),
		TEST(test_boastful_guest),
		TEST(test_attached_vm_dies),
		TEST(test_events),
		TEST(test_units),
		TEST(test_fuzz),
		TEST(test_give_without_memory),
		TEST(test_quit),
	};

	return cmocka_run_group_tests(tests, fake_up, NULL);
}
