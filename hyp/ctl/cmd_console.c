/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands about what is on the screen, and the demo, which takes it.
 */
#include "ctl/attach.h"
#include "ctl/command.h"
#include "ctl/demo.h"
#include "ctl/names.h"
#include "ctl/view.h"
#include "ctl/wire.h"

/* The screen is for whoever sits before it. */
static enum err need_screen(struct cmd *c)
{
	if (!wire_is_caller(c))
		return ERR_OK;
	return cmd_fail(c, ERR_STATE, "%s takes the machine's own screen: for the shell only",
	                c->command->name);
}

/* The VM that c names, for the screen to show. */
static enum err take_shown(struct cmd *c, struct vm **vm)
{
	enum err e = cmd_take_vm(c, c->arg[0], vm);

	if (e != ERR_OK || !attach_has(*vm))
		return e;
	vm_put(*vm);
	return cmd_fail(c, ERR_STATE, "%.40s: its console is at a port; detach it", c->arg[0]);
}

static enum err run_console(struct cmd *c)
{
	struct vm *vm;
	enum err e = need_screen(c);

	if (e == ERR_OK)
		e = take_shown(c, &vm);
	if (e != ERR_OK)
		return e;
	cmd_printf(c, "attached to %s; Ctrl-] detaches\n", vm->name);
	view_attach(vm);
	vm_put(vm);
	return ERR_OK;
}

static enum err run_watch(struct cmd *c)
{
	struct vm *vm;
	enum err e = take_shown(c, &vm);

	if (e != ERR_OK)
		return e;
	e = view_watch(vm);
	vm_put(vm);
	return e == ERR_OK ? e : cmd_fail(c, e, "enough VMs are watched; unwatch one");
}

static enum err run_unwatch(struct cmd *c)
{
	struct vm *vm;
	enum err e = cmd_take_vm(c, c->arg[0], &vm);

	if (e != ERR_OK)
		return e;
	view_unwatch(vm);
	vm_put(vm);
	return ERR_OK;
}

static enum err run_demo(struct cmd *c)
{
	const char *why = "";
	u64 n = 0;
	enum err e = need_screen(c);

	if (e == ERR_OK)
		e = cmd_take_count(c, BUNDLE_CLONES_MAX, &n);
	if (e != ERR_OK)
		return e;
	if (c->n_args != 0)
		return cmd_fail(c, ERR_INVAL, "usage: demo [-n N]");
	e = demo_start((u32)n, false, &why);
	return e == ERR_OK ? e : cmd_fail(c, e, "demo: %s", why);
}

static const struct command commands[] = {
	{ "console", "VM", "type to a VM and see its output; Ctrl-] detaches", 1, 1, run_console },
	{ "watch", "VM", "show a VM's output line by line", 1, 1, run_watch },
	{ "unwatch", "VM", "buffer a VM's output until somebody looks", 1, 1, run_unwatch },
	{ "demo", "[-n N]", "boot, freeze, clone, check: the whole job", 0, 2, run_demo },
};

const struct command_group cmd_console = { "Screen", commands, ARRAY_LEN(commands) };
