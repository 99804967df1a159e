/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why the guest left, and what follows: one switch over scause.
 *
 * Whatever a guest does ends here in one of three ways: served, injected back into
 * that guest, or its VM is stopped with a reason.  Nothing that a guest can do is
 * our bug, so nothing here asserts.
 */
#include "arch/csr.h"
#include "drv/irq.h"
#include "run/run.h"
#include "sbi/sbi.h"
#include "vm/sched.h"
#include "vm/vm.h"

#define INSN_WFI     0x10500073U
#define INSN_WFI_LEN 4U

enum next exit_inject(struct vcpu *v, u64 cause, u64 stval)
{
	v->exits[EXIT_INJECT]++;
	guest_inject(&v->regs, cause, stval);
	return NEXT_RESUME;
}

enum next exit_after_service(const struct vcpu *v)
{
	return atomic_load(&v->holds) != 0 || v->in_wfi ? NEXT_RESCHED : NEXT_RESUME;
}

/* The hart's own interrupts.  A kick needs nothing more: the door looks at the requests. */
static enum next handle_irq(struct vcpu *v)
{
	u32 events = hart_events();

	v->exits[EXIT_IRQ]++;
	if (events & HART_EV_EXT)
		irq_dispatch();
	/* Armed again after the door, which may have to take note of a deadline first. */
	if (events & HART_EV_TIMER)
		sched_rearm();
	return sched_slice_is_over() ? NEXT_RESCHED : NEXT_RESUME;
}

static enum next handle_sbi(struct vcpu *v)
{
	v->exits[EXIT_SBI]++;
	sbi_handle(v);
	return exit_after_service(v);
}

static bool is_vs_mode(const struct vcpu *v)
{
	return (v->regs.sstatus & SSTATUS_SPP) != 0;
}

static enum next handle_wfi(struct vcpu *v)
{
	v->exits[EXIT_WFI]++;
	v->regs.sepc += INSN_WFI_LEN;
	/* The door puts it to sleep only if no enabled interrupt is pending by then. */
	v->in_wfi = true;
	return NEXT_RESUME;
}

/*
 * hstatus.VTW makes WFI trap; all else with this cause is an instruction of the H extension,
 * or access to one of its CSRs, which this guest does not have: illegal.  So is WFI in VU-mode
 * (privileged spec, "Wait for Interrupt").
 */
static enum next handle_virtual_insn(struct vcpu *v, const struct guest_exit *x)
{
	u32 insn = (u32)x->stval;

	/* A machine may leave stval zero; the instruction is where sepc says. */
	if (insn == 0 && !exit_fetch(v, &insn))
		return NEXT_RESUME;
	if (insn == INSN_WFI && is_vs_mode(v))
		return handle_wfi(v);
	return exit_inject(v, CAUSE_ILLEGAL, insn);
}

enum next exit_handle(struct vcpu *v, const struct guest_exit *x)
{
	if (x->scause & CAUSE_IRQ)
		return handle_irq(v);
	switch (x->scause) {
	case CAUSE_ECALL_VS: return handle_sbi(v);
	case CAUSE_GUEST_FETCH_PAGE:
	case CAUSE_GUEST_LOAD_PAGE:
	case CAUSE_GUEST_STORE_PAGE: return fault_handle(v, x);
	case CAUSE_VIRTUAL_INSN: return handle_virtual_insn(v, x);
	case CAUSE_FETCH_MISALIGNED:
	case CAUSE_FETCH_ACCESS:
	case CAUSE_ILLEGAL:
	case CAUSE_BREAKPOINT:
	case CAUSE_LOAD_MISALIGNED:
	case CAUSE_LOAD_ACCESS:
	case CAUSE_STORE_MISALIGNED:
	case CAUSE_STORE_ACCESS:
	case CAUSE_ECALL_U:
	case CAUSE_FETCH_PAGE:
	case CAUSE_LOAD_PAGE:
	case CAUSE_STORE_PAGE:
		/* Delegated, where the machine can: the guest's own business. */
		return exit_inject(v, x->scause, x->stval);
	default: vm_stop(v->vm, "a trap that no guest should cause"); return NEXT_DEAD;
	}
}
