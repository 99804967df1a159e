/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands save and load, as the protocol runs them: payloads, and who has to be told when they end early. */
#include "ctl_fake.h"
#include "ctl/reply.h"

static struct {
	char text[1024], data[1024];
	struct json_buf buf;
	struct json json;
} t;

static void write_text(struct cmd *c, const char *text, size_t len)
{
	(void)c;
	strncat(t.text, text, len);
}

static struct cmd c, later;
static struct reply reply;
static bool no_memory;
static u32 n_closed;

static struct reply *defer(struct cmd *of)
{
	(void)of;
	return no_memory ? NULL : &reply;
}

static struct cmd *open_later(struct reply *r)
{
	reply_clear(&later);
	later.caller = r->caller;
	later.reply = r;
	later.json = &t.json;
	return &later;
}

static void close_later(struct cmd *of, enum err e)
{
	assert_ptr_equal(of, &later);
	assert_int_equal(e, ERR_OK);
	n_closed++;
}

static const struct cmd_caller caller = { write_text, defer, open_later, close_later };

static enum err run(const char *line, u64 payload_len)
{
	memset(&t, 0, sizeof(t));
	t.buf = (struct json_buf){ .at = t.data, .room = sizeof(t.data) };
	t.json = (struct json){ .put = json_buf_put, .ctx = &t.buf };
	reply_clear(&c);
	c.caller = &caller;
	c.json = &t.json;
	c.has_payload = payload_len != 0;
	c.payload_len = payload_len;
	return command_run(&c, line);
}

/* A template called "linux". */
static void make_template(void)
{
	fake_type("boot linux\r");
	fake_poll();
	assert_has(fake_type("freeze linux\r"), "a template");
}

static void test_save(void **state)
{
	u8 bytes[FAKE_FILE_LEN];

	(void)state;
	make_template();
	assert_int_equal(run("save linux", 0), ERR_OK);
	assert_string_equal(t.text, "a file of 9.76 KiB\n");
	assert_string_equal(t.data, "\"len\":10000,\"pages\":2");
	assert_int_equal(c.source_len, FAKE_FILE_LEN);
	for (u32 at = 0; at < FAKE_FILE_LEN; at += 1000)
		c.source->pull(c.source_arg, bytes + at, 1000);
	for (u32 i = 0; i < FAKE_FILE_LEN; i++)
		assert_int_equal(bytes[i], (u8)(i * 7));
	assert_int_equal(fake_n_files, 1);
	c.source->done(c.source_arg);
	assert_int_equal(fake_n_files, 0);
}

static void test_save_refused(void **state)
{
	(void)state;
	assert_int_equal(run("save nobody", 0), ERR_ABSENT);
	fake_type("boot linux\r");
	fake_poll();
	assert_int_equal(run("save linux", 0), ERR_STATE);
	assert_string_equal(c.error, "linux: not a template; freeze it first");
	fake_type("freeze linux\r");
	assert_has(fake_type("save linux\r"), "only a control port");
	assert_has(fake_type("load other\r"), "the file has to come with it");
	assert_int_equal(fake_n_files, 0);
}

static void count_for(u32 ms)
{
	for (u32 i = 0; i < ms; i++) {
		fake_time += time_ns_to_ticks(1000000);
		ctl_poll();
	}
}

/* Many pages are counted in pieces; who asked may be gone before that is done. */
static void test_save_much(void **state)
{
	(void)state;
	make_template();
	fake_n_looks_more = 1000;
	n_closed = 0;
	assert_int_equal(run("save linux", 0), ERR_OK);
	assert_non_null(c.reply);
	assert_null(c.source);
	count_for(100);
	assert_int_equal(n_closed, 0);
	count_for(50);
	assert_int_equal(n_closed, 1);
	assert_string_equal(t.data, "\"len\":10000,\"pages\":2");
	assert_int_equal(later.source_len, FAKE_FILE_LEN);
	later.source->done(later.source_arg);
	assert_int_equal(fake_n_files, 0);
	assert_int_equal(run("save linux", 0), ERR_OK);
	count_for(10);
	reply.dropped(reply.arg);
	assert_int_equal(fake_n_files, 0);
	count_for(50);
	assert_int_equal(n_closed, 1);
	no_memory = true;
	assert_int_equal(run("save linux", 0), ERR_NOMEM);
	no_memory = false;
	fake_n_looks_more = 5;
	assert_int_equal(fake_n_files, 0);
}

static enum err feed(u32 len, u8 salt)
{
	enum err e = ERR_OK;

	for (u32 i = 0; i < len && e == ERR_OK; i++) {
		u8 byte = (u8)(i * 7 + (i == 5000 ? salt : 0));

		e = c.sink->take(c.sink_arg, &byte, 1);
	}
	return e;
}

static void test_load(void **state)
{
	(void)state;
	assert_int_equal(run("load new", FAKE_FILE_LEN), ERR_OK);
	assert_int_equal(feed(FAKE_FILE_LEN, 0), ERR_OK);
	assert_int_equal(command_payload_end(&c, ERR_OK), ERR_OK);
	assert_has(t.data, "\"name\":\"new\",\"vm_id\":");
	assert_has(t.text, "new: a template of 4 MiB");
	assert_int_equal(fake_n_files, 0);
	assert_has(fake_type("vms\r"), "new ");
}

static void test_load_refused(void **state)
{
	(void)state;
	assert_int_equal(run("load new", 99), ERR_BROKEN);
	assert_string_equal(c.error, "broken: header: the file is too short for it");
	assert_int_equal(run("load new", FAKE_FILE_LEN), ERR_OK);
	assert_int_equal(feed(FAKE_FILE_LEN, 1), ERR_BROKEN);
	assert_int_equal(command_payload_end(&c, ERR_BROKEN), ERR_BROKEN);
	assert_string_equal(c.error, "broken: memory at 0x80000000: wrong checksum");
	/* All of it came, and it was not enough. */
	assert_int_equal(run("load new", FAKE_FILE_LEN - 1), ERR_OK);
	assert_int_equal(feed(FAKE_FILE_LEN - 1, 0), ERR_OK);
	assert_int_equal(command_payload_end(&c, ERR_OK), ERR_BROKEN);
	/* Whoever sent it is gone. */
	assert_int_equal(run("load new", FAKE_FILE_LEN), ERR_OK);
	assert_int_equal(feed(5000, 0), ERR_OK);
	c.sink->abort(c.sink_arg);
	assert_int_equal(fake_n_files, 0);
	assert_int_equal(fc.n_vms, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_save, fake_down),
		cmocka_unit_test_teardown(test_save_refused, fake_down),
		cmocka_unit_test_teardown(test_save_much, fake_down),
		cmocka_unit_test_teardown(test_load, fake_down),
		cmocka_unit_test_teardown(test_load_refused, fake_down),
	};

	return cmocka_run_group_tests(tests, fake_up, NULL);
}
