/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The demo: boot a guest, freeze it, clone it N times, let every clone compute
 * something, check it, kill everything, check that nothing is left.
 */
#ifndef CTL_DEMO_H
#define CTL_DEMO_H

#include "ctl/bundle.h"
#include "vm/vm.h"

/* Begins; the rest happens in demo_event() and demo_poll(). n = 0: as many as the bundle says.
 * `power_off`: turns the machine off at the end, with 0 for PASS and 1 for FAIL.
 * On failure *why is one line. */
enum err must_check demo_start(u32 n, bool power_off, const char **why);

bool demo_is_running(void);

/* The job ends as a failure. */
void demo_cancel(void);

/* Something happened to `vm`, or it was killed (VM_EV_OFF); true: it is the demo's, and needs no message. */
bool demo_event(struct vm *vm, u32 events);

/* The next step, if its time has come. */
void demo_poll(void);

/* When demo_poll() must be called at the latest: host ticks, or TIME_NEVER. */
u64 demo_deadline(void);

#endif
