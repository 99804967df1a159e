/* SPDX-License-Identifier: BSD-2-Clause */
/* The device tree that a guest is started with. */
#ifndef DEV_GUEST_FDT_H
#define DEV_GUEST_FDT_H

#include "vm/vm.h"

/* Writes the tree of `vm` into buf; initrd_len 0: no initrd.  0 or a negative libfdt error
 * (-FDT_ERR_NOSPACE: buf_len bytes do not hold it). */
int guest_fdt_build(const struct vm *vm, const struct vm_config *c, gpa_t initrd, u64 initrd_len,
                    void *buf, u32 buf_len);

#endif
