/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPI (SBI 2.0 chapter 7): supervisor software interrupts between the vCPUs of
 * one VM.  A vCPU that is stopped has nothing that could be interrupted, and
 * must not find a stale interrupt when it is started.
 */
#include "arch/csr_bits.h"
#include "sbi/ext.h"

enum ipi_fid { IPI_SEND };

static void ipi_call(struct vcpu *v, struct sbi_call *c)
{
	u64 mask;

	if (c->fid != IPI_SEND) {
		c->error = SBI_ERR_NOT_SUPPORTED;
		return;
	}
	if (!sbi_harts(v, c->a[0], c->a[1], &mask)) {
		c->error = SBI_ERR_INVALID_PARAM;
		return;
	}
	for (u32 i = 0; i < v->vm->n_vcpus; i++)
		if (mask & BIT(i) && atomic_load(&v->vm->vcpu[i]->hsm) != HSM_STOPPED)
			vcpu_raise(v->vm->vcpu[i], HVIP_VSSIP);
	c->error = SBI_SUCCESS;
}

const struct sbi_ext sbi_ipi = {
	.name = "IPI", .first_eid = 0x735049, .last_eid = 0x735049, .call = ipi_call
};
