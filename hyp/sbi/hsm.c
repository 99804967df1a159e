/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * HSM (SBI 2.0 chapter 9): vCPUs start and stop each other.
 *
 * No lock for that: `hsm` changes by compare-and-swap, and whoever moved it to
 * START_PENDING owns the target until it says STARTED.  The order that makes it
 * safe: a vCPU that stops itself is held *before* it says STOPPED, so a starter
 * that has seen STOPPED takes the hold away after it was set, never before.
 * Such a target may still be on its way out of its hart with registers to save;
 * the starter waits for that (the target's hart waits for nobody on that way),
 * then writes the new ones.
 */
#include "arch/csr.h"
#include "arch/time.h"
#include "sbi/ext.h"
#include "vm/sched.h"

enum hsm_fid { HSM_HART_START, HSM_HART_STOP, HSM_HART_GET_STATUS, HSM_HART_SUSPEND };

/* Table "HSM hart suspend types": 32 bits, what lies above them is ignored. */
#define SUSPEND_RETENTIVE              0x00000000U
#define SUSPEND_RETENTIVE_PLATFORM     0x10000000U
#define SUSPEND_NON_RETENTIVE          0x80000000U
#define SUSPEND_NON_RETENTIVE_PLATFORM 0x90000000U

#define INSN_MIN_LEN 2U
enum { X_A0 = 10, X_A1 = 11 };

static struct vcpu *target_of(struct vcpu *v, u64 id)
{
	return id < v->vm->n_vcpus ? v->vm->vcpu[id] : NULL;
}

static bool is_entry(const struct vcpu *v, u64 addr)
{
	return IS_ALIGNED(addr, INSN_MIN_LEN) && space_has(&v->vm->space, GPA(addr), INSN_MIN_LEN);
}

static long hart_start(struct vcpu *v, u64 id, u64 addr, u64 opaque)
{
	struct vcpu *t = target_of(v, id);
	u32 stopped = HSM_STOPPED;

	if (!t)
		return SBI_ERR_INVALID_PARAM;
	if (atomic_load(&t->hsm) != HSM_STOPPED)
		return SBI_ERR_ALREADY_AVAILABLE;
	if (!is_entry(v, addr))
		return SBI_ERR_INVALID_ADDRESS;
	if (!atomic_compare_exchange_strong(&t->hsm, &stopped, HSM_START_PENDING))
		return SBI_ERR_ALREADY_AVAILABLE;
	sched_wait_stopped(t);
	vcpu_start_at(t, addr, opaque);
	atomic_store(&t->hsm, HSM_STARTED);
	vcpu_unhold(t, HOLD_STOPPED);
	return SBI_SUCCESS;
}

/* With its last vCPU stopped nobody is left to start one: the VM is off. */
static void stop_if_last(struct vm *vm)
{
	for (u32 i = 0; i < vm->n_vcpus; i++)
		if (atomic_load(&vm->vcpu[i]->hsm) != HSM_STOPPED)
			return;
	vm_stop(vm, "all vCPUs stopped");
}

static void hart_stop(struct vcpu *v, struct sbi_call *c)
{
	vcpu_set_timer(v, TIME_NEVER);
	vcpu_hold(v, HOLD_STOPPED);
	/* It may have been the last one that ran, beside siblings that wait. */
	lock_acquire(&v->vm->lock);
	vm_wait(v->vm);
	lock_release(&v->vm->lock);
	atomic_store(&v->hsm, HSM_STOPPED);
	stop_if_last(v->vm);
	c->no_return = true;
}

static long hart_get_status(struct vcpu *v, struct sbi_call *c)
{
	struct vcpu *t = target_of(v, c->a[0]);

	if (!t)
		return SBI_ERR_INVALID_PARAM;
	c->value = atomic_load(&t->hsm);
	return SBI_SUCCESS;
}

static long check_suspend_type(u32 type)
{
	if (type == SUSPEND_RETENTIVE || type == SUSPEND_NON_RETENTIVE)
		return SBI_SUCCESS;
	if (type < SUSPEND_RETENTIVE_PLATFORM ||
	    (type > SUSPEND_NON_RETENTIVE && type < SUSPEND_NON_RETENTIVE_PLATFORM))
		return SBI_ERR_INVALID_PARAM;
	return SBI_ERR_NOT_SUPPORTED;
}

/*
 * Both kinds sleep like WFI until an interrupt that vsie enables is pending; the door says STARTED
 * again.  After the
 * non-retentive kind the vCPU goes on at a new address; all registers but satp = 0,
 * sstatus.SIE = 0, a0 and a1 are undefined there ("HSM hart resume register state"), so the
 * live ones may stay as they are.
 */
static long hart_suspend(struct vcpu *v, struct sbi_call *c)
{
	u32 type = (u32)c->a[0];
	long error = check_suspend_type(type);

	if (error != SBI_SUCCESS)
		return error;
	if (type == SUSPEND_NON_RETENTIVE) {
		if (!is_entry(v, c->a[1]))
			return SBI_ERR_INVALID_ADDRESS;
		csr_write(vsatp, 0);
		csr_clear(vsstatus, SSTATUS_SIE);
		v->regs.x[X_A0] = v->id;
		v->regs.sepc = c->a[1];
		v->regs.x[X_A1] = c->a[2]; /* c->a[1] from here on */
		c->no_return = true;
	}
	atomic_store(&v->hsm, HSM_SUSPENDED);
	v->in_wfi = true;
	return SBI_SUCCESS;
}

static void hsm_call(struct vcpu *v, struct sbi_call *c)
{
	switch (c->fid) {
	case HSM_HART_START: c->error = hart_start(v, c->a[0], c->a[1], c->a[2]); break;
	case HSM_HART_STOP: hart_stop(v, c); break;
	case HSM_HART_GET_STATUS: c->error = hart_get_status(v, c); break;
	case HSM_HART_SUSPEND: c->error = hart_suspend(v, c); break;
	default: c->error = SBI_ERR_NOT_SUPPORTED; break;
	}
}

const struct sbi_ext sbi_hsm = {
	.name = "HSM", .first_eid = 0x48534d, .last_eid = 0x48534d, .call = hsm_call
};
