/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands for programs on the host: what happens, and what guests say.
 */
#include <string.h>
#include "ctl/attach.h"
#include "ctl/names.h"
#include "ctl/wire.h"
#include "mm/pool.h"

static enum err run_events(struct cmd *c)
{
	if (strcmp(c->arg[0], "on") != 0 && strcmp(c->arg[0], "off") != 0)
		return cmd_fail(c, ERR_INVAL, "usage: events on|off");
	return wire_set_events(c, strcmp(c->arg[0], "on") == 0);
}

static enum err take_port(struct cmd *c, const char *word, u64 *k)
{
	if (cmd_number(word, UINT32_MAX, k))
		return ERR_OK;
	return cmd_fail(c, ERR_INVAL, "K is the number of a port pando.console.K");
}

static enum err no_port(struct cmd *c, u64 k)
{
	return cmd_fail(c, ERR_ABSENT, "no port pando.console.%lu", k);
}

static enum err run_attach(struct cmd *c)
{
	struct vm *vm;
	enum err e;
	u64 k;

	e = take_port(c, c->arg[1], &k);
	if (e == ERR_OK)
		e = cmd_take_vm(c, c->arg[0], &vm);
	if (e != ERR_OK)
		return e;
	e = attach_bind(vm, k);
	if (e == ERR_ABSENT)
		no_port(c, k);
	else if (e != ERR_OK)
		cmd_fail(c, e, "%s: its console is open in the shell", vm->name);
	vm_put(vm);
	return e;
}

static enum err run_detach(struct cmd *c)
{
	u64 k;
	enum err e = take_port(c, c->arg[0], &k);

	if (e == ERR_OK && attach_unbind(k) != ERR_OK)
		e = no_port(c, k);
	return e;
}

/* What a console's ring held when somebody asked. */
struct held {
	u32 at;
	char bytes[VM_CONSOLE_RING_LEN];
};
#define HELD_ORDER 1U
_Static_assert(sizeof(struct held) <= PAGE_SIZE << HELD_ORDER, "pages of it");

static void pull_held(void *arg, u8 *bytes, u32 len)
{
	struct held *h = arg;

	memcpy(bytes, h->bytes + h->at, len);
	h->at += len;
}

static void free_held(void *arg)
{
	pages_free(arg, HELD_ORDER);
}

static const struct payload_source held_source = { pull_held, free_held };

static enum err logs(struct cmd *c, struct vm *vm)
{
	struct held *h = pages_alloc(HELD_ORDER, FRAME_FOR_PANDO);

	if (!h)
		return ERR_NOMEM;
	cmd_send(c, &held_source, h, vm_console_copy(vm, h->bytes));
	return ERR_OK;
}

static enum err run_logs(struct cmd *c)
{
	return cmd_on_vm(c, logs);
}

static const struct command commands[] = {
	{ "events", "on|off", "tell this connection what happens to VMs", 1, 1, run_events },
	{ "attach", "VM K", "a VM's console goes to the port pando.console.K", 2, 2, run_attach },
	{ "detach", "K", "and away from it", 1, 1, run_detach },
	{ "logs", "VM", "what a VM said last, shown already or not", 1, 1, run_logs },
};

const struct command_group cmd_wire = { "Ports", commands, ARRAY_LEN(commands) };
