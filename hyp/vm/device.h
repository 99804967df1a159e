/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that a guest sees, as one table that dev owns and vm walks.
 *
 * Each device type has a slice of vm->dev_state.  A clone gets a copy of the slices
 * up to the first type with `cloned`, and then has that type and all that follow begin
 * their slices anew.  All calls but `fdt` come with vm->dev_lock held, or before anybody
 * else can reach the VM (`cloned`).
 */
#ifndef VM_DEVICE_H
#define VM_DEVICE_H

#include "lib/fields.h"
#include "vm/vm.h"

enum mmio {
	MMIO_OK,    /* done; a load has set *value (zero-extended) */
	MMIO_FAULT, /* no such register or width: access fault in the guest */
	MMIO_WAIT,  /* a hold was set; repeat the instruction when it is gone */
};

struct device_type {
	const char *name;
	u64 base, len; /* GPA range of its registers */
	u32 state_len; /* bytes in vm->dev_state */
	u32 irq;       /* PLIC source, 0 = none */
	void (*init)(struct vm *vm, void *state);
	void (*cloned)(struct vm *vm, void *state); /* NULL: the slice is copied */
	enum mmio (*load)(struct vcpu *v, void *state, u64 offset, u32 len, u64 *value);
	enum mmio (*store)(struct vcpu *v, void *state, u64 offset, u32 len, u64 value);
	/* Adds its node under /soc of a guest tree being written with libfdt's sw functions;
	 * returns libfdt's result. */
	int (*fdt)(const struct vm *vm, void *fdt);
	/* Names what a template's file keeps of the state, both ways (docs/template-format.md); read into
	 * what `init` has left, in the order of the table.  NULL if `cloned` is not: a clone begins anew. */
	void (*fields)(struct vm *vm, void *state, struct fields *f);
};

/* Upward calls of the vm floor, filled in by dev at boot. */
struct device_ops {
	const struct device_type *const *types;
	u32 n_types;
	/* Is the external interrupt line of this vCPU high?  dev_lock held. */
	bool (*ext_pending)(struct vm *vm, u32 vcpu_id);
	/* Writes the guest's device tree into buf; 0 or a negative libfdt error. */
	int (*build_fdt)(const struct vm *vm, const struct vm_config *c, gpa_t initrd,
	                 u64 initrd_len, void *buf, u32 buf_len);
	/* One byte typed at the guest's console; false: its FIFO is full. Takes dev_lock. */
	bool (*console_input)(struct vm *vm, char c);
	/* The oldest byte typed that the guest has not taken yet; -1: none. Takes dev_lock. */
	int (*console_take)(struct vm *vm);
	/* Is there such a byte? Takes dev_lock. */
	bool (*console_has_input)(struct vm *vm);
	/* A clone gets work: payload of `len` bytes is in the window. Takes dev_lock. */
	void (*give_work)(struct vm *vm, u32 len);
};
void device_set_ops(const struct device_ops *ops); /* once at boot */
extern const struct device_ops *device_ops;

void *device_state(struct vm *vm, u32 type_index);

/* How many types, from the first on, have state that clones copy. */
u32 device_n_copied(void);

/* Bytes of vm->dev_state that the devices use. */
u64 device_state_len(void);

/* Calls `init` of every device; takes dev_lock. */
void device_init(struct vm *vm);

/* The devices of a clone or fork child of `from`, which is quiet; its vCPUs have been copied.  The caller has
 * dev_lock of `to`, or that VM is so new that nobody else can reach it. */
void device_clone(struct vm *to, const struct vm *from);

/* Finds the device at `gpa` and performs the access; takes dev_lock.
 * MMIO_FAULT when nothing is there. `value` in for stores, out for loads (zero-extended). */
enum mmio device_access(struct vcpu *v, gpa_t gpa, u32 len, bool is_store, u64 *value);

#endif
