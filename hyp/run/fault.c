/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest page faults: memory is mm's business; what is not memory is a device, or
 * nothing, and then an access fault in the guest.
 *
 * The access that failed is not always what scause says.  An implicit access to a
 * guest page table (htinst 0x3000 or 0x3020, privileged spec "Transformed
 * Instruction or Pseudoinstruction") carries the cause of the access that needed
 * the translation; 0x3020 is the machine's own store of A and D bits, and has to
 * break a shared frame like any store.
 */
#include "arch/csr_bits.h"
#include "lib/err.h"
#include "run/insn.h"
#include "run/run.h"
#include "vm/device.h"
#include "vm/sched.h"

#define GPA_LOW_BITS 3UL /* htval is GPA >> 2; stval has the rest */

static bool is_implicit(const struct guest_exit *x)
{
	return x->htinst == HTINST_READ_PTE || x->htinst == HTINST_WRITE_PTE;
}

gpa_t fault_gpa(const struct guest_exit *x)
{
	/* On an implicit access stval is the address that was to be translated, not this one. */
	return GPA(x->htval << 2 | (is_implicit(x) ? 0 : x->stval & GPA_LOW_BITS));
}

static enum access access_of(const struct guest_exit *x)
{
	if (x->htinst == HTINST_WRITE_PTE)
		return ACCESS_WRITE;
	if (x->htinst == HTINST_READ_PTE)
		return ACCESS_READ;
	if (x->scause == CAUSE_GUEST_STORE_PAGE)
		return ACCESS_WRITE;
	return x->scause == CAUSE_GUEST_FETCH_PAGE ? ACCESS_FETCH : ACCESS_READ;
}

/* What real hardware would raise for an address that nothing answers at: of the type of the
 * original access, also when a page table lies there. */
static enum next inject_access_fault(struct vcpu *v, const struct guest_exit *x)
{
	switch (x->scause) {
	case CAUSE_GUEST_FETCH_PAGE: return exit_inject(v, CAUSE_FETCH_ACCESS, x->stval);
	case CAUSE_GUEST_STORE_PAGE: return exit_inject(v, CAUSE_STORE_ACCESS, x->stval);
	default: return exit_inject(v, CAUSE_LOAD_ACCESS, x->stval);
	}
}

bool exit_fetch(struct vcpu *v, u32 *insn)
{
	bool ok;

	/* A fetch uses the space's translations: it owes their fences like an entry. */
	space_enter(&v->vm->space);
	ok = guest_fetch(GVA(v->regs.sepc), &v->regs, insn);
	space_leave();
	return ok;
}

enum decoded { DECODED, NOT_AN_ACCESS, FETCH_FAULTED };

static enum decoded decode(struct vcpu *v, const struct guest_exit *x, struct insn_access *a)
{
	u32 insn;

	if (x->htinst != 0 && insn_decode_htinst(x->htinst, a))
		return DECODED;
	if (!exit_fetch(v, &insn))
		return FETCH_FAULTED;
	return insn_decode(insn, a) ? DECODED : NOT_AN_ACCESS;
}

static u64 low_bytes(u64 value, u32 len)
{
	return len < 8 ? value & (BIT(8 * len) - 1) : value;
}

/* It may have been given what it waits for already: then vm_wait() finds no hold. */
static enum next wait_for_device(struct vm *vm)
{
	lock_acquire(&vm->lock);
	vm_wait(vm);
	lock_release(&vm->lock);
	return NEXT_RESCHED;
}

static enum next emulate(struct vcpu *v, const struct guest_exit *x, gpa_t gpa,
                         const struct insn_access *a)
{
	u64 value = a->is_store && a->reg != 0 ? low_bytes(v->regs.x[a->reg], a->len) : 0;

	switch (device_access(v, gpa, a->len, a->is_store, &value)) {
	case MMIO_OK: break;
	case MMIO_FAULT: return inject_access_fault(v, x);
	case MMIO_WAIT: return wait_for_device(v->vm);
	}
	if (!a->is_store && a->reg != 0)
		v->regs.x[a->reg] = insn_extend(a, value);
	v->regs.sepc += a->insn_len;
	return exit_after_service(v);
}

static enum next handle_mmio(struct vcpu *v, const struct guest_exit *x, gpa_t gpa)
{
	struct insn_access a;

	v->exits[EXIT_MMIO]++;
	switch (decode(v, x, &a)) {
	case DECODED:
		/* Code that changed under our feet is not what trapped. */
		if (a.is_store == (x->scause == CAUSE_GUEST_STORE_PAGE))
			return emulate(v, x, gpa, &a);
		break;
	case NOT_AN_ACCESS: break;
	case FETCH_FAULTED:
		/* Its page is gone for the moment: the guest fetches it again, and faults. */
		return NEXT_RESUME;
	}
	return inject_access_fault(v, x);
}

enum next fault_handle(struct vcpu *v, const struct guest_exit *x)
{
	gpa_t gpa = fault_gpa(x);
	enum err e;

	e = space_fault(&v->vm->space, gpa, access_of(x));
	if (e == ERR_OK) {
		v->exits[EXIT_BREAK]++;
		return NEXT_RESUME;
	}
	if (e == ERR_NOMEM)
		return nomem_wait(v) ? NEXT_RESCHED : NEXT_DEAD;
	if (e != ERR_RANGE) {
		vm_stop(v->vm, "a page fault that could not be served");
		return NEXT_DEAD;
	}
	if (is_implicit(x) || x->scause == CAUSE_GUEST_FETCH_PAGE)
		return inject_access_fault(v, x);
	return handle_mmio(v, x, gpa);
}
