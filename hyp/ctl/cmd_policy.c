/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * policy VM [NAME=WORD ...]: shows or changes how Pando treats a VM.  All words are
 * read before the first takes effect.
 */
#include <string.h>
#include "ctl/command.h"
#include "ctl/names.h"
#include "ctl/policy.h"
#include "vm/admission.h"
#include "vm/dedup.h"

enum err policy_read_word(struct cmd *c, const char *word, struct vm_policy *p)
{
	const char *value = strchr(word, '=');
	size_t name_len = value ? (size_t)(value - word) : strlen(word);
	const struct policy_option *o = policy_find(word, name_len);
	char words[CMD_TEXT_LEN / 2];
	enum err e;

	if (!o)
		return cmd_fail(c, ERR_INVAL, "no policy \"%.*s\"; try help policy",
		                (int)u64_min(name_len, 40), word);
	e = value ? policy_set(p, o, value + 1) : ERR_INVAL;
	if (e == ERR_OK)
		return e;
	if (e == ERR_LIMIT)
		return cmd_fail(c, e, "%s: there are %u domains already", word, DEDUP_NAMES_MAX);
	policy_list_words(o, words, sizeof(words));
	return cmd_fail(c, ERR_INVAL, "%s= wants %s", o->name, words);
}

static void show(struct cmd *c, const struct vm *vm, const struct vm_policy *p)
{
	cmd_printf(c, "%s:", vm->name);
	json_object(c->json, "policy");
	for (u32 i = 0; i < policy_n_options; i++) {
		struct policy_word word = policy_word(p, &policy_options[i]);

		json_string(c->json, policy_options[i].name, word.s);
		cmd_printf(c, " %s=%s", policy_options[i].name, word.s);
	}
	json_end_object(c->json);
	cmd_printf(c, "\n");
}

/* Commands come one at a time: nobody else changes a policy between the two locks. */
static enum err policy(struct cmd *c, struct vm *vm)
{
	struct vm_policy p;

	lock_acquire(&vm->lock);
	p = vm->policy;
	lock_release(&vm->lock);
	for (u32 i = 1; i < c->n_args; i++) {
		enum err e = policy_read_word(c, c->arg[i], &p);
		if (e != ERR_OK)
			return e;
	}
	if (c->n_args > 1) {
		enum err e = admission_set_policy(vm, &p);
		if (e != ERR_OK)
			return cmd_fail(c, e, "%s: %s", vm->name, name_of_err(e));
	}
	show(c, vm, &p);
	return ERR_OK;
}

static enum err run_policy(struct cmd *c)
{
	return cmd_on_vm(c, policy);
}

static const struct command commands[] = {
	{ "policy", "VM [NAME=WORD ...]",
	  "show or set how Pando treats a VM: time=continue|jump memory=overcommit|reserve nomem=pause|kill dedup=off|zero|family|domain:NAME secure=on|off",
	  1, CMD_WORDS_MAX, run_policy },
};

const struct command_group cmd_policy = { "Policy", commands, ARRAY_LEN(commands) };
