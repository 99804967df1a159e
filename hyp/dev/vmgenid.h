/* SPDX-License-Identifier: BSD-2-Clause */
/* The generation id: 128 bits that are other for each VM, clone, fork child and reset. */
#ifndef DEV_VMGENID_H
#define DEV_VMGENID_H

#include "vm/device.h"

#define VMGENID_LEN 16U /* bytes */
#define VMGENID_IRQ 64U /* PLIC source: the first of virt's platform bus, as the mailbox's page */

struct vmgenid {
	u64 id[VMGENID_LEN / 8];
	bool has_id; /* it is drawn when the guest first looks */
};

extern const struct device_type vmgenid_type;

#endif
