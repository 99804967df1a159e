// SPDX-License-Identifier: BSD-2-Clause
/*
 * Which pages a VM has written: the question behind every "why does a clone take so much".
 */
#include "ctl/command.h"
#include "ctl/names.h"
#include "mm/space.h"

/* Calls fn for each run of private pages, none of which crosses a 2 MiB boundary. */
static void for_each_run(struct vm *vm, void (*fn)(const struct region *run, void *arg), void *arg)
{
	struct region run;

	for (gpa_t from = GPA(0); space_next_private(&vm->space, from, &run);
	     from = GPA(run.base.v + run.len))
		fn(&run, arg);
}

struct totals {
	u64 n_pages, n_slots; /* slots: of 2 MiB, each of which costs a table */
	u64 last_slot;
};

static void add(const struct region *run, void *arg)
{
	struct totals *t = arg;
	u64 slot = ALIGN_DOWN(run->base.v, BLOCK_SIZE);

	t->n_slots += t->n_slots == 0 || slot != t->last_slot;
	t->last_slot = slot;
	t->n_pages += run->len / PAGE_SIZE;
}

static void show(const struct region *run, void *arg)
{
	struct cmd *c = arg;

	json_array(c->json, NULL);
	json_u64(c->json, NULL, run->base.v);
	json_u64(c->json, NULL, run->len / PAGE_SIZE);
	json_end_array(c->json);
	cmd_printf(c, "  0x%lx %lu\n", run->base.v, run->len / PAGE_SIZE);
}

static enum err show_pages(struct cmd *c, struct vm *vm)
{
	struct totals t = { 0 };

	for_each_run(vm, add, &t);
	cmd_printf(c, "%s: %lu private pages in %lu ranges of 2 MiB\n", vm->name, t.n_pages,
	           t.n_slots);
	json_u64(c->json, "pages", t.n_pages);
	json_u64(c->json, "ranges", t.n_slots);
	json_array(c->json, "runs");
	for_each_run(vm, show, c);
	json_end_array(c->json);
	return ERR_OK;
}

static enum err run_pages(struct cmd *c)
{
	return cmd_on_vm(c, show_pages);
}

static const struct command commands[] = {
	{ "pages", "VM", "its private pages: first address, how many", 1, 1, run_pages },
};

const struct command_group cmd_pages = { "Memory", commands, ARRAY_LEN(commands) };
