/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SRST (SBI 2.0 chapter 10): the guest ends itself.  Every kind of reset stops the
 * VM and says why; whether it is booted anew is for who controls it.
 */
#include "sbi/ext.h"

enum srst_fid { SRST_RESET };
enum reset_type { RESET_SHUTDOWN, RESET_COLD_REBOOT, RESET_WARM_REBOOT };
enum reset_reason { REASON_NONE, REASON_SYSTEM_FAILURE };

static void srst_call(struct vcpu *v, struct sbi_call *c)
{
	/* Both parameters are 32 bits wide: what lies above them is ignored. */
	u32 type = (u32)c->a[0], reason = (u32)c->a[1];
	const char *words;

	if (c->fid != SRST_RESET) {
		c->error = SBI_ERR_NOT_SUPPORTED;
		return;
	}
	if (type > RESET_WARM_REBOOT || reason > REASON_SYSTEM_FAILURE) {
		c->error = SBI_ERR_INVALID_PARAM;
		return;
	}
	words = type == RESET_SHUTDOWN ? "shut down" : "reboot";
	vm_stop(v->vm, reason == REASON_SYSTEM_FAILURE ? "system failure" : words);
	c->no_return = true;
}

const struct sbi_ext sbi_srst = {
	.name = "SRST", .first_eid = 0x53525354, .last_eid = 0x53525354, .call = srst_call
};
