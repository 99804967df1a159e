/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generation id (Linux: Documentation/devicetree/bindings/rng/microsoft,vmgenid.yaml):
 * 16 bytes in a trapped page, and an interrupt that says that they have changed.
 *
 * A guest has no way to tell when its id was drawn, so that is done when it first
 * looks: a clone call pays for no random numbers, and the id is a secret of this VM,
 * since it comes from the same generator as ENTROPY.  Siblings who share all of their
 * memory with it cannot guess what its kernel mixes in.
 *
 * The interrupt comes in clones, fork children and reset VMs, if the guest's driver
 * has enabled it.  A guest that has not come so far reads the new id when it does: an
 * interrupt that waited for it would meet Linux's driver half-way through its set-up.
 * The gate (vm/gate.h) keeps the other vCPUs back until it has been served.
 */
#include "dev/vmgenid.h"
#include "arch/csr_bits.h"
#include "dev/dev.h"
#include "dev/entropy.h"
#include "dev/fdt_write.h"
#include "dev/plic.h"
#include <string.h>

#define VMGENID_GPA 0x04001000U
#define VSIE_SEIE   BIT(IRQ_S_EXT)

_Static_assert(sizeof(u32[ENTROPY_BLOCK_WORDS]) >= VMGENID_LEN, "");

static void draw(struct vmgenid *g)
{
	u32 block[ENTROPY_BLOCK_WORDS];

	entropy_block(block);
	memcpy(g->id, block, VMGENID_LEN);
	g->has_id = true;
}

static enum mmio vmgenid_load(struct vcpu *v, void *state, u64 offset, u32 len, u64 *value)
{
	struct vmgenid *g = state;

	(void)v;
	if (!g->has_id)
		draw(g);
	*value = 0;
	memcpy(value, (const u8 *)g->id + offset, len);
	return MMIO_OK;
}

/* Read-only, like a register of the mailbox. */
static enum mmio vmgenid_store(struct vcpu *v, void *state, u64 offset, u32 len, u64 value)
{
	(void)v;
	(void)state;
	(void)offset;
	(void)len;
	(void)value;
	return MMIO_OK;
}

static void vmgenid_init(struct vm *vm, void *state)
{
	(void)vm;
	memset(state, 0, sizeof(struct vmgenid));
}

/* The first of those whose interrupt line is high that will take the interrupt; NULL: none. */
static struct vcpu *find_leader(struct vm *vm, u32 lines)
{
	for (u32 m = lines; m != 0; m &= m - 1) {
		struct vcpu *v = vm->vcpu[__builtin_ctz(m)];

		if ((atomic_load(&v->holds) & HOLD_STOPPED) == 0 && (v->csrs.vsie & VSIE_SEIE) != 0)
			return v;
	}
	return NULL;
}

static void vmgenid_cloned(struct vm *vm, void *state)
{
	struct vcpu *leader = find_leader(vm, plic_pulse(vm, VMGENID_IRQ));

	*(struct vmgenid *)state = (struct vmgenid){ 0 };
	if (leader != NULL && vm->n_vcpus > 1)
		gate_close(vm, leader);
}

static int vmgenid_fdt(const struct vm *vm, void *fdt)
{
	(void)vm;
	FDT_TRY(fdt_begin_node(fdt, "rng@4001000"));
	FDT_TRY(fdt_write_string(fdt, "compatible", "microsoft,vmgenid"));
	FDT_TRY(fdt_write_reg(fdt, VMGENID_GPA, VMGENID_LEN));
	FDT_TRY(fdt_property_u32(fdt, "interrupt-parent", DEV_PHANDLE_PLIC));
	FDT_TRY(fdt_property_u32(fdt, "interrupts", VMGENID_IRQ));
	return fdt_end_node(fdt);
}

const struct device_type vmgenid_type = {
	.name = "vmgenid",
	.base = VMGENID_GPA,
	.len = VMGENID_LEN,
	.state_len = sizeof(struct vmgenid),
	.irq = VMGENID_IRQ,
	.init = vmgenid_init,
	.cloned = vmgenid_cloned,
	.load = vmgenid_load,
	.store = vmgenid_store,
	.fdt = vmgenid_fdt,
};
