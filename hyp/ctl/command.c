/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Command lines: cut into words, looked up in the table, run.  Usage and unknown
 * words are dealt with here, so that a command sees only counts it has asked for.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "ctl/boot.h"
#include "ctl/reply.h"
#include "lib/assert.h"
#include "vm/vm.h"

const struct command_group *const command_groups[] = {
	&cmd_vm,      &cmd_boot,  &cmd_snapshot, &cmd_policy, &cmd_call, &cmd_work,
	&cmd_console, &cmd_pages, &cmd_dedup,    &cmd_stat,   &cmd_wire, &cmd_info,
};
const u32 command_n_groups = ARRAY_LEN(command_groups);

const struct command *command_find(const char *name)
{
	for (u32 g = 0; g < command_n_groups; g++) {
		const struct command *k = command_groups[g]->commands;
		const struct command *end = k + command_groups[g]->n_commands;

		for (; k < end; k++) /* most differ in their first letter */
			if (k->name[0] == name[0] && strcmp(k->name, name) == 0)
				return k;
	}
	return NULL;
}

void cmd_printf(struct cmd *c, const char *fmt, ...)
{
	char text[CMD_TEXT_LEN];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		c->caller->write(c, text, u64_min((u64)n, sizeof(text) - 1));
}

enum err cmd_fail(struct cmd *c, enum err e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->error, sizeof(c->error), fmt, ap);
	va_end(ap);
	return e;
}

bool cmd_number(const char *word, u64 max, u64 *value)
{
	u64 n = 0;

	if (!*word)
		return false;
	for (; *word; word++) {
		u64 digit = (u64)(*word - '0');
		if (*word < '0' || *word > '9' || n > (max - u64_min(digit, max)) / 10)
			return false;
		n = n * 10 + digit;
	}
	*value = n;
	return n <= max;
}

/* Takes `n` words out from the i-th on. */
static void drop_words(struct cmd *c, u32 i, u32 n)
{
	c->n_args -= n;
	memmove(&c->arg[i], &c->arg[i + n], (c->n_args - i) * sizeof(c->arg[0]));
}

bool cmd_take_flag(struct cmd *c, const char *flag)
{
	for (u32 i = 0; i < c->n_args; i++) {
		if (strcmp(c->arg[i], flag) != 0)
			continue;
		drop_words(c, i, 1);
		return true;
	}
	return false;
}

enum err cmd_take_number(struct cmd *c, const char *flag, u64 max, u64 *n)
{
	for (u32 i = 0; i < c->n_args; i++) {
		if (strcmp(c->arg[i], flag) != 0)
			continue;
		if (i + 1 == c->n_args || !cmd_number(c->arg[i + 1], max, n) || *n == 0)
			return cmd_fail(c, ERR_INVAL, "%s wants a number from 1 to %lu", flag, max);
		drop_words(c, i, 2);
		return ERR_OK;
	}
	return ERR_OK;
}

enum err cmd_take_count(struct cmd *c, u64 max, u64 *n)
{
	return cmd_take_number(c, "-n", max, n);
}

char *cmd_take_value(struct cmd *c, const char *key)
{
	size_t len = strlen(key);

	for (u32 i = 0; i < c->n_args; i++) {
		char *word = c->arg[i];

		if (strncmp(word, key, len) != 0)
			continue;
		drop_words(c, i, 1);
		return word + len;
	}
	return NULL;
}

/* In place: in the line there is a blank, at least, between a word and the next. */
const char *cmd_join_words(struct cmd *c, u32 first)
{
	char *to;

	if (first >= c->n_args)
		return "";
	to = c->arg[first] + strlen(c->arg[first]);
	for (u32 i = first + 1; i < c->n_args; i++) {
		size_t n = strlen(c->arg[i]);

		*to++ = ' ';
		memmove(to, c->arg[i], n + 1);
		to += n;
	}
	c->n_args = first + 1;
	return c->arg[first];
}

/* The word in quotes that begins behind *at: its text moves to the front, *at goes behind it.
 * False: it has no end, or something sticks to it. */
static bool cut_quoted(char **at)
{
	char *from = *at + 1, *to = *at;

	for (; *from && *from != '"'; from++) {
		if (from[0] == '\\' && (from[1] == '"' || from[1] == '\\'))
			from++;
		*to++ = *from;
	}
	if (*from != '"' || (from[1] && from[1] != ' ' && from[1] != '\t'))
		return false;
	*at = from[1] ? from + 2 : from + 1;
	*to = 0;
	return true;
}

/* Cuts c->line into words in place. */
static enum err cut(struct cmd *c, char **name)
{
	char *at = c->line;

	*name = NULL;
	for (;;) {
		char *word;

		at += strspn(at, " \t");
		word = at;
		if (!*at)
			return ERR_OK;
		if (*at == '"') {
			if (!cut_quoted(&at))
				return cmd_fail(c, ERR_SYNTAX, "a quote without its end");
		} else {
			at += strcspn(at, " \t");
			if (*at)
				*at++ = 0;
		}
		if (!*name)
			*name = word;
		else if (c->n_args == CMD_WORDS_MAX)
			return cmd_fail(c, ERR_SYNTAX, "more than %u words", CMD_WORDS_MAX);
		else
			c->arg[c->n_args++] = word;
	}
}

/* What a command leaves behind must be what the caller can deal with. */
static enum err finish(struct cmd *c, enum err e)
{
	if (e == ERR_OK && c->has_payload && c->payload_len > 0 && !c->sink)
		e = cmd_fail(c, ERR_INVAL, "%s: takes no payload here", c->command->name);
	if (e != ERR_OK && c->sink) {
		c->sink->abort(c->sink_arg);
		c->sink = NULL;
	}
	assert(!c->reply || (e == ERR_OK && !c->sink && !c->source));
	if (e != ERR_OK && !c->error[0])
		cmd_fail(c, e, "%s: %s", c->command->name, err_name(e));
	return e;
}

enum err command_call(struct cmd *c, const struct command *command)
{
	const char *name = command->name;

	c->command = command;
	if (c->has_payload && !strchr(command->args, '+'))
		return cmd_fail(c, ERR_INVAL, "%s: takes no payload", name);
	if (c->n_args < command->min_args || c->n_args > command->max_args)
		return cmd_fail(c, ERR_INVAL, "usage: %s%s%s", name, *command->args ? " " : "",
		                command->args);
	return finish(c, command->run(c));
}

enum err command_payload_end(struct cmd *c, enum err e)
{
	const struct payload_sink *sink = c->sink;

	c->sink = NULL;
	c->has_payload = false;
	return finish(c, sink->end(c, c->sink_arg, e));
}

enum err command_run(struct cmd *c, const char *line)
{
	const struct command *command;
	enum err e;
	char *name;

	reply_clear(c);
	if (strlen(line) >= sizeof(c->line))
		return cmd_fail(c, ERR_SYNTAX, "line is longer than %u bytes", CMD_LINE_LEN - 1);
	strcpy(c->line, line);
	e = cut(c, &name);
	if (e != ERR_OK || !name)
		return e;
	command = command_find(name);
	if (!command)
		return cmd_fail(c, ERR_UNKNOWN, "unknown command \"%.100s\"; try help", name);
	return command_call(c, command);
}

struct finder {
	void (*found)(const char *name, void *arg);
	void *arg;
};

static bool vm_candidate(struct vm *vm, void *arg)
{
	const struct finder *f = arg;

	f->found(vm->name, f->arg);
	return true;
}

#define USAGE_WORD_LEN 16U

/* The words in small letters of a usage: "on" and "rate=" of "[on|rate=PERCENT]". */
static void usage_words(const char *usage, const struct finder *f)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz-=";
	char word[USAGE_WORD_LEN];

	while (*usage) {
		size_t len = strspn(usage, letters);

		if (len > 0 && len < sizeof(word)) {
			memcpy(word, usage, len);
			word[len] = 0;
			f->found(word, f->arg);
		}
		usage += len;
		usage += strcspn(usage, "[| ");
		usage += strspn(usage, "[| ");
	}
}

static void command_words(const char *line, const struct finder *f)
{
	char name[USAGE_WORD_LEN];
	size_t len = strcspn(line, " ");
	const struct command *command;

	if (len >= sizeof(name))
		return;
	memcpy(name, line, len);
	name[len] = 0;
	command = command_find(name);
	if (command)
		usage_words(command->args, f);
}

void command_candidates(const char *line, void (*found)(const char *name, void *arg), void *arg)
{
	struct finder f = { found, arg };

	if (*line) {
		command_words(line, &f);
		vm_for_each(vm_candidate, &f);
		for (u32 i = 0; i < boot_images.n_vms; i++) {
			const char *name = boot_images.vm[i].config.name;
			struct vm *same = vm_find(name); /* has been found already */

			if (same)
				vm_put(same);
			else
				found(name, arg);
		}
		return;
	}
	for (u32 g = 0; g < command_n_groups; g++)
		for (u32 i = 0; i < command_groups[g]->n_commands; i++)
			found(command_groups[g]->commands[i].name, arg);
}
