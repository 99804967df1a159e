/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The devices that a guest sees, as members of one table (dev/table.c).
 *
 * Their registers lie where QEMU's virt machine has them, so that an image built
 * for that machine boots; the mailbox takes virt's platform-bus region, which
 * guests of Pando do not have.
 */
#ifndef DEV_DEV_H
#define DEV_DEV_H

#include "vm/device.h"

enum dev_index { DEV_PLIC, DEV_UART, DEV_MAILBOX, DEV_VMGENID, DEV_N };

/* In the order of enum dev_index. */
extern const struct device_type *const dev_types[DEV_N];

/* Hands the table to the vm floor; once at boot, before the first VM. */
void dev_init(void);

/* Phandles of a guest's device tree: the interrupt controller of vCPU `id`, and the PLIC. */
#define DEV_PHANDLE_INTC(id) (1U + (id))
#define DEV_PHANDLE_PLIC     0x40U

#endif
