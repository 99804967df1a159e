/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The v0.1 console calls (SBI 2.0 chapter 5), which early boot code still uses.
 * Timer, IPI, fence and shutdown of v0.1 are not there: TIME, IPI, RFENCE and
 * SRST replace them, and the probe says so.
 */
#include "sbi/ext.h"
#include "vm/device.h"

static void putchar_call(struct vcpu *v, struct sbi_call *c)
{
	lock_acquire(&v->vm->dev_lock);
	vm_console_put(v->vm, (char)c->a[0]);
	lock_release(&v->vm->dev_lock);
	c->error = SBI_SUCCESS;
}

/* The byte, or -1: a0 is all there is. */
static void getchar_call(struct vcpu *v, struct sbi_call *c)
{
	c->error = device_ops->console_take(v->vm);
}

const struct sbi_ext sbi_putchar = {
	.name = "console putchar", .first_eid = 1, .last_eid = 1, .call = putchar_call
};
const struct sbi_ext sbi_getchar = {
	.name = "console getchar", .first_eid = 2, .last_eid = 2, .call = getchar_call
};
