/* SPDX-License-Identifier: BSD-2-Clause */
/* A quiet machine, for commands that count everything: VMs that run are paused, and go on afterwards. */
#ifndef CTL_STILL_H
#define CTL_STILL_H

#include "ctl/command.h"

void still_begin(void);

/* Says so if a VM cannot go on. */
void still_end(struct cmd *c);

#endif
