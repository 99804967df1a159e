/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls to the firmware below (SBI specification v2.0; chapter names in brackets).
 * The SBI that Pando offers to its guests is hyp/sbi and never forwards here.
 */
#ifndef ARCH_FIRMWARE_H
#define ARCH_FIRMWARE_H

#include "lib/err.h"
#include "lib/types.h"

/* What a call came back with: `error` is 0 or an SBI error code < 0. */
struct firmware_ret {
	s64 error;
	s64 value;
};

/* Is there an SBI of at least v0.2 with TIME, IPI and HSM?  If not, `*why` says so. */
enum err firmware_probe(const char **why);

/* [HSM] Starts hart `id` at physical address `pc` with a1 = opaque, translation off. */
s64 firmware_hart_start(u64 id, u64 pc, u64 opaque);

/* [IPI] Supervisor software interrupt to the one hart `id`. */
void firmware_send_ipi(u64 id);

/* [TIME] Timer interrupt of this hart at `deadline_ticks`; UINT64_MAX: never. */
void firmware_set_timer(u64 deadline_ticks);

/* [SRST] Shutdown; the reason tells a failure from a normal end.  Returns if refused. */
void firmware_shutdown(bool is_failure);

/* [DBCN], or the legacy console: writes `len` bytes as they are; waits for the UART. */
void firmware_console_write(const char *text, size_t len);

#endif
