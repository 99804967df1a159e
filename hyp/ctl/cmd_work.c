/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mailbox from the outside: a payload for a guest that waits in NEXT, and the
 * result that it has announced with DONE.  Both lie at the start of its window.
 */
#include <string.h>
#include "ctl/command.h"
#include "ctl/names.h"
#include "mm/copy.h"
#include "vm/device.h"

#define SHOWN_MAX 256U /* bytes of a result that are shown */

static enum err give(struct cmd *c, struct vm *vm)
{
	u32 state = atomic_load(&vm->state);
	const char *text = cmd_join_words(c, 1);
	size_t len = strlen(text);
	enum err e;

	if (state != VM_RUNNING && state != VM_PAUSED)
		return cmd_fail(c, ERR_STATE, "%s: takes no work (it is %s)", vm->name,
		                name_of_state(state));
	e = copy_to_guest(&vm->space, vm->window.base, text, len);
	if (e != ERR_OK)
		return cmd_fail(c, e, "%s: its window: %s", vm->name, err_name(e));
	device_ops->give_work(vm, (u32)len);
	return ERR_OK;
}

static enum err run_give(struct cmd *c)
{
	return cmd_on_vm(c, give);
}

static enum err show_result(struct cmd *c, struct vm *vm)
{
	char text[SHOWN_MAX + 1];
	u32 result_len, len;
	enum err e;

	/* One look: a guest that runs may store another one at any time. */
	lock_acquire(&vm->dev_lock);
	result_len = vm->result_len;
	lock_release(&vm->dev_lock);
	len = (u32)u64_min(result_len, SHOWN_MAX);
	if (vm->stats.done == 0)
		return cmd_fail(c, ERR_STATE, "%s: no result yet", vm->name);
	e = copy_from_guest(&vm->space, text, vm->window.base, len);
	if (e != ERR_OK)
		return cmd_fail(c, e, "%s: its window: %s", vm->name, err_name(e));
	for (u32 i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '.';
	text[len] = 0;
	cmd_printf(c, "%s: %u bytes: %s%s\n", vm->name, result_len, text,
	           len < result_len ? "..." : "");
	return ERR_OK;
}

static enum err run_result(struct cmd *c)
{
	return cmd_on_vm(c, show_result);
}

static const struct command commands[] = {
	{ "give", "VM [TEXT]", "work for a guest that waits in NEXT: TEXT is its payload", 1,
	  CMD_WORDS_MAX, run_give },
	{ "result", "VM", "what the guest left in its window at its last DONE", 1, 1, run_result },
};

const struct command_group cmd_work = { "Work", commands, ARRAY_LEN(commands) };
