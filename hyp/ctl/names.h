/* SPDX-License-Identifier: BSD-2-Clause */
/* Words for numbers of the floors below, and VMs by their names. */
#ifndef CTL_NAMES_H
#define CTL_NAMES_H

#include "ctl/command.h"
#include "vm/vm.h"

const char *name_of_state(u32 vm_state);
const char *name_of_sched(u32 sched_state);
const char *name_of_hsm(u32 hsm_state);
const char *name_of_exit(u32 exit_class);
const char *name_of_break(u32 break_class);
const char *name_of_frame(u32 frame_class);
const char *name_of_isolation(bool strong);

/* May people call an image or a function so?  1 to 31 characters of A-Za-z0-9._- */
#define NAME_PLAIN_LEN 32 /* with its NUL */
bool name_is_plain(const char *name);

/* With figures, if they say more than err_name(). */
const char *name_of_err(enum err e);

/* The most important reason not to run: "ready", "no memory", ... or "-". */
const char *name_of_holds(u32 holds);

/* Finds a VM by NAME or #ID and takes a reference; the message names what was not found. */
enum err must_check cmd_take_vm(struct cmd *c, const char *name, struct vm **vm);

/* For commands that do something to the one VM that their first word names: finds it, calls fn, says
 * why if fn failed without a message. */
enum err must_check cmd_on_vm(struct cmd *c, enum err (*fn)(struct cmd *c, struct vm *vm));

#endif
