/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dedup: the merge scanner as a whole.  What it may do to one VM is that VM's policy.
 */
#include <string.h>
#include "ctl/figure.h"
#include "ctl/fmt.h"
#include "ctl/names.h"
#include "ctl/still.h"
#include "mm/hide.h"
#include "mm/index.h"
#include "vm/admission.h"

#define RATE_MAX 1000U /* permille */

struct counter {
	const char *name;
	u32 offset; /* of its u64 in struct merge_stats */
};

#define COUNTER(field)                                      \
	{                                                   \
#field, offsetof(struct merge_stats, field) \
	}

static const struct counter counters[] = { COUNTER(passes), COUNTER(visited), COUNTER(dirty),
	                                   COUNTER(unique), COUNTER(resting), COUNTER(zero),
	                                   COUNTER(back),   COUNTER(kept),    COUNTER(merged),
	                                   COUNTER(raced),  COUNTER(broken),  COUNTER(split),
	                                   COUNTER(hidden) };

static void show_counters(struct cmd *c, const struct merge_stats *st)
{
	cmd_printf(c, "  since boot:");
	json_object(c->json, "since_boot");
	for (u32 i = 0; i < ARRAY_LEN(counters); i++) {
		u64 n = *(const u64 *)(const void *)((const u8 *)st + counters[i].offset);

		json_u64(c->json, counters[i].name, n);
		cmd_printf(c, "%s %s %lu", i ? "," : "", counters[i].name, n);
	}
	json_end_object(c->json);
	figure_cost(c->json, "spent", (struct time_cost){ st->ticks, st->instret });
	cmd_printf(c, "\n  spent: %s", fmt_ticks(st->ticks).s);
	if (instret_is_exact())
		cmd_printf(c, ", %lu instructions", st->instret);
	cmd_printf(c, "\n");
}

static void show_saved(struct cmd *c, const struct merge_saved *m, u64 spent)
{
	u64 n = m->zero + m->back + m->merged, saved = n * PAGE_SIZE;
	bool is_loss = spent > saved;

	json_object(c->json, "saved");
	json_u64(c->json, "pages", n);
	json_u64(c->json, "zero", m->zero);
	json_u64(c->json, "back", m->back);
	json_u64(c->json, "merged", m->merged);
	json_u64(c->json, "bytes", saved);
	json_u64(c->json, "index", spent);
	json_s64(c->json, "net", (s64)(saved - spent));
	json_end_object(c->json);
	cmd_printf(c, "  saved now: %lu pages, %s; zero %lu, back %lu, merged %lu\n", n,
	           fmt_bytes(saved).s, m->zero, m->back, m->merged);
	cmd_printf(c, "  index: %s; net %s%s\n", fmt_bytes(spent).s, is_loss ? "-" : "",
	           fmt_bytes(is_loss ? spent - saved : saved - spent).s);
}

static enum err show_status(struct cmd *c)
{
	struct merge_stats st;
	struct merge_saved m;
	u64 spent;

	scan_stats(&st);
	still_begin();
	space_hold_off_work();
	merge_saved(&m);
	spent = index_bytes() + hide_n_frames() * PAGE_SIZE;
	space_allow_work();
	still_end(c);
	json_bool(c->json, "on", scan_is_on());
	json_u64(c->json, "rate_permille", scan_rate());
	json_bool(c->json, "split_always", scan_splits_always());
	cmd_printf(c, "dedup: %s; at most %u.%u %% of a hart while all are busy%s\n",
	           scan_is_on() ? "on" : "off", scan_rate() / 10, scan_rate() % 10,
	           scan_splits_always() ? "; splits all blocks" : "");
	show_saved(c, &m, spent);
	show_counters(c, &st);
	return ERR_OK;
}

/* "1", "0.5", "2.5%": at most one decimal. */
static bool read_percent(char *word, u64 *permille)
{
	size_t len = strlen(word);
	char *rest = word;
	u64 whole, tenths = 0;

	if (len && word[len - 1] == '%')
		word[len - 1] = 0;
	strsep(&rest, ".");
	if (!cmd_number(word, RATE_MAX / 10, &whole) || (rest && !cmd_number(rest, 9, &tenths)) ||
	    (rest && rest[1]))
		return false;
	*permille = whole * 10 + tenths;
	return *permille <= RATE_MAX;
}

static enum err set_rate(struct cmd *c, char *word)
{
	u64 permille;

	if (!read_percent(word, &permille))
		return cmd_fail(c, ERR_INVAL,
		                "rate= wants 0 to 100 %% of a hart, with at most one decimal");
	scan_set_rate((u32)permille);
	return ERR_OK;
}

/* The policy first, or the scanner would take away again what it has just given back. */
static enum err unmerge(struct cmd *c, struct vm *vm)
{
	struct vm_policy was = vm->policy, off = was;
	enum err e;

	if (atomic_load(&vm->state) == VM_TEMPLATE)
		return cmd_fail(c, ERR_STATE, "%s: a template stays as it is", vm->name);
	off.dedup = DEDUP_WITH_NONE;
	e = admission_set_policy(vm, &off);
	if (e == ERR_OK)
		e = scan_unmerge(&vm->space);
	if (e == ERR_OK)
		return e;
	cmd_fail(c, e, "%s: wants %s, %s left", vm->name,
	         fmt_bytes(scan_n_given(&vm->space) * PAGE_SIZE).s,
	         fmt_bytes(frame_n_for_guests() * PAGE_SIZE).s);
	return admission_set_policy(vm, &was) == ERR_OK ? e : ERR_STATE;
}

static enum err run_unmerge(struct cmd *c)
{
	c->arg[0] = c->arg[1];
	c->n_args = 1;
	return cmd_on_vm(c, unmerge);
}

static enum err run_dedup(struct cmd *c)
{
	char *word = c->n_args ? c->arg[0] : "status";

	if (c->n_args == 2 && strcmp(word, "unmerge") == 0)
		return run_unmerge(c);
	if (c->n_args == 2)
		return cmd_fail(c, ERR_INVAL, "only unmerge wants a VM; try help dedup");
	if (strcmp(word, "status") == 0)
		return show_status(c);
	if (strncmp(word, "rate=", strlen("rate=")) == 0)
		return set_rate(c, word + strlen("rate="));
	if (strcmp(word, "split=worth") == 0 || strcmp(word, "split=always") == 0)
		scan_split_always(strcmp(word, "split=always") == 0);
	else if (strcmp(word, "once") == 0)
		scan_once();
	else if (strcmp(word, "on") == 0 || strcmp(word, "off") == 0)
		scan_switch(strcmp(word, "on") == 0);
	else
		return cmd_fail(c, ERR_INVAL, "no \"%.40s\"; try help dedup", word);
	return ERR_OK;
}

static const struct command commands[] = {
	{ "dedup", "[on|off|once|status|rate=PERCENT|split=worth|split=always|unmerge VM]",
	  "the merge scanner: switch it, one pass now, what it saves, how busy it may be, which blocks it splits; a VM's own frames",
	  0, 2, run_dedup },
};

const struct command_group cmd_dedup = { "Dedup", commands, ARRAY_LEN(commands) };
