/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * function and invoke.
 */
#include <string.h>
#include "ctl/call.h"
#include "ctl/call_report.h"
#include "ctl/names.h"
#include "ctl/reply.h"

#define TIMEOUT_MS_MAX 3600000UL

static enum err read_mode(struct cmd *c, const char *word, enum call_mode *mode)
{
	for (u32 i = 0; i < CALL_N_MODES; i++)
		if (strcmp(word, call_mode_word((enum call_mode)i)) == 0) {
			*mode = (enum call_mode)i;
			return ERR_OK;
		}
	return cmd_fail(c, ERR_INVAL, "mode= wants fresh, reset or keep");
}

/* KEY=N out of the words, if it is there. */
static enum err take_number(struct cmd *c, const char *key, u64 min, u64 max, u64 *n)
{
	const char *word = cmd_take_value(c, key);

	if (word == NULL)
		return ERR_OK;
	if (!cmd_number(word, max, n) || *n < min)
		return cmd_fail(c, ERR_INVAL, "%s wants a number from %lu to %lu", key, min, max);
	return ERR_OK;
}

static enum err find(struct cmd *c, const char *name, struct function **f)
{
	*f = function_find(name);
	return *f != NULL ? ERR_OK : cmd_fail(c, ERR_ABSENT, "no function %.60s", name);
}

/* function */

static enum err take_writeset(struct cmd *c, bool *on)
{
	const char *word = cmd_take_value(c, "writeset=");

	if (word == NULL)
		return ERR_OK;
	*on = strcmp(word, "on") == 0;
	return *on || strcmp(word, "off") == 0
	               ? ERR_OK
	               : cmd_fail(c, ERR_INVAL, "writeset= wants on or off");
}

static enum err take_policy(struct cmd *c, struct function_policy *p)
{
	u64 n_warm = 0, max = FUNCTION_CALLS;
	const char *mode = cmd_take_value(c, "mode=");
	enum err e = mode != NULL ? read_mode(c, mode, &p->mode) : ERR_OK;

	if (e == ERR_OK)
		e = take_number(c, "warm=", 0, FUNCTION_WARM_MAX, &n_warm);
	if (e == ERR_OK)
		e = take_number(c, "max=", 1, FUNCTION_CALLS_MAX, &max);
	if (e == ERR_OK)
		e = take_number(c, "timeout=", 1, TIMEOUT_MS_MAX, &p->timeout_ms);
	if (e == ERR_OK)
		e = take_writeset(c, &p->copies_ahead);
	p->n_warm = (u32)n_warm;
	p->max = (u32)max;
	return e;
}

static enum err set(struct cmd *c)
{
	struct function_policy p = { .mode = CALL_FRESH,
		                     .timeout_ms = FUNCTION_TIMEOUT_MS,
		                     .copies_ahead = true };
	const char *template = cmd_take_value(c, "template=");
	enum err e = take_policy(c, &p);
	struct vm *vm;

	if (e != ERR_OK)
		return e;
	if (c->n_args != 2 || template == NULL)
		return cmd_fail(
			c, ERR_INVAL,
			"usage: function set NAME template=VM [mode=] [warm=] [max=] [timeout=] [writeset=]");
	if (!name_is_plain(c->arg[1]))
		return cmd_fail(c, ERR_INVAL, "a function's name: 1 to %u of A-Za-z0-9._-",
		                NAME_PLAIN_LEN - 1);
	e = cmd_take_vm(c, template, &vm);
	if (e != ERR_OK)
		return e;
	e = function_set(c->arg[1], vm, &p);
	if (e == ERR_STATE)
		cmd_fail(c, e, "%s: not a template; freeze it first", vm->name);
	else if (e != ERR_OK)
		cmd_fail(c, e, "%s: %s", c->arg[1], err_name(e));
	vm_put(vm);
	return e;
}

static void show_function(struct function *f, void *arg)
{
	const char *template = f->template != NULL ? f->template->name : "(killed)";
	struct cmd *c = arg;

	json_object(c->json, NULL);
	json_string(c->json, "name", f->name);
	if (f->template != NULL)
		json_string(c->json, "template", template);
	else
		json_null(c->json, "template");
	json_string(c->json, "mode", call_mode_word(f->policy.mode));
	json_u64(c->json, "warm", f->policy.n_warm);
	json_u64(c->json, "max", f->policy.max);
	json_u64(c->json, "timeout", f->policy.timeout_ms);
	json_bool(c->json, "writeset", f->policy.copies_ahead);
	json_u64(c->json, "ready", f->n_idle);
	json_u64(c->json, "running", f->n_running);
	json_u64(c->json, "queued", f->n_waiting);
	json_u64(c->json, "calls", f->n_calls);
	json_u64(c->json, "failed", f->n_failed);
	json_end_object(c->json);
	cmd_printf(c, "%-20s  %-20s  %-5s  %5u  %5u  %7u  %6u  %9lu  %6lu\n", f->name, template,
	           call_mode_word(f->policy.mode), f->policy.n_warm, f->n_idle, f->n_running,
	           f->n_waiting, f->n_calls, f->n_failed);
}

static enum err list(struct cmd *c)
{
	cmd_printf(c, "%-20s  %-20s  %-5s  %5s  %5s  %7s  %6s  %9s  %6s\n", "FUNCTION", "TEMPLATE",
	           "MODE", "WARM", "READY", "RUNNING", "QUEUED", "CALLS", "FAILED");
	json_array(c->json, "functions");
	function_for_each(show_function, c);
	json_end_array(c->json);
	return ERR_OK;
}

static enum err run_function(struct cmd *c)
{
	struct function *f;
	enum err e;

	if (strcmp(c->arg[0], "set") == 0)
		return set(c);
	if (strcmp(c->arg[0], "list") == 0 && c->n_args == 1)
		return list(c);
	if (strcmp(c->arg[0], "rm") != 0 || c->n_args != 2)
		return cmd_fail(c, ERR_INVAL, "usage: function set NAME ... | rm NAME | list");
	e = find(c, c->arg[1], &f);
	if (e == ERR_OK)
		function_remove(f);
	return e;
}

/* invoke */

static void pull_result(void *arg, u8 *bytes, u32 len)
{
	struct call *call = arg;

	call_read(call, call->n_pulled, bytes, len);
	call->n_pulled += len;
}

static void end_result(void *arg)
{
	call_free(arg);
}

static const struct payload_source result = { pull_result, end_result };

/* The answer to `c`; the call goes with it. */
static enum err answer(struct cmd *c, struct call *call)
{
	enum err e = call->error;

	call_report(c, call);
	if (call->len > 0)
		cmd_send(c, &result, call, call->len);
	else
		call_free(call);
	return e;
}

static void over(struct call *call)
{
	struct cmd *c = reply_open(call->arg);

	reply_close(c, answer(c, call));
}

static void dropped(void *arg)
{
	call_abort(arg);
}

/* The payload is complete. */
static enum err begin(struct cmd *c, struct call *call)
{
	struct reply *reply;

	if (call_begin(call, over, NULL) != ERR_OK)
		return answer(c, call);
	reply = cmd_defer(c, dropped, call);
	if (reply == NULL) {
		call_abort(call);
		return ERR_NOMEM;
	}
	call->arg = reply;
	return ERR_OK;
}

static enum err take_payload(void *arg, const u8 *bytes, u32 len)
{
	return call_take(arg, bytes, len);
}

/* After a take() that failed the call is over, and begin() says so. */
static enum err end_payload(struct cmd *c, void *arg, enum err e)
{
	(void)e;
	return begin(c, arg);
}

static void abort_payload(void *arg)
{
	call_abort(arg);
}

static const struct payload_sink payload = { take_payload, end_payload, abort_payload, NULL };

static enum err take_options(struct cmd *c, struct function *f, struct call_options *o)
{
	const char *mode;

	*o = (struct call_options){ .mode = f->policy.mode,
		                    .timeout_ms = f->policy.timeout_ms,
		                    .arrived = c->arrived };
	mode = cmd_take_value(c, "mode=");
	if (mode != NULL && read_mode(c, mode, &o->mode) != ERR_OK)
		return ERR_INVAL;
	return take_number(c, "timeout=", 1, TIMEOUT_MS_MAX, &o->timeout_ms);
}

static enum err refuse(struct cmd *c, enum err e, const struct function *f)
{
	if (e == ERR_LIMIT)
		return cmd_fail(c, e, "%s: a payload has at most %lu bytes", f->name,
		                CALL_PAYLOAD_MAX);
	if (e == ERR_BUSY)
		return cmd_fail(c, e, "%s: %u calls wait already", f->name, f->n_waiting);
	if (e == ERR_STATE)
		return cmd_fail(c, e, "%s: its template was killed", f->name);
	return cmd_fail(c, e, "%s: %s", f->name, err_name(e));
}

/* Words behind the function's name are a payload for people to type. */
static enum err run_invoke(struct cmd *c)
{
	const char *text;
	struct call_options o;
	struct function *f;
	struct call *call;
	enum err e = find(c, c->arg[0], &f);

	if (e == ERR_OK)
		e = take_options(c, f, &o);
	if (e != ERR_OK)
		return e;
	if (c->has_payload && c->n_args > 1)
		return cmd_fail(c, ERR_INVAL, "invoke: a payload, or words, not both");
	text = cmd_join_words(c, 1);
	o.payload_len = c->has_payload ? c->payload_len : strlen(text);
	e = call_new(f, &o, &call);
	if (e != ERR_OK)
		return refuse(c, e, f);
	if (c->has_payload && c->payload_len > 0) {
		cmd_take(c, &payload, call);
		return ERR_OK;
	}
	/* If that fails, begin() says so. */
	if (o.payload_len > 0)
		(void)!call_take(call, (const u8 *)text, (u32)o.payload_len);
	return begin(c, call);
}

static const struct command commands[] = {
	{ "function",
	  "set NAME template=VM [mode=fresh|reset|keep] [warm=K] [max=N] [timeout=MS] [writeset=on|off] | rm NAME | list",
	  "functions: templates whose clones serve calls", 1, 8, run_function },
	{ "invoke", "NAME [mode=] [timeout=] [TEXT | +LENGTH]", "call a function", 1, CMD_WORDS_MAX,
	  run_invoke },
};

const struct command_group cmd_call = { "Functions", commands, ARRAY_LEN(commands) };
