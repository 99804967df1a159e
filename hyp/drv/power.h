/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DRV_POWER_H
#define DRV_POWER_H

#include "lib/types.h"

/* Turns the machine off.  QEMU exits with `code` (0..127) where the machine has the
 * sifive,test finisher; else SBI SRST says shutdown, with "system failure" if code != 0. */
_Noreturn void power_off(u32 code);

#endif
