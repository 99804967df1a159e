/* SPDX-License-Identifier: BSD-2-Clause */
/* Walks the table of devices that dev has handed over; it holds nothing of its own. */
#include "vm/device.h"
#include "lib/assert.h"
#include <string.h>

#define DEVICES_MAX 16U

const struct device_ops *device_ops;
static u32 state_offset[DEVICES_MAX + 1]; /* bytes into dev_state; the last one is its end */
static u32 n_copied;                      /* the types before the first one with `cloned` */

void device_set_ops(const struct device_ops *ops)
{
	u32 offset = 0;

	assert(ops->n_types <= DEVICES_MAX);
	n_copied = 0;
	while (n_copied < ops->n_types && ops->types[n_copied]->cloned == NULL)
		n_copied++;
	for (u32 i = n_copied; i < ops->n_types; i++)
		assert(ops->types[i]->cloned != NULL);
	/* What a clone has from its template a file has to keep, and nothing else. */
	for (u32 i = 0; i < ops->n_types; i++)
		assert((ops->types[i]->fields != NULL) == (i < n_copied));
	for (u32 i = 0; i < ops->n_types; i++) {
		state_offset[i] = offset;
		offset += (u32)ALIGN_UP(ops->types[i]->state_len, 8);
	}
	assert(offset <= VM_DEV_STATE_LEN);
	state_offset[ops->n_types] = offset;
	device_ops = ops;
}

u32 device_n_copied(void)
{
	return n_copied;
}

void *device_state(struct vm *vm, u32 type_index)
{
	return (u8 *)vm->dev_state + state_offset[type_index];
}

u64 device_state_len(void)
{
	return state_offset[device_ops->n_types];
}

void device_init(struct vm *vm)
{
	lock_acquire(&vm->dev_lock);
	for (u32 i = 0; i < device_ops->n_types; i++)
		device_ops->types[i]->init(vm, device_state(vm, i));
	lock_release(&vm->dev_lock);
}

void device_clone(struct vm *to, const struct vm *from)
{
	const struct device_ops *ops = device_ops;

	memcpy(to->dev_state, from->dev_state, state_offset[n_copied]);
	for (u32 i = n_copied; i < ops->n_types; i++)
		ops->types[i]->cloned(to, device_state(to, i));
}

enum mmio device_access(struct vcpu *v, gpa_t gpa, u32 len, bool is_store, u64 *value)
{
	for (u32 i = 0; i < device_ops->n_types; i++) {
		const struct device_type *t = device_ops->types[i];
		void *state = device_state(v->vm, i);
		u64 offset = gpa.v - t->base;
		enum mmio result;

		if (!range_holds(t->base, t->len, gpa.v, len))
			continue;
		lock_acquire(&v->vm->dev_lock);
		result = is_store ? t->store(v, state, offset, len, *value)
		                  : t->load(v, state, offset, len, value);
		lock_release(&v->vm->dev_lock);
		return result;
	}
	return MMIO_FAULT;
}
