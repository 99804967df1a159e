/* SPDX-License-Identifier: BSD-2-Clause */
/* What a call's answer says besides its result. */
#ifndef CTL_CALL_REPORT_H
#define CTL_CALL_REPORT_H

#include "ctl/call.h"
#include "ctl/command.h"

/* The time line and the figures of a call that is over; a message if it has failed. */
void call_report(struct cmd *c, const struct call *call);

/* "fresh", "reset", "keep" */
const char *call_mode_word(enum call_mode mode);

#endif
