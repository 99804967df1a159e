/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SBI as guests see it: one file per extension behind one table.  The answers of
 * BASE's probe function fall out of the table.  Never forwards a call to firmware.
 */
#ifndef SBI_SBI_H
#define SBI_SBI_H

#include "lib/types.h"
#include "vm/vcpu.h"

#define SBI_SUCCESS               0L
#define SBI_ERR_FAILED            (-1L)
#define SBI_ERR_NOT_SUPPORTED     (-2L)
#define SBI_ERR_INVALID_PARAM     (-3L)
#define SBI_ERR_DENIED            (-4L)
#define SBI_ERR_INVALID_ADDRESS   (-5L)
#define SBI_ERR_ALREADY_AVAILABLE (-6L)
#define SBI_ERR_ALREADY_STARTED   (-7L)
#define SBI_ERR_ALREADY_STOPPED   (-8L)
#define SBI_ERR_NO_SHMEM          (-9L)

struct sbi_call {
	const u64 *a; /* in: a0 .. a5, where the guest's registers lie */
	u64 fid;      /* in: a6 */
	u64 eid;      /* in: a7 */
	long error;
	u64 value;
	bool no_return; /* registers were set anew or the vCPU stops: leave a0, a1, sepc alone */
};

struct sbi_ext {
	const char *name;
	u64 first_eid, last_eid;
	void (*call)(struct vcpu *v, struct sbi_call *c);
};

/* Handles the ecall in v->regs: a0/a1 set and sepc advanced unless no_return. */
void sbi_handle(struct vcpu *v);

/* Extension that serves `eid`, or NULL; for BASE's probe. */
const struct sbi_ext *sbi_find(u64 eid);

/* The vCPUs that (hart_mask, hart_mask_base) names, as a mask by vCPU id.  base = -1: all.
 * False: a bit names a hart that the VM does not have (SBI_ERR_INVALID_PARAM). */
bool must_check sbi_harts(const struct vcpu *v, u64 hart_mask, u64 base, u64 *vcpu_mask);

#endif
