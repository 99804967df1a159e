/* SPDX-License-Identifier: BSD-2-Clause */
/* The policy `dedup`; see dedup.h. */
#include "vm/dedup.h"

#include <string.h>
#include "mm/space.h"

#define SECURE     BIT(23)
#define FAMILY_MAX (SECURE - 1 - DEDUP_NAMES_MAX)
_Static_assert(MERGE_DOMAIN_MAX == 2 * SECURE - 1, "the top bit of a domain's number");

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
	bool is_secure = p->secure == SECURE_ON;
	u32 top = is_secure ? (u32)SECURE : 0;

	switch ((enum dedup_policy)p->dedup) {
	case DEDUP_WITH_NONE: break;
	case DEDUP_WITH_ZERO: return (struct merge_policy){ DEDUP_ZERO, 0, is_secure };
	case DEDUP_WITH_FAMILY:
		if (s->family > FAMILY_MAX)
			return (struct merge_policy){ DEDUP_ZERO, 0, is_secure };
		return (struct merge_policy){ DEDUP_MERGE, top | (u32)s->family, is_secure };
	case DEDUP_WITH_DOMAIN:
		return (struct merge_policy){ DEDUP_MERGE, top | (u32)(FAMILY_MAX + 1 + p->domain),
			                      is_secure };
	}
	return (struct merge_policy){ .dedup = DEDUP_OFF };
}

void dedup_apply(struct space *s, const struct vm_policy *p)
{
	scan_set_policy(s, dedup_merge_policy(s, p));
}
