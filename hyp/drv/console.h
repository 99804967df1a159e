/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's UART as Pando's console: bytes out at once or not at all, bytes in through a ring. */
#ifndef DRV_CONSOLE_H
#define DRV_CONSOLE_H

#include "lib/types.h"

/* Takes over from the firmware console, enables the receive interrupt. */
void console_init(void);

/* Writes `len` bytes, '\n' as "\r\n"; atomic with respect to other writers.  What the UART does not take for
 * a while is lost, and how much is said later. */
void console_write(const char *text, size_t len);
void console_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Next byte typed, or -1. */
int console_getc(void);

/* Has input arrived that nobody read yet?  Cheap; for the hart loop. */
bool console_has_input(void);

#endif
