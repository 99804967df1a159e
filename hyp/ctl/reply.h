/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers that come later than their command returns; see ctl/command.h. */
#ifndef CTL_REPLY_H
#define CTL_REPLY_H

#include "ctl/command.h"

struct reply {
	const struct cmd_caller *caller;
	void (*dropped)(void *arg);
	void *arg;
};

/* Begins the answer: what is written to the struct cmd goes into it.  One at a time, and it is closed
 * before control does anything else. */
struct cmd *reply_open(struct reply *r);

/* Ends it, as a command does by returning; the reply is gone. */
void reply_close(struct cmd *c, enum err e);

/* For callers: nobody waits for the answer any more. */
void reply_drop(struct reply *r);

/* For callers: c's state before a command, or an answer, begins. */
void reply_clear(struct cmd *c);

/* For callers: c's payload as text, with a dot for each byte that is none, cut at 4 KiB. */
void reply_show_payload(struct cmd *c);

#endif
