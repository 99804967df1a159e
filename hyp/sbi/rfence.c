/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RFENCE (SBI 2.0 chapter 8): fences that one vCPU asks of its siblings.
 *
 * The fence must be complete when the call returns: no target may still run on
 * a translation it had before.  Each target gets the fence as a request that it
 * serves at its door, and a kick; then we wait, holding no lock, until no target
 * is in the guest with the request unserved.  A target outside the guest
 * owes the fence at its door and is not waited for: two vCPUs that fence each
 * other at once are both out here, and neither would ever see the other's door.
 *
 * Pairs with the door's "in_guest = true, then look at requests once more" (both
 * sequentially consistent): either the target sees the request before it enters,
 * or we see that it is in.
 */
#include "arch/hart.h"
#include "sbi/ext.h"

enum rfence_fid { RFENCE_FENCE_I, RFENCE_SFENCE_VMA, RFENCE_SFENCE_VMA_ASID };

#define ASID_MASK 0xffffUL

static void wait_for(const struct vcpu *target, u32 req)
{
	while (atomic_load(&target->in_guest) && atomic_load(&target->requests) & req)
		hart_relax();
}

/*
 * What the call asks for, in whole pages.  (0, 0) and size 2^64-1 mean everything; so does
 * a range that wraps or comes within a page of the top, where rounding up would wrap.
 * False: the range is empty.
 */
static bool decode(const struct sbi_call *c, struct vcpu_fence *f)
{
	u64 start = c->a[2], size = c->a[3], end = start + size;

	f->has_asid = c->fid == RFENCE_SFENCE_VMA_ASID;
	f->asid = f->has_asid ? c->a[4] & ASID_MASK : 0;
	if (start != 0 && size == 0)
		return false;
	if (size == 0 || end < start || end > UINT64_MAX - PAGE_SIZE) {
		f->start = GVA(0);
		f->len = UINT64_MAX;
		return true;
	}
	f->start = GVA(ALIGN_DOWN(start, PAGE_SIZE));
	f->len = ALIGN_UP(end, PAGE_SIZE) - f->start.v;
	return true;
}

static void fence_all(struct vcpu *v, u64 mask, const struct vcpu_fence *f)
{
	u32 n = v->vm->n_vcpus;
	u32 req = f ? VREQ_FENCE : VREQ_FENCE_I;

	for (u32 i = 0; i < n; i++) {
		if (!(mask & BIT(i)))
			continue;
		if (f)
			vcpu_post_fence(v->vm->vcpu[i], f);
		else
			vcpu_post(v->vm->vcpu[i], VREQ_FENCE_I);
	}
	for (u32 i = 0; i < n; i++)
		if (mask & BIT(i) && v->vm->vcpu[i] != v)
			wait_for(v->vm->vcpu[i], req);
}

static void rfence_call(struct vcpu *v, struct sbi_call *c)
{
	struct vcpu_fence f;
	u64 mask;

	/* HFENCE.* are for guests that have the H extension themselves: ours have not. */
	if (c->fid > RFENCE_SFENCE_VMA_ASID) {
		c->error = SBI_ERR_NOT_SUPPORTED;
		return;
	}
	if (!sbi_harts(v, c->a[0], c->a[1], &mask)) {
		c->error = SBI_ERR_INVALID_PARAM;
		return;
	}
	if (c->fid == RFENCE_FENCE_I)
		fence_all(v, mask, NULL);
	else if (decode(c, &f))
		fence_all(v, mask, &f);
	c->error = SBI_SUCCESS;
}

const struct sbi_ext sbi_rfence = {
	.name = "RFENCE", .first_eid = 0x52464e43, .last_eid = 0x52464e43, .call = rfence_call
};
