/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shell as a caller of commands.
 *
 * A command writes straight to the screen, which is its own while it runs.  An answer that comes later
 * finds a half-typed line there: it is said line by line.
 */
#include "arch/time.h"
#include "ctl/reply.h"
#include "ctl/shell.h"
#include "drv/console.h"
#include "lib/assert.h"
#include "mm/pool.h"

#define SAID_MAX 200U

static struct pool replies = POOL_INIT("shell replies", struct reply, FRAME_FOR_PANDO);

static struct cmd now;   /* too big for a stack */
static struct cmd later; /* the answer that is open, if later.reply is not NULL */
static struct {
	char line[SAID_MAX + 1];
	u32 len;
} said;

static void say_line(void)
{
	said.line[said.len] = 0;
	shell_say("%s", said.line);
	said.len = 0;
}

static void write_typed(struct cmd *c, const char *text, size_t len)
{
	if (c != &later) {
		console_write(text, len);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		if (text[i] != '\n')
			said.line[said.len++] = text[i];
		if (text[i] == '\n' || said.len == SAID_MAX)
			say_line();
	}
}

static struct reply *defer(struct cmd *c)
{
	(void)c;
	return pool_alloc(&replies);
}

static void show_end(struct cmd *c, enum err e)
{
	if (c->source)
		reply_show_payload(c);
	if (said.len > 0)
		say_line();
	if (e != ERR_OK)
		shell_say("error: %s", c->error);
}

static struct cmd *open_later(struct reply *r)
{
	assert(!later.reply);
	reply_clear(&later);
	later.caller = r->caller;
	later.reply = r;
	return &later;
}

static void close_later(struct cmd *c, enum err e)
{
	struct reply *r = c->reply;

	show_end(c, e);
	c->reply = NULL;
	pool_free(&replies, r);
}

static const struct cmd_caller caller = { write_typed, defer, open_later, close_later };

void shell_run(const char *line)
{
	enum err e;

	now.caller = &caller;
	now.arrived = time_now();
	e = command_run(&now, line);
	show_end(&now, e);
}
