/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A console port carries plain bytes.  Output stays in the VM's ring until a
 * program is at the other end and reads; input stays in the port until the guest's UART takes it.
 * So either side may be slow, and nothing waits.
 */
#include "arch/time.h"
#include "ctl/attach.h"
#include "ctl/port.h"
#include "ctl/view.h"
#include "drv/serial.h"
#include "vm/device.h"

#define PORT_NAME     "pando.console."
#define SLOTS         2U
#define RETRY_NS      2000000UL           /* how soon a full input FIFO is tried again */
#define OUTPUT_A_TURN VM_CONSOLE_RING_LEN /* at least: what a VM said before it went off */

static struct console {
	bool is_open;
	u64 k;
	struct vm *vm; /* holds a reference; NULL: nobody's */
} consoles[SERIAL_PORTS_MAX];

static u64 deadline = TIME_NEVER;

static struct console *find(u64 k)
{
	for (u32 i = 0; i < SERIAL_PORTS_MAX; i++)
		if (consoles[i].is_open && consoles[i].k == k)
			return &consoles[i];
	return NULL;
}

/* False: it was unplugged, and another one, of any kind, may be there by now. */
static bool is_plugged(const struct console *c)
{
	u32 port = (u32)(c - consoles);
	u64 k;

	return serial_is_open(port) && port_is(port, PORT_NAME, &k) && k == c->k;
}

bool attach_has(const struct vm *vm)
{
	for (u32 i = 0; i < SERIAL_PORTS_MAX; i++)
		if (consoles[i].vm == vm)
			return true;
	return false;
}

/* Gives the guest what its FIFO takes, whether or not whoever typed it is still there; what is for no guest
 * is lost. */
static void pass_on(u32 port, struct vm *vm)
{
	const u8 *from;
	u32 len, n;

	while ((from = serial_peek(port, &len)) != NULL) {
		for (n = 0; n < len; n++)
			if (vm && !device_ops->console_input(vm, (char)from[n]))
				break;
		serial_consume(port, n);
		if (n == len)
			continue;
		deadline = u64_min(deadline, time_now() + time_ns_to_ticks(RETRY_NS));
		return;
	}
}

static void unbind(struct console *c)
{
	struct vm *vm = c->vm;

	if (!vm)
		return;
	c->vm = NULL;
	if (is_plugged(c))
		pass_on((u32)(c - consoles), NULL); /* typed for it: for no other VM */
	vm_console_attach(vm, false);
	vm_put(vm);
}

enum err attach_bind(struct vm *vm, u64 k)
{
	struct console *c = find(k);

	if (!c)
		return ERR_ABSENT;
	if (view_attached() == vm)
		return ERR_STATE;
	if (c->vm == vm)
		return ERR_OK;
	for (u32 i = 0; i < SERIAL_PORTS_MAX; i++)
		if (consoles[i].vm == vm)
			unbind(&consoles[i]);
	unbind(c);
	view_unwatch(vm);
	vm_get(vm);
	c->vm = vm;
	vm_console_attach(vm, true);
	deadline = 0;
	return ERR_OK;
}

enum err attach_unbind(u64 k)
{
	struct console *c = find(k);

	if (!c)
		return ERR_ABSENT;
	unbind(c);
	return ERR_OK;
}

u64 attach_deadline(void)
{
	return deadline;
}

static void find_port(u32 i)
{
	u64 k;

	if (port_is(i, PORT_NAME, &k) && serial_open(i, SLOTS) == ERR_OK)
		consoles[i] = (struct console){ .is_open = true, .k = k };
}

static void show(u32 port, struct vm *vm)
{
	u32 room, n = 1, sum = 0;
	u8 *to;

	if (!serial_has_peer(port))
		return;
	while (n > 0 && sum < OUTPUT_A_TURN && (to = serial_room(port, &room)) != NULL) {
		n = vm_console_take(vm, (char *)to, room);
		serial_fill(port, n);
		sum += n;
	}
	if (sum >= OUTPUT_A_TURN)
		deadline = 0;
}

static void serve(u32 port, struct console *c)
{
	if (!is_plugged(c)) {
		unbind(c);
		c->is_open = false;
		return;
	}
	if (c->vm)
		show(port, c->vm);
	pass_on(port, c->vm);
	if (c->vm && atomic_load(&c->vm->state) == VM_DYING)
		unbind(c);
}

void attach_poll(void)
{
	deadline = TIME_NEVER;
	for (u32 i = 0; i < SERIAL_PORTS_MAX; i++) {
		if (!serial_is_open(i) && !consoles[i].is_open)
			find_port(i);
		if (consoles[i].is_open)
			serve(i, &consoles[i]);
	}
}
