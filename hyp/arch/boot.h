/* SPDX-License-Identifier: BSD-2-Clause */
/* Bring-up of arch: what main.c calls once, in this order. */
#ifndef ARCH_BOOT_H
#define ARCH_BOOT_H

#include "arch/hart.h"
#include "lib/err.h"
#include "lib/types.h"

/* Entry from boot.S on the boot hart, with translation off, on its own stack. */
_Noreturn void pando_main(u64 boot_hart_id, const void *fdt);

/* Names the boot hart; it has index 0. */
void hart_init_boot(u64 id);

/* Names the harts that hart_start_all() will start: ids[0] is the boot hart. */
void hart_set_ids(const u64 *ids, u32 n);

/* Starts every hart but the boot hart (SBI HSM); each gets Pando's page table and
 * its own stack, then calls `entry`, which must not return.  A hart that firmware
 * refuses to start is left out, with a line in the log; returns when the others run. */
void hart_start_all(void (*entry)(void));

/* Waits for ever: what a hart does after a panic elsewhere. */
_Noreturn void hart_park(void);

/* Checks what Pando cannot do without and completes `machine` by probing: CSRs that
 * the isa string promises, VMID width, who updates A/D bits.  Runs on the boot hart
 * before any guest.  On failure `*why` is one clear line for the user. */
enum err probe_machine(const char **why);

/* Translation is on, the table is complete: does the machine leave A/D bits in
 * G-stage read-only pages alone?  Sets machine.isolation_strong.  Needs vcpu_enter(). */
void probe_isolation(void);

#endif
