/* SPDX-License-Identifier: BSD-2-Clause */
/* External interrupts of the machine (PLIC): registered at boot, handled in HS-mode. */
#ifndef DRV_IRQ_H
#define DRV_IRQ_H

#include "lib/types.h"

void irq_init(void);      /* once: priorities off, no context enabled */
void irq_hart_init(void); /* each hart: threshold 0, enables registered sources on hart 0 */

/* Source `irq` of the machine's PLIC goes to `handler` from now on. */
void irq_register(u32 irq, void (*handler)(void *arg), void *arg);

/* Claims, handles and completes everything pending on this hart (on HART_EV_EXT). */
void irq_dispatch(void);

#endif
