/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Platform-level interrupt controller of a guest: what other devices and the
 * device table need of it.  All calls come with vm->dev_lock held.
 */
#ifndef DEV_PLIC_H
#define DEV_PLIC_H

#include "vm/device.h"

#define PLIC_N_SOURCES 96U /* source 0 is reserved: 1 .. 95 are usable */
#define PLIC_N_WORDS   (PLIC_N_SOURCES / 32)

struct plic {
	u8 priority[PLIC_N_SOURCES]; /* 0 .. 7, 0 = never interrupts */
	u32 level[PLIC_N_WORDS];     /* lines as the devices drive them */
	u32 pending[PLIC_N_WORDS];   /* requests that a gateway has passed on */
	u32 claimed[PLIC_N_WORDS];   /* gateways closed until completion */
	struct plic_context {
		u32 enable[PLIC_N_WORDS];
		u32 threshold;
	} context[VM_MAX_VCPUS]; /* S-mode context of each vCPU */
	u32 outputs;             /* bit i: external interrupt line of vCPU i is high */
};

extern const struct device_type plic_type;

/* A device drives its line: level-triggered.  `irq`: 1 .. 95. */
void plic_set_line(struct vm *vm, u32 irq, bool high);

/* As after an edge: one interrupt for whoever enables `irq` now; nothing happens if no context
 * does.  Returns those vCPUs (bits) whose line is high for it.  Only for a VM that does not run, and for
 * sources whose line falls at their claim. */
u32 plic_pulse(struct vm *vm, u32 irq);

/* Is the external interrupt line of this vCPU high? */
bool plic_ext_pending(struct vm *vm, u32 vcpu_id);

#endif
