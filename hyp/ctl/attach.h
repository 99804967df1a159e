/* SPDX-License-Identifier: BSD-2-Clause */
/* Consoles of guests at ports of the machine's virtio console: pando.console.K. */
#ifndef CTL_ATTACH_H
#define CTL_ATTACH_H

#include "lib/err.h"
#include "vm/vm.h"

/* What the VM says goes to port K from now on, and what comes from there to the VM.
 * ERR_ABSENT: there is no such port; ERR_STATE: the VM's console is open in the shell. */
enum err must_check attach_bind(struct vm *vm, u64 k);
enum err must_check attach_unbind(u64 k);

/* Is it at a port? */
bool attach_has(const struct vm *vm);

/* Passes bytes on, both ways. */
void attach_poll(void);

/* When that is to be done though nothing is known: host ticks, or TIME_NEVER. */
u64 attach_deadline(void);

#endif
