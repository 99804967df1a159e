/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's serial port, and the way in for what a person types at it. */
#ifndef DEV_UART_H
#define DEV_UART_H

#include "vm/device.h"

#define UART_INPUT_LEN 64U

struct uart {
	u8 ier, lcr, mcr, fcr, scr, dll, dlm; /* registers as written, unused bits clear */
	bool overrun;                         /* LSR.OE */
	bool thre_pending;                    /* transmitter empty, not yet told through IIR */
	bool irq_line;                        /* what the PLIC was told last */
	u8 head, n_input;                     /* oldest byte of the ring, and how many */
	u8 input[UART_INPUT_LEN];
};

extern const struct device_type uart_type;

/* One byte typed at the guest's console.  False: not now, its input is full, in loopback, or
 * the VM is a template.  Takes dev_lock. */
bool uart_input(struct vm *vm, char c);

/* For firmware's console, whatever state the guest has its registers in.  The oldest byte that it has not
 * taken yet, or -1; whether there is one.  Both take dev_lock. */
int uart_take(struct vm *vm);
bool uart_has_input(struct vm *vm);

#endif
