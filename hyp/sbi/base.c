/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * BASE (SBI 2.0 chapter 4): who we are and what we offer.  The machine's ids
 * read as 0, "not implemented": a clone may be looked at on another machine,
 * and no guest needs to know which core it is on.
 */
#include "sbi/ext.h"

#define SPEC_VERSION 0x02000000UL /* major in bits 30:24, minor below */
#define IMPL_ID      0x70616e64UL /* "pand": the spec's list has no number for Pando */
#define IMPL_VERSION 1UL

enum base_fid {
	BASE_SPEC_VERSION,
	BASE_IMPL_ID,
	BASE_IMPL_VERSION,
	BASE_PROBE,
	BASE_MVENDORID,
	BASE_MARCHID,
	BASE_MIMPID,
};

static void base_call(struct vcpu *v, struct sbi_call *c)
{
	(void)v;
	c->error = SBI_SUCCESS;
	switch (c->fid) {
	case BASE_SPEC_VERSION: c->value = SPEC_VERSION; break;
	case BASE_IMPL_ID: c->value = IMPL_ID; break;
	case BASE_IMPL_VERSION: c->value = IMPL_VERSION; break;
	case BASE_PROBE: c->value = sbi_find(c->a[0]) != NULL; break;
	case BASE_MVENDORID:
	case BASE_MARCHID:
	case BASE_MIMPID: c->value = 0; break;
	default: c->error = SBI_ERR_NOT_SUPPORTED; break;
	}
}

const struct sbi_ext sbi_base = {
	.name = "BASE", .first_eid = 0x10, .last_eid = 0x10, .call = base_call
};
