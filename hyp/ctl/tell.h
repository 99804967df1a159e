/* SPDX-License-Identifier: BSD-2-Clause */
/* What people read about events of VMs, and programs on the host, and the end of a machine whose guests have ended. */
#ifndef CTL_TELL_H
#define CTL_TELL_H

#include "vm/vm.h"

/* A line in the log for each event that is worth one, unless the VM has had too many, and for each connection that
 * wants events. */
void tell_event(struct vm *vm, u32 events);

/* `vm` is off. */
void tell_off(const struct vm *vm);

/* After a round of events: if the bundle says quit-when-off, the machine goes off with its last VM, with an exit code
 * that says whether every guest has ended of its own will. */
void tell_quit(void);

#endif
