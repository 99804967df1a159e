/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pando's own device: how a guest asks to be frozen, learns who it is, and gets
 * work.  Registers and their meaning: docs/guest-abi.md.
 */
#ifndef DEV_MAILBOX_H
#define DEV_MAILBOX_H

#include "dev/entropy.h"
#include "vm/device.h"

#define MAILBOX_MAGIC   0x444e4150U /* "PAND" */
#define MAILBOX_VERSION 2U

enum mailbox_reg { /* byte offsets; 32 bits each */
	           MAILBOX_REG_MAGIC = 0x00,
	           MAILBOX_REG_VERSION = 0x04,
	           MAILBOX_REG_READY = 0x08,
	           MAILBOX_REG_CLONE_ID = 0x0c,
	           MAILBOX_REG_GENERATION = 0x10,
	           MAILBOX_REG_NEXT = 0x14,
	           MAILBOX_REG_DONE = 0x18,
	           MAILBOX_REG_ENTROPY = 0x1c,
	           MAILBOX_REG_WINDOW_LEN = 0x20,
	           MAILBOX_REG_WINDOW_LEN_HIGH = 0x24,
	           MAILBOX_REG_STATUS = 0x28,
	           MAILBOX_REG_MARK = 0x2c,
	           MAILBOX_REG_CLOCK = 0x30,
	           MAILBOX_REG_CLOCK_HIGH = 0x34,
	           MAILBOX_REG_CLOCK_NS = 0x38,
	           MAILBOX_REGS_END = 0x40,
};

struct mailbox {
	u32 work_len; /* bytes in the window, valid if has_work */
	bool has_work;
	u8 n_random; /* words left in random[] */
	u8 status;   /* enum vm_result_status of the next DONE */
	u32 random[ENTROPY_BLOCK_WORDS];
	u32 clock_high, clock_ns; /* what the last load of CLOCK has latched */
};

extern const struct device_type mailbox_type;

/* A clone gets work: a payload of `len` bytes is in its window.  Takes dev_lock. */
void mailbox_give_work(struct vm *vm, u32 len);

#endif
