/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands between a command and whoever called it, when the answer is more than
 * text: payloads both ways, and answers that come later.
 */
#include "ctl/reply.h"
#include "lib/assert.h"

#define SHOWN_MAX 4096U

void cmd_take(struct cmd *c, const struct payload_sink *sink, void *arg)
{
	assert(c->has_payload && !c->sink);
	c->sink = sink;
	c->sink_arg = arg;
}

void cmd_send(struct cmd *c, const struct payload_source *source, void *arg, u64 len)
{
	assert(!c->source);
	c->source = source;
	c->source_arg = arg;
	c->source_len = len;
}

struct reply *cmd_defer(struct cmd *c, void (*dropped)(void *arg), void *arg)
{
	assert(!c->reply);
	c->reply = c->caller->defer(c);
	if (c->reply)
		*c->reply = (struct reply){ c->caller, dropped, arg };
	return c->reply;
}

struct cmd *reply_open(struct reply *r)
{
	struct cmd *c = r->caller->open(r);

	assert(c->reply == r);
	return c;
}

void reply_close(struct cmd *c, enum err e)
{
	if (e != ERR_OK && !c->error[0])
		cmd_fail(c, e, "%s", err_name(e));
	c->caller->close(c, e);
}

void reply_drop(struct reply *r)
{
	r->dropped(r->arg);
}

void reply_clear(struct cmd *c)
{
	c->n_args = 0;
	c->error[0] = 0;
	c->command = NULL;
	c->sink = NULL;
	c->source = NULL;
	c->reply = NULL;
}

void reply_show_payload(struct cmd *c)
{
	u64 left = u64_min(c->source_len, SHOWN_MAX);
	u8 piece[256];

	while (left > 0) {
		u32 n = (u32)u64_min(left, sizeof(piece));

		c->source->pull(c->source_arg, piece, n);
		for (u32 i = 0; i < n; i++)
			if ((piece[i] < ' ' || piece[i] > '~') && piece[i] != '\n')
				piece[i] = '.';
		c->caller->write(c, (const char *)piece, n);
		left -= n;
	}
	c->source->done(c->source_arg);
	if (c->source_len > SHOWN_MAX)
		cmd_printf(c, "... (%lu bytes)", c->source_len);
	cmd_printf(c, "\n");
}
