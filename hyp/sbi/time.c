/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TIME (SBI 2.0 chapter 6): for guests that do not use Sstc.
 */
#include "sbi/ext.h"

enum time_fid { TIME_SET_TIMER };

static void time_call(struct vcpu *v, struct sbi_call *c)
{
	if (c->fid != TIME_SET_TIMER) {
		c->error = SBI_ERR_NOT_SUPPORTED;
		return;
	}
	/* It takes back a pending timer interrupt, as the spec asks. */
	vcpu_set_timer(v, c->a[0]);
	c->error = SBI_SUCCESS;
}

const struct sbi_ext sbi_time = {
	.name = "TIME", .first_eid = 0x54494d45, .last_eid = 0x54494d45, .call = time_call
};
