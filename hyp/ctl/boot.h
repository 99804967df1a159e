/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's bundle, and VMs made from its entries. */
#ifndef CTL_BOOT_H
#define CTL_BOOT_H

#include "ctl/bundle.h"

extern struct bundle boot_images; /* I: set by boot_bundle() */

/* Reads the bundle and starts what it names; a bundle that is missing or broken, or a VM that
 * cannot boot, is one clear line, and the machine goes off with code 1. */
void boot_bundle(void);

/* Boots `n` VMs from one entry: NAME, NAME-2, ...; `hold`: they stop at READY.  Their consoles
 * are shown while there is room.  `*last`: the youngest.  On failure *why is one line; the
 * ones before it run. */
enum err must_check boot_vms(const struct bundle_vm *v, u64 n, bool hold, struct vm **last,
                             const char **why);

/* Boots one VM.  On failure *why is one line. */
enum err must_check boot_vm(const struct vm_config *c, struct vm **out, const char **why);

#endif
