/* SPDX-License-Identifier: BSD-2-Clause */
/* What VMs have to say to whoever controls them. */
#ifndef CTL_EVENT_H
#define CTL_EVENT_H

#include "vm/nomem.h"
#include "vm/vm.h"

/* Takes all events that are queued: the demo gets its own, the rest becomes log lines. */
void event_take_all(void);

/* Host ticks: when event_take_all() has something to look into though nothing has happened. */
u64 event_deadline(void);

/* Kills a VM that somebody may be waiting for. */
void event_kill(struct vm *vm);

#endif
