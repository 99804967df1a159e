/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of struct vm_policy.  A new option is a field there and a line here. */
#include <stdio.h>
#include <string.h>
#include "ctl/policy.h"
#include "vm/dedup.h"

static const char *const time_words[] = { [TIME_CONTINUE] = "continue", [TIME_JUMP] = "jump" };
static const char *const memory_words[] = {
	[MEMORY_OVERCOMMIT] = "overcommit", [MEMORY_RESERVE] = "reserve"
};

static const char *const nomem_words[] = { [NOMEM_PAUSE] = "pause", [NOMEM_KILL] = "kill" };

static const char *const dedup_words[] = { [DEDUP_WITH_NONE] = "off",
	                                   [DEDUP_WITH_ZERO] = "zero",
	                                   [DEDUP_WITH_FAMILY] = "family",
	                                   [DEDUP_WITH_DOMAIN] = "domain:" };

static const char *const secure_words[] = { [SECURE_OFF] = "off", [SECURE_ON] = "on" };

#define OPTION(field, table)                                                                 \
	{                                                                                    \
		.name = #field, .offset = offsetof(struct vm_policy, field), .words = table, \
		.n_words = ARRAY_LEN(table)                                                  \
	}

const struct policy_option policy_options[] = {
	OPTION(time, time_words), OPTION(memory, memory_words), OPTION(nomem, nomem_words),
	OPTION(dedup, dedup_words), OPTION(secure, secure_words)
};
const u32 policy_n_options = ARRAY_LEN(policy_options);

const struct policy_option *policy_find(const char *name, size_t len)
{
	for (u32 i = 0; i < policy_n_options; i++) {
		const char *known = policy_options[i].name;

		if (strlen(known) == len && memcmp(known, name, len) == 0)
			return &policy_options[i];
	}
	return NULL;
}

static bool takes_name(const char *word)
{
	return word[strlen(word) - 1] == ':';
}

enum err policy_set(struct vm_policy *p, const struct policy_option *o, const char *word)
{
	for (u32 i = 0; i < o->n_words; i++) {
		size_t len = strlen(o->words[i]);
		enum err e = ERR_OK;

		if (strncmp(o->words[i], word, takes_name(o->words[i]) ? len : len + 1) != 0)
			continue;
		if (takes_name(o->words[i]))
			e = dedup_domain(word + len, &p->domain);
		if (e != ERR_OK)
			return e;
		*((u8 *)p + o->offset) = (u8)i;
		return ERR_OK;
	}
	return ERR_INVAL;
}

struct policy_word policy_word(const struct vm_policy *p, const struct policy_option *o)
{
	const char *word = o->words[*((const u8 *)p + o->offset)];
	struct policy_word w;

	snprintf(w.s, sizeof(w.s), "%s%s", word,
	         takes_name(word) ? dedup_domain_name(p->domain) : "");
	return w;
}

void policy_list_words(const struct policy_option *o, char *buf, size_t len)
{
	size_t at = 0;

	buf[0] = 0;
	for (u32 i = 0; i < o->n_words && at < len; i++) {
		const char *sep = i == 0 ? "" : i + 1 == o->n_words ? " or " : ", ";

		at += (size_t)snprintf(buf + at, len - at, "%s%s%s", sep, o->words[i],
		                       takes_name(o->words[i]) ? "NAME" : "");
	}
}
