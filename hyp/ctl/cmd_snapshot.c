/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Templates as files.  The bytes are the payload of an answer, or of a request: so only the
 * protocol has a use for these commands.
 */
#include <string.h>
#include "ctl/fmt.h"
#include "ctl/job.h"
#include "ctl/names.h"
#include "ctl/reply.h"
#include "mm/pool.h"
#include "vm/snapshot.h"

#define SLOTS_AT_ONCE 8U /* 2 MiB each */

/* ---- save ---- */

static void pull(void *arg, u8 *bytes, u32 len)
{
	u32 n = snapshot_save_pull(arg, bytes, len);

	memset(bytes + n, 0, len - n);
}

static void done(void *arg)
{
	snapshot_save_end(arg);
}

static const struct payload_source source = { pull, done };

/* A template whose pages are being counted, which takes its time if there are many. */
struct saving {
	struct job job;
	struct reply *reply;
	struct snapshot_save *s;
};

static struct pool savings = POOL_INIT("savings", struct saving, FRAME_FOR_GUEST);

/* A few slots of it.  False: all have been counted. */
static bool count_some(struct snapshot_save *s)
{
	u32 n = 0;

	while (n < SLOTS_AT_ONCE && snapshot_save_count(s))
		n++;
	return n == SLOTS_AT_ONCE;
}

static void answer(struct cmd *c, struct snapshot_save *s)
{
	json_u64(c->json, "len", snapshot_save_len(s));
	json_u64(c->json, "pages", snapshot_save_n_pages(s));
	cmd_printf(c, "a file of %s\n", fmt_bytes(snapshot_save_len(s)).s);
	cmd_send(c, &source, s, snapshot_save_len(s));
}

static bool step(struct job *j)
{
	struct saving *saving = CONTAINER_OF(j, struct saving, job);
	struct cmd *c;

	if (count_some(saving->s))
		return true;
	c = reply_open(saving->reply);
	answer(c, saving->s);
	reply_close(c, ERR_OK);
	pool_free(&savings, saving);
	return false;
}

static void dropped(void *arg)
{
	struct saving *saving = arg;

	job_remove(&saving->job);
	snapshot_save_end(saving->s);
	pool_free(&savings, saving);
}

static enum err answer_later(struct cmd *c, struct snapshot_save *s)
{
	struct saving *saving = pool_alloc(&savings);

	if (saving == NULL)
		return ERR_NOMEM;
	saving->job.step = step;
	saving->s = s;
	saving->reply = cmd_defer(c, dropped, saving);
	if (saving->reply == NULL) {
		pool_free(&savings, saving);
		return ERR_NOMEM;
	}
	job_add(&saving->job);
	return ERR_OK;
}

static enum err save(struct cmd *c, struct vm *vm)
{
	struct snapshot_save *s;
	enum err e = snapshot_save_begin(vm, &s);

	if (e == ERR_STATE)
		return cmd_fail(c, e, "%s: not a template; freeze it first", vm->name);
	if (e != ERR_OK)
		return cmd_fail(c, e, "%s: %s", vm->name, err_name(e));
	if (!count_some(s)) {
		answer(c, s);
		return ERR_OK;
	}
	e = answer_later(c, s);
	if (e != ERR_OK)
		snapshot_save_end(s);
	return e;
}

static enum err run_save(struct cmd *c)
{
	if (!c->json)
		return cmd_fail(c, ERR_STATE, "save: only a control port can take a file");
	return cmd_on_vm(c, save);
}

/* ---- load ---- */

static enum err take(void *arg, const u8 *bytes, u32 len)
{
	return snapshot_load_feed(arg, bytes, len);
}

static void aborted(void *arg)
{
	snapshot_load_end(arg);
}

static enum err end(struct cmd *c, void *arg, enum err e)
{
	struct vm *vm = NULL;

	if (e == ERR_OK)
		e = snapshot_load_finish(arg, &vm);
	if (e == ERR_OK) {
		json_string(c->json, "name", vm->name);
		json_u64(c->json, "vm_id", vm->id);
		cmd_printf(c, "%s: a template of %s\n", vm->name, fmt_bytes(vm->ram.len).s);
	} else {
		cmd_fail(c, e, "%s", snapshot_load_why(arg));
	}
	snapshot_load_end(arg);
	return e;
}

static u32 piece(const void *arg)
{
	return snapshot_load_due(arg);
}

static const struct payload_sink sink = { take, end, aborted, piece };

static enum err run_load(struct cmd *c)
{
	struct snapshot_load *l;
	const char *why;
	enum err e;

	if (!c->has_payload)
		return cmd_fail(c, ERR_INVAL, "load: the file has to come with it");
	e = snapshot_load_begin(c->arg[0], c->payload_len, &l, &why);
	if (e != ERR_OK)
		return cmd_fail(c, e, "%s", why);
	cmd_take(c, &sink, l);
	return ERR_OK;
}

static const struct command commands[] = {
	{ "save", "TEMPLATE", "give a template out as a file (control ports only)", 1, 1,
	  run_save },
	{ "load", "NAME +LENGTH", "make a template of such a file (control ports only)", 1, 1,
	  run_load },
};

const struct command_group cmd_snapshot = { "Templates as files", commands, ARRAY_LEN(commands) };
