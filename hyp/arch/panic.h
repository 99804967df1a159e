/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of a hypervisor bug: everything a developer needs, by the firmware's
 * console (no lock, no driver), then power off with PANIC_EXIT_CODE.
 * panic() itself is declared in lib/assert.h.
 */
#ifndef ARCH_PANIC_H
#define ARCH_PANIC_H

#include "arch/trap.h"
#include "lib/assert.h"
#include "lib/types.h"

#define PANIC_EXIT_CODE 101U

/* Writes what this hart is doing, e.g. the VM and vCPU, to buf[len] as a string. */
void panic_set_context_hook(void (*hook)(char *buf, size_t len));

/* Turns the machine off with `code`; drv installs it. */
void panic_set_power_hook(void (*hook)(u32 code));

/* panic() with the registers of a trap. */
_Noreturn void panic_trap(const struct trap_frame *frame, const char *what);

/* Has some hart panicked?  The others stop as soon as they look. */
bool panic_is_on(void);

#endif
