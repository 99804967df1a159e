/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of struct vm_policy: one table for the bundle's properties and for the
 * command `policy`, which take the same names and values.  A word that ends in a colon
 * is followed by the name of a merge domain: "domain:web".
 */
#ifndef CTL_POLICY_H
#define CTL_POLICY_H

#include "lib/err.h"
#include "vm/policy.h"

struct policy_option {
	const char *name;
	u32 offset; /* of its u8 in struct vm_policy */
	u32 n_words;
	const char *const *words; /* by value */
};

extern const struct policy_option policy_options[];
extern const u32 policy_n_options;

/* NULL: there is no such option. */
const struct policy_option *policy_find(const char *name, size_t len);

#define POLICY_WORD_LEN 32U
struct policy_word {
	char s[POLICY_WORD_LEN];
};

/* ERR_INVAL: the option has no such word, or the domain's name is none; ERR_LIMIT: too many domains. */
enum err must_check policy_set(struct vm_policy *p, const struct policy_option *o,
                               const char *word);

struct policy_word policy_word(const struct vm_policy *p, const struct policy_option *o);

/* "continue or jump"; "..., family or domain:NAME" */
void policy_list_words(const struct policy_option *o, char *buf, size_t len);

/* "NAME=WORD" of a command line; fails with a message. */
struct cmd;
enum err must_check policy_read_word(struct cmd *c, const char *word, struct vm_policy *p);

#endif
