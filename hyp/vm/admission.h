/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Admission: a VM with the policy memory=reserve comes to life only if its worst
 * case fits (mm/promise.h), and then never runs out of memory.  A template is
 * never written, so it is promised nothing; its policy is what its clones get.
 *
 * Called by commands, one at a time.
 */
#ifndef VM_ADMISSION_H
#define VM_ADMISSION_H

#include "lib/err.h"
#include "vm/vm.h"

/* Promises the worst case to a VM that is being made, or lives.  ERR_RESERVE. */
enum err must_check admission_take(struct vm *vm);

/* Makes the policy of a VM that is being made take effect on its space.  ERR_RESERVE. */
enum err must_check admission_admit(struct vm *vm);

/* Looks for the memory that admission_renew() will want, while the VM may still run.  ERR_RESERVE. */
enum err must_check admission_seek(struct vm *vm, u32 n);

/* The same before a fork; a child that is to be reserved has its console's ring then. */
enum err must_check admission_seek_fork(struct vm *parent, struct vm *child);

/* The same promise anew for a VM that stands still, before a reset (`n` = 1) or a fork (2); of a VM that is not reserved:
 * nothing.  ERR_RESERVE. */
enum err must_check admission_renew(struct vm *vm, u32 n);

/* Changes a VM's policy.  ERR_RESERVE: it is as it was. */
enum err must_check admission_set_policy(struct vm *vm, const struct vm_policy *p);

/* "reserve: wants 258.5 MiB, 120.0 MiB left": the last one that was refused. */
const char *admission_why(void);

#endif
