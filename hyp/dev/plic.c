/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Platform-level interrupt controller, as QEMU's virt machine lays it out.
 *
 * RISC-V PLIC specification 1.0.0: 95 sources, and for each hart h the contexts
 * 2h (M-mode) and 2h + 1 (S-mode).  A guest has no M-mode: those contexts read
 * as zero and ignore stores, as do all reserved registers.
 *
 * A source's way: its device drives `level`; the gateway passes a request on as
 * `pending` unless it is closed (`claimed`); a claim takes the pending bit and
 * closes the gateway; completion opens it, and a line that is still high is
 * pending again.  As the specification has it ("Interrupt Gateways"), a line that
 * falls does not take a request back.
 *
 * The generation id's source is the one that behaves like an edge: it has no register
 * that takes its request back, so the claim does.  Its completion opens the gate.
 *
 * `outputs` remembers what each vCPU was told, so that only a change is posted.
 * Guests choose every offset, width and value: an access is either aligned and
 * 32 bits wide, or an access fault, as on QEMU.
 */
#include "dev/plic.h"
#include "dev/dev.h"
#include "dev/fdt_write.h"
#include "dev/vmgenid.h"
#include "lib/assert.h"
#include <string.h>

#define PENDING_BASE   0x1000U
#define ENABLE_BASE    0x2000U
#define ENABLE_STRIDE  0x80U
#define CONTEXT_BASE   0x200000U
#define CONTEXT_STRIDE 0x1000U
#define CONTEXT_CLAIM  4U
#define PRIORITY_MASK  7U
#define PLIC_GPA       0x0c000000U
#define PLIC_LEN       0x600000U
#define IRQ_S_EXT      9U          /* interrupt number in scause */
#define IRQ_NONE       0xffffffffU /* a context that goes nowhere */

static struct plic *plic_of(struct vm *vm)
{
	return device_state(vm, DEV_PLIC);
}

static u32 bit_of(u32 irq)
{
	return 1U << (irq % 32);
}

/* The most urgent pending source with a priority above `floor` that context `c` enables; of
 * equal ones the lowest number ("Interrupt Priorities"); 0: none. */
static u32 best_source(const struct plic *p, const struct plic_context *c, u32 floor)
{
	u32 best = 0;

	for (u32 w = 0; w < PLIC_N_WORDS; w++) {
		for (u32 m = p->pending[w] & c->enable[w]; m != 0; m &= m - 1) {
			u32 irq = w * 32 + (u32)__builtin_ctz(m);

			if (p->priority[irq] > floor) {
				floor = p->priority[irq];
				best = irq;
			}
		}
	}
	return best;
}

static u32 outputs_of(const struct vm *vm, const struct plic *p)
{
	u32 outputs = 0;

	for (u32 i = 0; i < vm->n_vcpus; i++) {
		if (best_source(p, &p->context[i], p->context[i].threshold) != 0)
			outputs |= 1U << i;
	}
	return outputs;
}

/* After any change: tells each vCPU whose line has changed to look at the door. */
static void update_outputs(struct vm *vm, struct plic *p)
{
	u32 outputs = outputs_of(vm, p);

	for (u32 m = outputs ^ p->outputs; m != 0; m &= m - 1)
		vcpu_post(vm->vcpu[__builtin_ctz(m)], VREQ_EXT);
	p->outputs = outputs;
}

void plic_set_line(struct vm *vm, u32 irq, bool high)
{
	struct plic *p = plic_of(vm);
	u32 w = irq / 32, bit = bit_of(irq);

	assert(irq > 0 && irq < PLIC_N_SOURCES);
	if (!high) {
		p->level[w] &= ~bit;
		return;
	}
	p->level[w] |= bit;
	if (((p->claimed[w] | p->pending[w]) & bit) == 0) {
		p->pending[w] |= bit;
		update_outputs(vm, p);
	}
}

u32 plic_pulse(struct vm *vm, u32 irq)
{
	struct plic *p = plic_of(vm);
	u32 w = irq / 32, bit = bit_of(irq), lines = 0;
	bool is_enabled = false;

	for (u32 i = 0; i < vm->n_vcpus; i++) {
		const struct plic_context *c = &p->context[i];

		if ((c->enable[w] & bit) == 0)
			continue;
		is_enabled = true;
		if (p->priority[irq] > c->threshold)
			lines |= 1U << i;
	}
	if (!is_enabled)
		return 0;
	p->level[w] |= bit;
	/* Frozen between claim and completion: again after that. */
	if ((p->claimed[w] & bit) != 0)
		return lines;
	p->pending[w] |= bit;
	/* It does not run, so nobody needs to be woken for that. */
	for (u32 m = lines & ~p->outputs; m != 0; m &= m - 1)
		atomic_fetch_or(&vm->vcpu[__builtin_ctz(m)]->requests, VREQ_EXT);
	p->outputs |= lines;
	return lines;
}

bool plic_ext_pending(struct vm *vm, u32 vcpu_id)
{
	return (plic_of(vm)->outputs >> vcpu_id & 1) != 0;
}

static u32 claim(struct vm *vm, struct plic *p, const struct plic_context *c)
{
	/* "Interrupt Claim Process": the threshold plays no part in it. */
	u32 irq = best_source(p, c, 0);

	if (irq != 0) {
		p->pending[irq / 32] &= ~bit_of(irq);
		p->claimed[irq / 32] |= bit_of(irq);
		if (irq == VMGENID_IRQ)
			p->level[irq / 32] &= ~bit_of(irq);
		update_outputs(vm, p);
	}
	return irq;
}

/* "Interrupt Completion": ignored unless the source is enabled for this context. */
static void complete(struct vm *vm, struct plic *p, const struct plic_context *c, u32 irq)
{
	u32 w = irq / 32, bit = bit_of(irq);

	if (irq >= PLIC_N_SOURCES || (c->enable[w] & p->claimed[w] & bit) == 0)
		return;
	p->claimed[w] &= ~bit;
	if ((p->level[w] & bit) != 0) {
		p->pending[w] |= bit;
		update_outputs(vm, p);
	} else if (irq == VMGENID_IRQ) {
		gate_open(vm);
	}
}

/* The S-mode context with this index of stride `stride`, or NULL for M-mode and absent ones. */
static struct plic_context *context_at(struct vm *vm, struct plic *p, u64 offset, u32 stride)
{
	u64 n = offset / stride;

	return (n & 1) != 0 && n / 2 < vm->n_vcpus ? &p->context[n / 2] : NULL;
}

static u32 *enable_word(struct vm *vm, struct plic *p, u64 offset)
{
	struct plic_context *c = context_at(vm, p, offset - ENABLE_BASE, ENABLE_STRIDE);
	u64 w = offset % ENABLE_STRIDE / 4;

	return c != NULL && w < PLIC_N_WORDS ? &c->enable[w] : NULL;
}

static u32 read_register(struct vm *vm, struct plic *p, u64 offset)
{
	if (offset >= CONTEXT_BASE) {
		struct plic_context *c = context_at(vm, p, offset - CONTEXT_BASE, CONTEXT_STRIDE);

		if (c == NULL || offset % CONTEXT_STRIDE > CONTEXT_CLAIM)
			return 0;
		return offset % CONTEXT_STRIDE == 0 ? c->threshold : claim(vm, p, c);
	}
	if (offset >= ENABLE_BASE) {
		const u32 *e = enable_word(vm, p, offset);

		return e != NULL ? *e : 0;
	}
	if (offset >= PENDING_BASE) {
		u64 w = (offset - PENDING_BASE) / 4;

		return w < PLIC_N_WORDS ? p->pending[w] : 0;
	}
	return offset / 4 < PLIC_N_SOURCES ? p->priority[offset / 4] : 0;
}

static void write_register(struct vm *vm, struct plic *p, u64 offset, u32 value)
{
	if (offset >= CONTEXT_BASE) {
		struct plic_context *c = context_at(vm, p, offset - CONTEXT_BASE, CONTEXT_STRIDE);

		if (c == NULL || offset % CONTEXT_STRIDE > CONTEXT_CLAIM)
			return;
		if (offset % CONTEXT_STRIDE == CONTEXT_CLAIM) {
			complete(vm, p, c, value);
			return;
		}
		c->threshold = value & PRIORITY_MASK;
	} else if (offset >= ENABLE_BASE) {
		u32 *e = enable_word(vm, p, offset);

		if (e == NULL)
			return;
		/* Source 0 does not exist. */
		*e = offset % ENABLE_STRIDE == 0 ? value & ~1U : value;
	} else if (offset < 4U * PLIC_N_SOURCES && offset != 0) {
		p->priority[offset / 4] = value & PRIORITY_MASK;
	} else {
		return;
	}
	update_outputs(vm, p);
}

static enum mmio plic_load(struct vcpu *v, void *state, u64 offset, u32 len, u64 *value)
{
	if (len != 4 || offset % 4 != 0 || offset >= PLIC_LEN)
		return MMIO_FAULT;
	*value = read_register(v->vm, state, offset);
	return MMIO_OK;
}

static enum mmio plic_store(struct vcpu *v, void *state, u64 offset, u32 len, u64 value)
{
	if (len != 4 || offset % 4 != 0 || offset >= PLIC_LEN)
		return MMIO_FAULT;
	write_register(v->vm, state, offset, (u32)value);
	return MMIO_OK;
}

/* Source 0 is no bit of any word, and outputs follow from the rest. */
static void word_fields(struct fields *f, u32 *words)
{
	for (u32 w = 0; w < PLIC_N_WORDS; w++) {
		fields_u32(f, "word", &words[w], UINT32_MAX);
		fields_check(f, "source 0", w != 0 || (words[w] & 1) == 0);
	}
}

static void plic_fields(struct vm *vm, void *state, struct fields *f)
{
	struct plic *p = state;

	fields_bytes(f, p->priority, sizeof(p->priority));
	for (u32 irq = 0; irq < PLIC_N_SOURCES; irq++)
		fields_check(f, "priority", p->priority[irq] <= (irq == 0 ? 0 : PRIORITY_MASK));
	word_fields(f, p->level);
	word_fields(f, p->pending);
	word_fields(f, p->claimed);
	for (u32 i = 0; i < vm->n_vcpus; i++) {
		word_fields(f, p->context[i].enable);
		fields_u32(f, "threshold", &p->context[i].threshold, PRIORITY_MASK);
	}
	if (f->is_reading)
		p->outputs = outputs_of(vm, p);
}

static void plic_init(struct vm *vm, void *state)
{
	(void)vm;
	memset(state, 0, sizeof(struct plic));
}

/* Linux: Documentation/devicetree/bindings/interrupt-controller/sifive,plic-1.0.0.yaml */
static int plic_fdt(const struct vm *vm, void *fdt)
{
	static const char compatible[] = "sifive,plic-1.0.0\0riscv,plic0";
	fdt32_t contexts[VM_MAX_VCPUS * 4];

	for (u32 i = 0; i < vm->n_vcpus; i++) {
		contexts[4 * i] = contexts[4 * i + 2] = cpu_to_fdt32(DEV_PHANDLE_INTC(i));
		contexts[4 * i + 1] = cpu_to_fdt32(IRQ_NONE);
		contexts[4 * i + 3] = cpu_to_fdt32(IRQ_S_EXT);
	}
	FDT_TRY(fdt_begin_node(fdt, "plic@c000000"));
	FDT_TRY(fdt_property(fdt, "compatible", compatible, sizeof(compatible)));
	FDT_TRY(fdt_write_reg(fdt, PLIC_GPA, PLIC_LEN));
	FDT_TRY(fdt_property(fdt, "interrupt-controller", NULL, 0));
	FDT_TRY(fdt_property_u32(fdt, "#interrupt-cells", 1));
	FDT_TRY(fdt_property_u32(fdt, "#address-cells", 0));
	FDT_TRY(fdt_property(fdt, "interrupts-extended", contexts, (int)(vm->n_vcpus * 16)));
	FDT_TRY(fdt_property_u32(fdt, "riscv,ndev", PLIC_N_SOURCES - 1));
	FDT_TRY(fdt_property_u32(fdt, "phandle", DEV_PHANDLE_PLIC));
	return fdt_end_node(fdt);
}

const struct device_type plic_type = {
	.name = "plic",
	.base = PLIC_GPA,
	.len = PLIC_LEN,
	.state_len = sizeof(struct plic),
	.init = plic_init,
	.load = plic_load,
	.store = plic_store,
	.fdt = plic_fdt,
	.fields = plic_fields,
};
