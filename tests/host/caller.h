/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A caller of commands as a program on the other side of the protocol would be one: lines with payloads, answers
 * with text, figures and payloads, several of them open at a time.  Holds definitions: included once, after ctl_fake.h.
 */
#ifndef CALLER_H
#define CALLER_H

#include "ctl/reply.h"

#define CALLER_PAYLOAD_MAX (2U << 20)

/* One request, and its answer when it is there. */
struct request {
	struct reply reply; /* first: the caller finds the request by it */
	bool is_deferred, is_answered;
	enum err e;
	char error[CMD_TEXT_LEN];
	char text[4096];
	char data[4096]; /* JSON */
	u32 n_data;
	u8 *payload; /* of the answer; len bytes */
	u64 len;
	const struct payload_sink *sink; /* while its payload is on the way */
	void *sink_arg;
	const struct command *command;
};

static struct cmd caller_cmd;
static struct json caller_json;

static struct request *caller_request(const struct cmd *c)
{
	return c->ctx;
}

static void caller_write(struct cmd *c, const char *text, size_t len)
{
	strncat(caller_request(c)->text, text, len);
}

static void caller_put(void *ctx, const char *text, size_t len)
{
	struct request *r = ctx;

	assert_true(r->n_data + len < sizeof(r->data));
	memcpy(r->data + r->n_data, text, len);
	r->n_data += (u32)len;
	r->data[r->n_data] = 0;
}

static struct reply *caller_defer(struct cmd *c)
{
	caller_request(c)->is_deferred = true;
	return &caller_request(c)->reply;
}

static void caller_begin(struct request *r, const struct cmd_caller *caller)
{
	reply_clear(&caller_cmd);
	caller_cmd.caller = caller;
	caller_cmd.ctx = r;
	caller_cmd.arrived = time_now();
	caller_json = (struct json){ .put = caller_put, .ctx = r };
	caller_cmd.json = &caller_json;
	caller_cmd.has_payload = false;
	r->n_data = 0;
	json_object(&caller_json, NULL);
}

/* The answer is complete. */
static void caller_end(struct request *r, enum err e)
{
	struct cmd *c = &caller_cmd;

	assert_false(r->is_answered);
	r->is_answered = true;
	r->e = e;
	snprintf(r->error, sizeof(r->error), "%s", c->error);
	json_end_object(&caller_json);
	assert_true(json_is_closed(&caller_json));
	if (c->source == NULL)
		return;
	r->len = c->source_len;
	r->payload = malloc(r->len + 1);
	for (u64 at = 0, n; at < r->len; at += n) {
		n = u64_min(r->len - at, 1 + fake_random() % 3000);
		c->source->pull(c->source_arg, r->payload + at, (u32)n);
	}
	c->source->done(c->source_arg);
}

static struct cmd *caller_open(struct reply *reply)
{
	struct request *r = (struct request *)reply;

	caller_begin(r, reply->caller);
	caller_cmd.reply = reply;
	return &caller_cmd;
}

static void caller_close(struct cmd *c, enum err e)
{
	struct request *r = caller_request(c);

	r->is_deferred = false;
	caller_end(r, e);
}

static const struct cmd_caller caller_ops = { caller_write, caller_defer, caller_open,
	                                      caller_close };

/* What a command, or its second half, leaves. */
static void caller_finish(struct request *r, enum err e)
{
	r->sink = caller_cmd.sink;
	r->sink_arg = caller_cmd.sink_arg;
	r->command = caller_cmd.command;
	if (r->sink == NULL && !r->is_deferred)
		caller_end(r, e);
}

/* Sends a line, with `len` bytes of payload announced (has_payload). */
static __attribute__((unused)) void request_line(struct request *r, const char *line,
                                                 bool has_payload, u64 len)
{
	memset(r, 0, sizeof(*r));
	caller_begin(r, &caller_ops);
	caller_cmd.has_payload = has_payload;
	caller_cmd.payload_len = len;
	caller_finish(r, command_run(&caller_cmd, line));
}

/* The next bytes of its payload; skipped if nobody wants them any more. */
static __attribute__((unused)) void request_bytes(struct request *r, const u8 *bytes, u32 len)
{
	enum err e;

	if (r->sink == NULL)
		return;
	e = r->sink->take(r->sink_arg, bytes, len);
	if (e == ERR_OK)
		return;
	caller_begin(r, &caller_ops);
	caller_cmd.sink = r->sink;
	caller_cmd.sink_arg = r->sink_arg;
	caller_cmd.command = r->command;
	caller_finish(r, command_payload_end(&caller_cmd, e));
}

static __attribute__((unused)) void request_end(struct request *r)
{
	if (r->sink == NULL)
		return;
	caller_begin(r, &caller_ops);
	caller_cmd.sink = r->sink;
	caller_cmd.sink_arg = r->sink_arg;
	caller_cmd.command = r->command;
	caller_finish(r, command_payload_end(&caller_cmd, ERR_OK));
}

/* Who asked is gone. */
static __attribute__((unused)) void request_drop(struct request *r)
{
	if (r->sink != NULL)
		r->sink->abort(r->sink_arg);
	else if (r->is_deferred)
		reply_drop(&r->reply);
	r->sink = NULL;
	r->is_deferred = false;
}

/* The whole of it, in pieces of random length. */
static __attribute__((unused)) void request(struct request *r, const char *line,
                                            const void *payload, u64 len)
{
	request_line(r, line, payload != NULL, len);
	for (u64 at = 0, n; at < len; at += n) {
		n = u64_min(len - at, 1 + fake_random() % 9000);
		request_bytes(r, (const u8 *)payload + at, (u32)n);
	}
	request_end(r);
}

static __attribute__((unused)) void request_free(struct request *r)
{
	free(r->payload);
	r->payload = NULL;
}

#endif
