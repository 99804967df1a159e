/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What has happened to VMs, for control to act on.
 *
 * Any hart posts, under any lock, so the list is a stack that is pushed by
 * compare-and-swap; the one consumer takes all of it at once and turns it round.
 * A VM is on the list once, however many events it has, and the list holds a
 * reference to it.
 *
 * Nobody is kicked: the hart that posts comes through its loop before its next
 * guest entry, and asks control there.
 */
#include "lib/assert.h"
#include "vm/vm.h"

static struct vm *_Atomic posted; /* newest first */
static struct vm *taken;          /* oldest first; the consumer's */
static _Atomic u32 n_listed;      /* VMs in both */

void vm_post_event(struct vm *vm, u32 events)
{
	struct vm *first;

	atomic_fetch_or(&vm->events, events);
	if (atomic_exchange(&vm->on_event_list, 1) != 0)
		return;
	vm_get(vm);
	atomic_fetch_add(&n_listed, 1);
	first = atomic_load(&posted);
	do
		vm->event_next = first;
	while (!atomic_compare_exchange_weak(&posted, &first, vm));
}

static void refill(void)
{
	struct vm *vm = atomic_exchange(&posted, NULL);

	while (vm != NULL) {
		struct vm *next = vm->event_next;

		vm->event_next = taken;
		taken = vm;
		vm = next;
	}
}

struct vm *vm_take_event(u32 *events)
{
	for (;;) {
		struct vm *vm;

		if (taken == NULL)
			refill();
		vm = taken;
		if (vm == NULL)
			return NULL;
		taken = vm->event_next;
		atomic_fetch_sub(&n_listed, 1);
		/* In this order: an event that comes in between puts it on the list again, at
		 * worst with nothing left to take. */
		atomic_store(&vm->on_event_list, 0);
		*events = atomic_exchange(&vm->events, 0);
		if (*events != 0)
			return vm;
		vm_put(vm);
	}
}

bool vm_has_events(void)
{
	/* Relaxed: a hart looks for what it has posted itself. */
	return atomic_load_explicit(&n_listed, memory_order_relaxed) != 0;
}
