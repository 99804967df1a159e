/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests, holds, the door, virtual time, and a vCPU's way in and out of a hart.
 *
 * No wake-up is lost because every change follows one order: first the bit
 * (requests, raise, holds), then sched_wake(), which takes the lock of the home
 * run queue.  Whoever puts a vCPU to sleep looks at the bits under that lock
 * (sched.c), so it comes either before the wake-up, which then finds a sleeper,
 * or after it, and sees the bit.  A vCPU that runs is kicked: the kick is a
 * pending interrupt of its hart, so it leaves the guest again even if it was on
 * its way from the door into it.
 *
 * The guest clears hvip.VSSIP by itself while it runs.  So no other hart writes
 * hvip: it sets a bit in `raise`, and the owner's door adds that to the live hvip;
 * an IPI that meets the guest's own clear comes after it.
 */
#include "vm/vcpu.h"
#include "arch/csr.h"
#include "arch/fence.h"
#include "lib/assert.h"
#include "vm/account.h"
#include "vm/device.h"
#include "vm/sched.h"
#include <string.h>

/* A range of more pages than this is cheaper to flush whole. */
#define FENCE_PAGES_MAX 64U

/* vsie and vsip have bit n-1 where hvip has bit n (privileged spec, "vsip and vsie"). */
#define HVIP_TO_VSIP(hvip) ((hvip) >> 1)

/* What the guest cannot see coming by itself: another hart asks for it, so it goes first. */
#define REQUESTS_SOON (VREQ_IRQ | VREQ_FENCE | VREQ_FENCE_I)

static struct vcpu *current[HART_MAX]; /* each hart's own */

struct vcpu *vcpu_current(void)
{
	return current[hart_index()];
}

void vcpu_post(struct vcpu *v, u32 req)
{
	atomic_fetch_or(&v->requests, req);
	sched_wake(v, (req & REQUESTS_SOON) != 0);
}

void vcpu_raise(struct vcpu *v, u64 hvip_bits)
{
	atomic_fetch_or(&v->raise, hvip_bits);
	vcpu_post(v, VREQ_IRQ);
}

void vcpu_post_fence(struct vcpu *v, const struct vcpu_fence *f)
{
	lock_acquire(&v->fence_lock);
	if (v->n_fences < VCPU_FENCES_MAX)
		v->fence[v->n_fences] = *f;
	if (v->n_fences <= VCPU_FENCES_MAX)
		v->n_fences++;
	lock_release(&v->fence_lock);
	vcpu_post(v, VREQ_FENCE);
}

void vcpu_hold(struct vcpu *v, u32 holds)
{
	atomic_fetch_or(&v->holds, holds);
	vcpu_post(v, VREQ_RESCHED);
}

void vcpu_unhold(struct vcpu *v, u32 holds)
{
	atomic_fetch_and(&v->holds, ~holds);
	sched_wake(v, false);
}

u64 vcpu_time(const struct vcpu *v)
{
	return time_now() + v->vm->time_delta;
}

static u64 saved_deadline(const struct vcpu *v)
{
	return machine.has_sstc ? v->csrs.vstimecmp : v->soft_deadline;
}

static u64 live_deadline(const struct vcpu *v)
{
	return machine.has_sstc ? csr_read(vstimecmp) : v->soft_deadline;
}

u64 vcpu_wake_ticks(const struct vcpu *v)
{
	u64 deadline = saved_deadline(v);
	u64 host = time_now(), guest = host + v->vm->time_delta;

	if (deadline <= guest)
		return host;
	/* Not deadline - delta: that wraps for what the guest calls infinity. */
	return deadline - guest > TIME_NEVER - host ? TIME_NEVER : host + (deadline - guest);
}

void vcpu_set_timer(struct vcpu *v, u64 deadline)
{
	v->soft_deadline = deadline;
	if (!v->is_loaded) {
		v->csrs.vstimecmp = deadline;
		v->csrs.hvip &= ~HVIP_VSTIP;
		return;
	}
	if (machine.has_sstc) {
		csr_write(vstimecmp, deadline);
		return;
	}
	csr_clear(hvip, HVIP_VSTIP);
	sched_rearm();
}

static bool is_enabled(const struct vcpu *v, u64 hvip, u64 deadline, u64 vsie)
{
	hvip |= atomic_load(&v->raise);
	/* Whether the line is high is known only under dev_lock: the door will see. */
	if (atomic_load(&v->requests) & VREQ_EXT)
		hvip |= HVIP_VSEIP;
	if (deadline <= vcpu_time(v))
		hvip |= HVIP_VSTIP;
	return (HVIP_TO_VSIP(hvip) & vsie) != 0;
}

bool vcpu_has_interrupt(const struct vcpu *v)
{
	return is_enabled(v, v->csrs.hvip, saved_deadline(v), v->csrs.vsie);
}

bool vcpu_has_interrupt_live(const struct vcpu *v)
{
	return is_enabled(v, csr_read(hvip), live_deadline(v), csr_read(vsie));
}

bool vcpu_enables_timer(const struct vcpu *v)
{
	return (HVIP_TO_VSIP(HVIP_VSTIP) & v->csrs.vsie) != 0;
}

bool vcpu_can_run(const struct vcpu *v)
{
	/* Relaxed: whoever sets a hold takes the lock of its run queue afterwards. */
	return atomic_load_explicit(&v->holds, memory_order_relaxed) == 0 &&
	       (!v->in_wfi || vcpu_has_interrupt(v));
}

void vcpu_start_at(struct vcpu *v, u64 pc, u64 opaque)
{
	assert(!v->is_loaded);
	guest_reset(&v->regs, &v->csrs, &v->units, pc, v->id, opaque);
	v->soft_deadline = TIME_NEVER;
	v->in_wfi = false;
	v->last_hart = 0; /* no hart has what was just written */
	atomic_store(&v->raise, 0);
	/* Its external interrupt may have been high all along, and only a change is posted. */
	atomic_fetch_or(&v->requests, VREQ_EXT);
}

/*
 * The order of a switch: vsatp is 0 from vcpu_unload() on, hgatp changes in
 * space_attach(), then the new vsatp comes with the other CSRs; so no walk ever
 * combines one VM's vsatp with another's hgatp.
 */
void vcpu_load(struct vcpu *v)
{
	u32 here = hart_index() + 1;
	bool moved = v->last_hart != here;

	account_load(v);
	if (atomic_load_explicit(&v->vm->time_waits, memory_order_acquire))
		vm_begin_time(v->vm);
	guest_drop_reservation();
	space_attach(&v->vm->space, v->id, moved);
	guest_load(&v->regs, &v->csrs, &v->units, v->vm->time_delta, moved);
	v->is_loaded = true;
	current[here - 1] = v;
	v->last_hart = here;
	/* Pairs with the guest's own stores on the hart it comes from: a fence.i that it executed
	 * there did nothing here. */
	if (moved)
		fence_i();
}

void vcpu_unload(struct vcpu *v)
{
	guest_save(&v->csrs, &v->regs, &v->units);
	csr_write(vsatp, 0);
	v->is_loaded = false;
	current[hart_index()] = NULL;
	account_unload(v);
}

static void run_fence(const struct vcpu_fence *f)
{
	u64 offset = f->start.v & (PAGE_SIZE - 1);
	bool all = f->len > FENCE_PAGES_MAX * PAGE_SIZE || (f->start.v == 0 && f->len == 0);
	u64 n_pages;

	if (all && f->has_asid) {
		hfence_vvma_asid(f->asid);
		return;
	}
	if (all) {
		hfence_vvma_all();
		return;
	}
	n_pages = ALIGN_UP(offset + f->len, PAGE_SIZE) / PAGE_SIZE;
	for (u64 i = 0; i < n_pages; i++) {
		gva_t gva = GVA(f->start.v - offset + i * PAGE_SIZE);

		if (f->has_asid)
			hfence_vvma_gva_asid(gva, f->asid);
		else
			hfence_vvma_gva(gva);
	}
}

static void run_fences(struct vcpu *v)
{
	struct vcpu_fence fence[VCPU_FENCES_MAX];
	u32 n;

	lock_acquire(&v->fence_lock);
	n = v->n_fences;
	if (n <= VCPU_FENCES_MAX)
		memcpy(fence, v->fence, n * sizeof(fence[0]));
	v->n_fences = 0;
	lock_release(&v->fence_lock);
	/* They act on the VMID in hgatp, and a hart that looked for memory has let go of that. */
	space_enter(&v->vm->space);
	space_leave();
	if (n > VCPU_FENCES_MAX) {
		hfence_vvma_all();
		return;
	}
	for (u32 i = 0; i < n; i++)
		run_fence(&fence[i]);
}

static void update_ext(struct vcpu *v)
{
	bool high;

	lock_acquire(&v->vm->dev_lock);
	high = device_ops->ext_pending(v->vm, v->id);
	lock_release(&v->vm->dev_lock);
	/* A change after this posts VREQ_EXT again, and that is seen before the entry. */
	if (high)
		csr_set(hvip, HVIP_VSEIP);
	else
		csr_clear(hvip, HVIP_VSEIP);
}

static COLD void serve_requests(struct vcpu *v)
{
	u32 req = atomic_exchange(&v->requests, 0);

	if (req & VREQ_IRQ)
		csr_set(hvip, atomic_exchange(&v->raise, 0));
	if (req & VREQ_EXT)
		update_ext(v);
	if (req & VREQ_FENCE)
		run_fences(v);
	if (req & VREQ_FENCE_I)
		fence_i();
}

bool vcpu_door(struct vcpu *v)
{
	u32 suspended = HSM_SUSPENDED;

	/* Once: siblings may ask faster than we serve.  What has come since, a hold too, is seen as
	 * a request before the entry. */
	if (atomic_load_explicit(&v->requests, memory_order_relaxed) != 0)
		serve_requests(v);
	if (atomic_load_explicit(&v->holds, memory_order_acquire) != 0)
		return false;
	if (!machine.has_sstc && v->soft_deadline <= vcpu_time(v)) {
		/* Pending until the guest sets the next deadline (SBI TIME). */
		csr_set(hvip, HVIP_VSTIP);
		v->soft_deadline = TIME_NEVER;
	}
	if (v->in_wfi) {
		if (!vcpu_has_interrupt_live(v))
			return false;
		v->in_wfi = false;
		/* If that was SBI HSM's suspension, it is over: a later WFI is not one. */
		atomic_compare_exchange_strong(&v->hsm, &suspended, HSM_STARTED);
	}
	return true;
}
