/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of devices: what the vm floor walks to create, clone and access them.
 * A new device is a file beside this one and a line in dev_types.
 */
#include "dev/dev.h"
#include "dev/guest_fdt.h"
#include "dev/mailbox.h"
#include "dev/plic.h"
#include "dev/uart.h"
#include "dev/vmgenid.h"

const struct device_type *const dev_types[DEV_N] = {
	[DEV_PLIC] = &plic_type,
	[DEV_UART] = &uart_type,
	[DEV_MAILBOX] = &mailbox_type,
	[DEV_VMGENID] = &vmgenid_type,
};

/* Each slice is aligned for the next one's largest member. */
_Static_assert(ALIGN_UP(sizeof(struct plic), 8) + ALIGN_UP(sizeof(struct uart), 8) +
                               ALIGN_UP(sizeof(struct mailbox), 8) +
                               ALIGN_UP(sizeof(struct vmgenid), 8) <=
                       VM_DEV_STATE_LEN,
               "device state does not fit into a VM record");

static const struct device_ops ops = {
	.types = dev_types,
	.n_types = DEV_N,
	.ext_pending = plic_ext_pending,
	.build_fdt = guest_fdt_build,
	.console_input = uart_input,
	.console_take = uart_take,
	.console_has_input = uart_has_input,
	.give_work = mailbox_give_work,
};

void dev_init(void)
{
	device_set_ops(&ops);
}
