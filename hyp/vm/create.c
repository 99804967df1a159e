/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A new VM from its description: what is checked, what it is made of.  load.c puts its
 * images into its memory, vm.c lists it.
 */
#include "vm/admission.h"
#include "vm/device.h"
#include <string.h>

#define RAM_BASE    0x80000000UL
#define RAM_LEN_MAX (1UL << 40) /* well below Sv39x4's 2^41 */
#define WINDOW_LEN  BLOCK_SIZE  /* right after RAM: the same level-1 table serves both */

bool vm_is_taken(const char *name)
{
	struct vm *vm = vm_find(name);
	bool is_its_name = vm != NULL && strcmp(vm->name, name) == 0;

	vm_put(vm);
	return is_its_name;
}

static enum err refuse_taken(const char *name, const char **why)
{
	return vm_refuse(ERR_EXISTS, why, "name: there is a VM \"%s\" already", name);
}

/*
 * A dot is what separates a clone's number from its template's name, and "kill all" ends all.  Nothing else than
 * these characters: names are printed on terminals and read by shells as they are.
 */
enum err vm_check_name(const char *name, const char **why)
{
	size_t len = strnlen(name, VM_NAME_LEN);

	if (len == 0 || len == VM_NAME_LEN || strcmp(name, "all") == 0 ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != len)
		return vm_refuse(ERR_INVAL, why,
		                 "name: 1 to %d letters, digits, - and _, and not \"all\"",
		                 VM_NAME_LEN - 1);
	return vm_is_taken(name) ? refuse_taken(name, why) : ERR_OK;
}

bool vm_is_ram_len(u64 len)
{
	return len != 0 && len <= RAM_LEN_MAX && IS_ALIGNED(len, BLOCK_SIZE);
}

enum err vm_back(struct vm *vm, u64 ram_len)
{
	enum err e;

	vm->ram = (struct region){ .base = GPA(RAM_BASE), .len = ram_len };
	vm->window = (struct region){ .base = GPA(RAM_BASE + ram_len), .len = WINDOW_LEN };
	e = space_init(&vm->space, (struct region[]){ vm->ram, vm->window }, 2);
	if (e != ERR_OK)
		vm->space.root = NULL;
	return e;
}

/* A name that is taken comes before all else that is wrong, such as that there is no room for another VM. */
static enum err check_config(const struct vm_config *c, const char **why)
{
	enum err e = vm_check_name(c->name, why);

	if (e != ERR_OK)
		return e;
	if (c->n_vcpus == 0 || c->n_vcpus > VM_MAX_VCPUS)
		return vm_refuse(ERR_INVAL, why, "vcpus: %u is not between 1 and %d", c->n_vcpus,
		                 VM_MAX_VCPUS);
	if (!vm_is_ram_len(c->ram_len))
		return vm_refuse(
			ERR_INVAL, why,
			"memory-size: 0x%lx bytes are not a multiple of 2 MiB, up to 1 TiB",
			c->ram_len);
	if ((c->kernel == NULL && c->kernel_blob == NULL) || c->kernel_len == 0)
		return vm_refuse(ERR_INVAL, why, "kernel: missing or empty");
	return ERR_OK;
}

static enum err build(struct vm *vm, const struct vm_config *c, const char **why)
{
	memcpy(vm->name, c->name, VM_NAME_LEN);
	vm->name_len = (u32)strlen(c->name);
	vm->stats.created = time_now();
	vm->hold_at_ready = c->hold_at_ready;
	vm->policy = c->policy;
	vm->time_delta = 0 - vm->stats.created;
	if (vm_back(vm, c->ram_len) != ERR_OK)
		return vm_refuse(ERR_NOMEM, why, "no memory for the VM's tables");
	if (admission_admit(vm) != ERR_OK)
		return vm_refuse(ERR_RESERVE, why, "%s", admission_why());
	for (u32 i = 0; i < vm->n_vcpus; i++) {
		vcpu_start_at(vm->vcpu[i], 0, 0);
		atomic_store(&vm->vcpu[i]->holds, HOLD_PAUSED | (i == 0 ? 0 : HOLD_STOPPED));
		atomic_store(&vm->vcpu[i]->hsm, i == 0 ? HSM_STARTED : HSM_STOPPED);
	}
	device_init(vm);
	return load_images(vm, c, why);
}

enum err vm_create(const struct vm_config *c, struct vm **out, const char **why)
{
	enum err e = check_config(c, why);
	struct vm *vm;

	if (e != ERR_OK)
		return e;
	vm = vm_alloc(c->n_vcpus);
	if (vm == NULL)
		return vm_refuse(ERR_NOMEM, why, "no memory for the VM's record");
	e = build(vm, c, why);
	if (e == ERR_OK && vm_list(vm, true) != ERR_OK)
		e = refuse_taken(c->name, why);
	if (e != ERR_OK) {
		vm_free(vm);
		return e;
	}
	*out = vm;
	return ERR_OK;
}
