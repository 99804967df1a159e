/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest writes to its console, kept in a ring until somebody takes it.
 *
 * The ring is one page, allocated at the first byte: a clone that says nothing
 * owns none.  It may come out of the reserve, or a VM that needs no more memory would
 * fall silent because others have taken all.  A full ring drops its oldest bytes;
 * what is shown late should be what happened last.
 */
#include "lib/assert.h"
#include "mm/pool.h"
#include "vm/vm.h"

_Static_assert(VM_CONSOLE_RING_LEN == PAGE_SIZE, "the ring is one page");

static bool has_ring(struct vm_console *con)
{
	if (con->ring == NULL)
		con->ring = pages_alloc(0, FRAME_FOR_TABLE);
	return con->ring != NULL;
}

bool vm_console_prepare(struct vm *vm)
{
	bool is_there;

	lock_acquire(&vm->dev_lock);
	is_there = has_ring(&vm->console);
	lock_release(&vm->dev_lock);
	return is_there;
}

void vm_console_put(struct vm *vm, char c)
{
	struct vm_console *con = &vm->console;
	bool was_empty = con->len == 0;

	assert(lock_is_held(&vm->dev_lock));
	if (!has_ring(con)) {
		con->dropped++;
		return;
	}
	if (con->len == VM_CONSOLE_RING_LEN) {
		con->head = (con->head + 1) % VM_CONSOLE_RING_LEN;
		con->len--;
		con->dropped++;
	}
	con->ring[(con->head + con->len) % VM_CONSOLE_RING_LEN] = c;
	con->len++;
	con->kept += con->kept < VM_CONSOLE_RING_LEN;
	if (con->attached && (was_empty || c == '\n'))
		vm_post_event(vm, VM_EV_OUTPUT);
}

void vm_console_attach(struct vm *vm, bool on)
{
	lock_acquire(&vm->dev_lock);
	vm->console.attached = on;
	lock_release(&vm->dev_lock);
}

u32 vm_console_take(struct vm *vm, char *buf, u32 max)
{
	struct vm_console *con = &vm->console;
	u32 n;

	lock_acquire(&vm->dev_lock);
	n = con->len < max ? con->len : max;
	for (u32 i = 0; i < n; i++)
		buf[i] = con->ring[(con->head + i) % VM_CONSOLE_RING_LEN];
	con->head = (con->head + n) % VM_CONSOLE_RING_LEN;
	con->len -= n;
	lock_release(&vm->dev_lock);
	return n;
}

u32 vm_console_copy(struct vm *vm, char *buf)
{
	struct vm_console *con = &vm->console;
	u32 n, from;

	lock_acquire(&vm->dev_lock);
	n = con->kept;
	from = con->head + con->len + VM_CONSOLE_RING_LEN - n;
	for (u32 i = 0; i < n; i++)
		buf[i] = con->ring[(from + i) % VM_CONSOLE_RING_LEN];
	lock_release(&vm->dev_lock);
	return n;
}
