/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The policy `dedup`: from words to what the merge scanner is told.
 *
 * Each booted VM begins a family, whose number is a merge domain; named domains have the
 * numbers above.  A number is never used for something else.  VMs of secure mode have domains of
 * their own: those of the same name, without it, would notice what is merged.
 */
#ifndef VM_DEDUP_H
#define VM_DEDUP_H

#include "lib/err.h"
#include "mm/merge.h"
#include "vm/policy.h"

struct space;

#define DEDUP_NAME_LEN  24U /* with its NUL */
#define DEDUP_NAMES_MAX 64U

/* The domain of that name; a new name is kept for ever, so that its number never means another.
 * ERR_INVAL: 1 to 23 letters, digits, - and _.  ERR_LIMIT: too many names.  One caller at a time. */
enum err must_check dedup_domain(const char *name, u8 *domain);

const char *dedup_domain_name(u8 domain);

/* What the policy means for the space.  When families have used up all numbers, those that come
 * later share with nobody. */
struct merge_policy dedup_merge_policy(const struct space *s, const struct vm_policy *p);

/* Takes effect at once, see scan_set_policy(). */
void dedup_apply(struct space *s, const struct vm_policy *p);

#endif
