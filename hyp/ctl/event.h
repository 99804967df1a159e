/* SPDX-License-Identifier: BSD-2-Clause */
/* What VMs have to say to whoever controls them. */
#ifndef CTL_EVENT_H
#define CTL_EVENT_H

/* Takes all events that are queued: the demo gets its own, the rest becomes log lines. */
void event_take_all(void);

#endif
