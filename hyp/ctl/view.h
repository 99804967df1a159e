/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which guests' consoles are on the screen.  A watched VM's output is shown in
 * whole lines behind its name; at most one VM is attached: its output is shown as
 * it comes, and what is typed goes to it until Ctrl-].
 */
#ifndef CTL_VIEW_H
#define CTL_VIEW_H

#include "lib/err.h"
#include "vm/vm.h"

#define VIEW_ESCAPE 0x1d /* Ctrl-] */

/* ERR_LIMIT: enough VMs are watched.  Watching twice is harmless. */
enum err must_check view_watch(struct vm *vm);
void view_unwatch(struct vm *vm);
bool view_is_watched(const struct vm *vm);

/* Shows what the VM has buffered, then attaches to it. */
void view_attach(struct vm *vm);
void view_detach(void);
struct vm *view_attached(void); /* NULL: nobody */

/* A byte typed while attached. */
void view_input(char c);

/* When view_poll() is to try again what a guest's full input FIFO did not take: host ticks, or
 * TIME_NEVER. */
u64 view_deadline(void);

/* Shows new output, passes waiting input on; forgets VMs that have died. */
void view_poll(void);

#endif
