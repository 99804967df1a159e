/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the table of commands promises to a caller and to a command: words and quotes, payloads in and
 * out, answers that come later, and who is told when something ends early.
 */
#include "ctl_fake.h"
#include "ctl/reply.h"

static struct {
	char text[8192];
	struct reply reply;
	bool no_memory;
	struct cmd later;
	enum err closed; /* how the deferred answer ended */
	u32 n_closed;
	/* the command */
	u8 taken[256];
	u32 n_taken, n_ended, n_aborted, n_dropped, n_done;
	enum err take, end_result, end_saw, result;
	bool takes, defers, sends;
	struct reply *deferred;
} t;

static void write_text(struct cmd *c, const char *text, size_t len)
{
	(void)c;
	strncat(t.text, text, len);
}

static struct reply *defer(struct cmd *c)
{
	(void)c;
	return t.no_memory ? NULL : &t.reply;
}

static struct cmd *open_later(struct reply *r)
{
	reply_clear(&t.later);
	t.later.caller = r->caller;
	t.later.reply = r;
	return &t.later;
}

static void close_later(struct cmd *c, enum err e)
{
	assert_ptr_equal(c, &t.later);
	t.closed = e;
	t.n_closed++;
}

static const struct cmd_caller caller = { write_text, defer, open_later, close_later };

static enum err take(void *arg, const u8 *bytes, u32 len)
{
	(void)arg;
	memcpy(t.taken + t.n_taken, bytes, len);
	t.n_taken += len;
	return t.take;
}

static enum err end(struct cmd *c, void *arg, enum err e)
{
	(void)c;
	(void)arg;
	t.n_ended++;
	t.end_saw = e;
	return t.end_result;
}

static void aborted(void *arg)
{
	(void)arg;
	t.n_aborted++;
}

static void dropped(void *arg)
{
	assert_ptr_equal(arg, &t);
	t.n_dropped++;
}

static void pull(void *arg, u8 *bytes, u32 len)
{
	(void)arg;
	memset(bytes, 'p', len);
	bytes[len - 1] = 1;
}

static void done(void *arg)
{
	(void)arg;
	t.n_done++;
}

static const struct payload_sink sink = { take, end, aborted, NULL };
static const struct payload_source source = { pull, done };

static enum err run(struct cmd *c)
{
	if (t.takes)
		cmd_take(c, &sink, NULL);
	if (t.sends)
		cmd_send(c, &source, NULL, 5);
	if (t.defers) {
		t.deferred = cmd_defer(c, dropped, &t);
		if (!t.deferred)
			return ERR_NOMEM;
	}
	return t.result;
}

static const struct command takes = { "takes", "[+LENGTH]", "", 0, CMD_WORDS_MAX, run };
static const struct command plain = { "plain", "A", "", 0, 1, run };

static struct cmd c;

static int fresh(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	memset(&c, 0, sizeof(c));
	c.caller = &caller;
	return 0;
}

/* Words are seen through a message that quotes them. */
static void test_quotes(void **state)
{
	(void)state;
	assert_int_equal(command_run(&c, ""), ERR_OK);
	assert_int_equal(command_run(&c, " \t "), ERR_OK);
	assert_int_equal(command_run(&c, "\"a b\""), ERR_UNKNOWN);
	assert_string_equal(c.error, "unknown command \"a b\"; try help");
	assert_int_equal(command_run(&c, "\"a\\\"\\\\\\n\""), ERR_UNKNOWN);
	assert_string_equal(c.error, "unknown command \"a\"\\\\n\"; try help");
	assert_int_equal(command_run(&c, "a\"b"), ERR_UNKNOWN);
	assert_string_equal(c.error, "unknown command \"a\"b\"; try help");
	assert_int_equal(command_run(&c, " x  \"\"\t\"q r\" z "), ERR_UNKNOWN);
	assert_int_equal(c.n_args, 3);
	assert_string_equal(c.arg[0], "");
	assert_string_equal(c.arg[1], "q r");
	assert_string_equal(c.arg[2], "z");
	assert_int_equal(command_run(&c, "x \"abc"), ERR_SYNTAX);
	assert_int_equal(command_run(&c, "x \"abc\\\""), ERR_SYNTAX);
	assert_int_equal(command_run(&c, "x \"abc\"d"), ERR_SYNTAX);
	assert_int_equal(command_run(&c, "x \""), ERR_SYNTAX);
}

static void test_long_lines(void **state)
{
	static char line[CMD_LINE_LEN + 2];

	(void)state;
	memset(line, 'a', sizeof(line) - 1);
	assert_int_equal(command_run(&c, line), ERR_SYNTAX);
	line[CMD_LINE_LEN - 1] = 0;
	assert_int_equal(command_run(&c, line), ERR_UNKNOWN);
	for (u32 i = 0; i < CMD_LINE_LEN - 1; i += 2)
		line[i] = ' ';
	assert_int_equal(command_run(&c, line), ERR_SYNTAX);
}

static void test_values(void **state)
{
	(void)state;
	assert_int_equal(command_run(&c, "x a=1 memory=64M a= b"), ERR_UNKNOWN);
	assert_string_equal(cmd_take_value(&c, "memory="), "64M");
	assert_null(cmd_take_value(&c, "memory="));
	assert_string_equal(cmd_take_value(&c, "a="), "1");
	assert_string_equal(cmd_take_value(&c, "a="), "");
	assert_int_equal(c.n_args, 1);
	assert_string_equal(c.arg[0], "b");
}

static void test_payload_in(void **state)
{
	(void)state;
	t.takes = true;
	c.has_payload = true;
	c.payload_len = 3;
	assert_int_equal(command_call(&c, &plain), ERR_INVAL);
	assert_string_equal(c.error, "plain: takes no payload");
	assert_int_equal(command_call(&c, &takes), ERR_OK);
	assert_ptr_equal(c.sink, &sink);
	assert_int_equal(c.sink->take(c.sink_arg, (const u8 *)"abc", 3), ERR_OK);
	assert_int_equal(command_payload_end(&c, ERR_OK), ERR_OK);
	assert_int_equal(t.n_taken, 3);
	assert_int_equal(t.n_ended, 1);
	assert_int_equal(t.n_aborted, 0);
	assert_null(c.sink);
	/* The second half fails without a word of its own. */
	reply_clear(&c);
	c.has_payload = true;
	assert_int_equal(command_call(&c, &takes), ERR_OK);
	t.end_result = ERR_BROKEN;
	assert_int_equal(command_payload_end(&c, ERR_NOMEM), ERR_BROKEN);
	assert_int_equal(t.end_saw, ERR_NOMEM);
	assert_string_equal(c.error, "takes: not what it should be");
}

static void test_payload_unwanted(void **state)
{
	(void)state;
	c.has_payload = true;
	c.payload_len = 3;
	assert_int_equal(command_call(&c, &takes), ERR_INVAL);
	assert_string_equal(c.error, "takes: takes no payload here");
	c.payload_len = 0;
	assert_int_equal(command_call(&c, &takes), ERR_OK);
	/* It fails after it has asked for the payload. */
	c.payload_len = 3;
	t.takes = true;
	t.result = ERR_STATE;
	assert_int_equal(command_call(&c, &takes), ERR_STATE);
	assert_int_equal(t.n_aborted, 1);
	assert_null(c.sink);
}

static void test_later(void **state)
{
	struct cmd *answer;

	(void)state;
	t.defers = true;
	assert_int_equal(command_call(&c, &plain), ERR_OK);
	assert_ptr_equal(c.reply, &t.reply);
	answer = reply_open(t.deferred);
	cmd_printf(answer, "%u", 42);
	reply_close(answer, ERR_CRASH);
	assert_int_equal(t.closed, ERR_CRASH);
	assert_string_equal(answer->error, "the guest has ended");
	assert_string_equal(t.text, "42");
	assert_int_equal(t.n_dropped, 0);
	reply_clear(&c);
	assert_int_equal(command_call(&c, &plain), ERR_OK);
	reply_drop(t.deferred);
	assert_int_equal(t.n_dropped, 1);
	reply_clear(&c);
	t.no_memory = true;
	assert_int_equal(command_call(&c, &plain), ERR_NOMEM);
	assert_string_equal(c.error, "plain: out of memory");
}

/* Where payloads cannot go out they are shown. */
static void test_shown(void **state)
{
	(void)state;
	t.sends = true;
	assert_int_equal(command_call(&c, &plain), ERR_OK);
	reply_show_payload(&c);
	assert_string_equal(t.text, "pppp.\n");
	assert_int_equal(t.n_done, 1);
	reply_clear(&c);
	memset(t.text, 0, sizeof(t.text));
	c.source = &source;
	c.source_len = 5000;
	reply_show_payload(&c);
	assert_int_equal(strlen(t.text), 4096 + strlen("... (5000 bytes)\n"));
	assert_int_equal(t.n_done, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_quotes, fresh),
		cmocka_unit_test_setup(test_long_lines, fresh),
		cmocka_unit_test_setup(test_values, fresh),
		cmocka_unit_test_setup(test_payload_in, fresh),
		cmocka_unit_test_setup(test_payload_unwanted, fresh),
		cmocka_unit_test_setup(test_later, fresh),
		cmocka_unit_test_setup(test_shown, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
