/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of SBI extensions, and the calling convention (SBI 2.0, chapter 3
 * "Binary Encoding"): a7 is the extension, a6 the function, a0 the error and
 * a1 the value.  The calls of v0.1 answer in a0 alone and leave a1 as it was.
 */
#include "sbi/ext.h"

enum { X_A0 = 10, X_A1 = 11, X_A6 = 16, X_A7 = 17 };

#define ECALL_LEN       4U    /* there is no compressed ecall */
#define LEGACY_LAST_EID 0xfUL /* SBI 2.0 chapter 5: 0x00 to 0x0f are v0.1's */

static const struct sbi_ext *const table[] = {
	&sbi_base, &sbi_time, &sbi_ipi,     &sbi_rfence,  &sbi_hsm,
	&sbi_srst, &sbi_dbcn, &sbi_putchar, &sbi_getchar,
};

const struct sbi_ext *sbi_find(u64 eid)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (eid >= table[i]->first_eid && eid <= table[i]->last_eid)
			return table[i];
	return NULL;
}

bool sbi_harts(const struct vcpu *v, u64 hart_mask, u64 base, u64 *vcpu_mask)
{
	u32 n = v->vm->n_vcpus;

	*vcpu_mask = 0;
	if (base == UINT64_MAX) {
		*vcpu_mask = BIT(n) - 1;
		return true;
	}
	if (hart_mask == 0)
		return true;
	/* base < n <= VM_MAX_VCPUS from here on, so no shift reaches 64. */
	if (base >= n || hart_mask >> (n - base) != 0)
		return false;
	*vcpu_mask = hart_mask << base;
	return true;
}

void sbi_handle(struct vcpu *v)
{
	u64 *x = v->regs.x;
	struct sbi_call c = {
		.a = &x[X_A0], .fid = x[X_A6], .eid = x[X_A7], .error = SBI_ERR_NOT_SUPPORTED
	};
	const struct sbi_ext *ext = sbi_find(c.eid);

	if (ext)
		ext->call(v, &c);
	if (c.no_return)
		return;
	x[X_A0] = (u64)c.error;
	if (c.eid > LEGACY_LAST_EID)
		x[X_A1] = c.value;
	v->regs.sepc += ECALL_LEN;
}
