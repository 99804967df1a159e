/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Templates as files.  The bytes are the payload of an answer, or of a request: so only the
 * protocol has a use for these commands.
 */
#include <string.h>
#include "ctl/command.h"
#include "ctl/fmt.h"
#include "ctl/names.h"
#include "vm/snapshot.h"

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

static enum err save(struct cmd *c, struct vm *vm)
{
	struct snapshot_save *s;
	enum err e = snapshot_save_begin(vm, &s);

	if (e == ERR_STATE)
		return cmd_fail(c, e, "%s: not a template; freeze it first", vm->name);
	if (e != ERR_OK)
		return cmd_fail(c, e, "%s: %s", vm->name, err_name(e));
	while (snapshot_save_count(s))
		continue;
	json_u64(c->json, "len", snapshot_save_len(s));
	json_u64(c->json, "pages", snapshot_save_n_pages(s));
	cmd_printf(c, "%s: a file of %s\n", vm->name, fmt_bytes(snapshot_save_len(s)).s);
	cmd_send(c, &source, s, snapshot_save_len(s));
	return ERR_OK;
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

static const struct payload_sink sink = { take, end, aborted };

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
