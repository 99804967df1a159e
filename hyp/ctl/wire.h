/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control protocol (docs/control.md): the table of commands, for programs on the
 * host, over the ports of the machine's virtio console.
 */
#ifndef CTL_WIRE_H
#define CTL_WIRE_H

#include "ctl/command.h"
#include "vm/vm.h"

/* Takes what has come in, runs requests, sends what can be sent. */
void wire_poll(void);

/* What has been answered since goes out now. */
void wire_flush(void);

/* Is there something to do now? A few loads. */
bool wire_wanted(void);

/* When wire_poll() is to be called though nothing comes in: host ticks, or TIME_NEVER. */
u64 wire_deadline(void);

/* Did this line come over a port?  Then what goes to the machine's own screen is not for it. */
bool wire_is_caller(const struct cmd *c);

/* `on`: the caller's connection is told of events from now on. */
enum err must_check wire_set_events(struct cmd *c, bool on);

/* One event of a VM, for all who asked: `key` and a text or a number more, or NULL. */
void wire_tell(const struct vm *vm, const char *event);
void wire_tell_text(const struct vm *vm, const char *event, const char *key, const char *text);
void wire_tell_number(const struct vm *vm, const char *event, const char *key, u64 number);

#endif
