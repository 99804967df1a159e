/* SPDX-License-Identifier: BSD-2-Clause */
/* The policy `dedup`; see dedup.h. */
#include "vm/dedup.h"

#include <string.h>
#include "mm/space.h"

#define FAMILY_MAX (MERGE_DOMAIN_MAX - DEDUP_NAMES_MAX)

static char names[DEDUP_NAMES_MAX][DEDUP_NAME_LEN];
static u32 n_names;

static bool is_name(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len < DEDUP_NAME_LEN &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len;
}

enum err dedup_domain(const char *name, u8 *domain)
{
	u32 i = 0;

	if (!is_name(name))
		return ERR_INVAL;
	while (i < n_names && strcmp(names[i], name) != 0)
		i++;
	if (i == DEDUP_NAMES_MAX)
		return ERR_LIMIT;
	if (i == n_names)
		strcpy(names[n_names++], name);
	*domain = (u8)i;
	return ERR_OK;
}

const char *dedup_domain_name(u8 domain)
{
	return names[domain];
}

struct merge_policy dedup_merge_policy(const struct space *s, const struct vm_policy *p)
{
	switch ((enum dedup_policy)p->dedup) {
	case DEDUP_WITH_NONE: break;
	case DEDUP_WITH_ZERO: return (struct merge_policy){ .dedup = DEDUP_ZERO };
	case DEDUP_WITH_FAMILY:
		if (s->family > FAMILY_MAX)
			return (struct merge_policy){ .dedup = DEDUP_ZERO };
		return (struct merge_policy){ DEDUP_MERGE, (u32)s->family };
	case DEDUP_WITH_DOMAIN:
		return (struct merge_policy){ DEDUP_MERGE, FAMILY_MAX + 1 + p->domain };
	}
	return (struct merge_policy){ .dedup = DEDUP_OFF };
}

void dedup_apply(struct space *s, const struct vm_policy *p)
{
	lock_acquire(&s->lock);
	s->merge = dedup_merge_policy(s, p);
	lock_release(&s->lock);
}
