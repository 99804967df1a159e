/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers that wait until a VM has stored READY. */
#ifndef CTL_AWAIT_H
#define CTL_AWAIT_H

#include "ctl/command.h"
#include "vm/vm.h"

/* The answer to `c` comes when `vm` is ready and stands still, or cannot be any more, or after `ns`.  ERR_NOMEM. */
enum err must_check await_ready(struct cmd *c, struct vm *vm, u64 ns);

/* Something has happened to `vm`, and has been dealt with. */
void await_event(struct vm *vm, u32 events);

/* Somebody has killed it. */
void await_killed(struct vm *vm);

void await_poll(void);
u64 await_deadline(void); /* host ticks: when await_poll() is to be called at the latest */

#endif
