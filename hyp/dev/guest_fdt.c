/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device tree that a guest is started with, written front to back.
 *
 * It says what is there and nothing else: of the ISA only what Pando passes
 * through (no H, no counters beyond Zicntr), of the machine only the devices
 * of the table, each of which writes its own node.
 *
 * The Devicetree Specification 0.4; for harts Linux's bindings riscv/cpus.yaml and
 * riscv/extensions.yaml.
 */
#include "dev/guest_fdt.h"
#include "arch/hart.h"
#include "dev/dev.h"
#include "dev/entropy.h"
#include "dev/fdt_write.h"
#include "lib/assert.h"
#include <string.h>

#define ISA_LEN 192U /* bytes; more than all extensions together, checked */

/* An ISA in both spellings: "rv64imac_zicsr", and a list of names that each end in a NUL. */
struct isa {
	char string[ISA_LEN], list[ISA_LEN];
	u32 string_len, list_len; /* bytes, without and with NULs */
};

static void isa_add(struct isa *isa, const char *name)
{
	size_t len = strlen(name);

	assert(isa->string_len + len + 2 <= ISA_LEN && isa->list_len + len + 1 <= ISA_LEN);
	memcpy(isa->list + isa->list_len, name, len + 1);
	isa->list_len += (u32)len + 1;
	if (len > 1)
		isa->string[isa->string_len++] = '_';
	memcpy(isa->string + isa->string_len, name, len + 1);
	isa->string_len += (u32)len;
}

/* In the canonical order of the unprivileged spec, "Subset Naming Convention". */
static void isa_build(struct isa *isa)
{
	const struct {
		const char *name;
		bool has;
	} extensions[] = {
		{ "i", true },
		{ "m", true },
		{ "a", true },
		{ "f", machine.has_fp },
		{ "d", machine.has_fp },
		{ "c", true },
		{ "v", machine.has_vector },
		{ "zicbom", machine.has_zicbom },
		{ "zicboz", machine.has_zicboz },
		{ "zicntr", true },
		{ "zicsr", true },
		{ "zifencei", true },
		{ "zba", machine.has_zba },
		{ "zbb", machine.has_zbb },
		{ "zbs", machine.has_zbs },
		{ "sstc", machine.has_sstc },
		{ "svinval", machine.has_svinval },
	};

	memset(isa, 0, sizeof(*isa));
	memcpy(isa->string, "rv64", 4);
	isa->string_len = 4;
	for (u32 i = 0; i < ARRAY_LEN(extensions); i++) {
		if (extensions[i].has)
			isa_add(isa, extensions[i].name);
	}
}

static int write_chosen(void *fdt, const struct vm_config *c, gpa_t initrd, u64 initrd_len)
{
	u32 seed[ENTROPY_BLOCK_WORDS];

	entropy_block(seed);
	FDT_TRY(fdt_begin_node(fdt, "chosen"));
	if (c->bootargs != NULL)
		FDT_TRY(fdt_write_string(fdt, "bootargs", c->bootargs));
	FDT_TRY(fdt_write_string(fdt, "stdout-path", "serial0"));
	if (initrd_len != 0) {
		FDT_TRY(fdt_property_u64(fdt, "linux,initrd-start", initrd.v));
		FDT_TRY(fdt_property_u64(fdt, "linux,initrd-end", initrd.v + initrd_len));
	}
	FDT_TRY(fdt_property(fdt, "rng-seed", seed, sizeof(seed)));
	FDT_TRY(fdt_end_node(fdt));
	FDT_TRY(fdt_begin_node(fdt, "aliases"));
	FDT_TRY(fdt_write_string(fdt, "serial0", "/soc/serial@10000000"));
	return fdt_end_node(fdt);
}

static int write_memory(void *fdt, const struct vm *vm)
{
	FDT_TRY(fdt_begin_node(fdt, "memory@80000000"));
	FDT_TRY(fdt_write_string(fdt, "device_type", "memory"));
	FDT_TRY(fdt_write_reg(fdt, vm->ram.base.v, vm->ram.len));
	return fdt_end_node(fdt);
}

static int write_cpu(void *fdt, const struct isa *isa, u32 id)
{
	const char name[] = { 'c', 'p', 'u', '@', (char)('0' + id), 0 };

	_Static_assert(VM_MAX_VCPUS <= 10, "one digit names a hart");
	FDT_TRY(fdt_begin_node(fdt, name));
	FDT_TRY(fdt_write_string(fdt, "device_type", "cpu"));
	FDT_TRY(fdt_property_u32(fdt, "reg", id));
	FDT_TRY(fdt_write_string(fdt, "status", "okay"));
	FDT_TRY(fdt_write_string(fdt, "compatible", "riscv"));
	FDT_TRY(fdt_write_string(fdt, "riscv,isa", isa->string));
	FDT_TRY(fdt_write_string(fdt, "riscv,isa-base", "rv64i"));
	FDT_TRY(fdt_property(fdt, "riscv,isa-extensions", isa->list, (int)isa->list_len));
	/* What every machine has; a guest that wants more levels probes satp. */
	FDT_TRY(fdt_write_string(fdt, "mmu-type", "riscv,sv39"));
	if (machine.has_zicbom)
		FDT_TRY(fdt_property_u32(fdt, "riscv,cbom-block-size", machine.cbom_block_len));
	if (machine.has_zicboz)
		FDT_TRY(fdt_property_u32(fdt, "riscv,cboz-block-size", machine.cboz_block_len));
	FDT_TRY(fdt_begin_node(fdt, "interrupt-controller"));
	FDT_TRY(fdt_write_string(fdt, "compatible", "riscv,cpu-intc"));
	FDT_TRY(fdt_property(fdt, "interrupt-controller", NULL, 0));
	FDT_TRY(fdt_property_u32(fdt, "#interrupt-cells", 1));
	FDT_TRY(fdt_property_u32(fdt, "phandle", DEV_PHANDLE_INTC(id)));
	FDT_TRY(fdt_end_node(fdt));
	return fdt_end_node(fdt);
}

static int write_cpus(void *fdt, const struct vm *vm)
{
	struct isa isa;

	isa_build(&isa);
	FDT_TRY(fdt_begin_node(fdt, "cpus"));
	FDT_TRY(fdt_property_u32(fdt, "#address-cells", 1));
	FDT_TRY(fdt_property_u32(fdt, "#size-cells", 0));
	FDT_TRY(fdt_property_u32(fdt, "timebase-frequency", (u32)machine.timebase_hz));
	for (u32 i = 0; i < vm->n_vcpus; i++)
		FDT_TRY(write_cpu(fdt, &isa, i));
	return fdt_end_node(fdt);
}

static int write_soc(void *fdt, const struct vm *vm)
{
	FDT_TRY(fdt_begin_node(fdt, "soc"));
	FDT_TRY(fdt_property_u32(fdt, "#address-cells", 2));
	FDT_TRY(fdt_property_u32(fdt, "#size-cells", 2));
	FDT_TRY(fdt_write_string(fdt, "compatible", "simple-bus"));
	FDT_TRY(fdt_property(fdt, "ranges", NULL, 0));
	for (u32 i = 0; i < DEV_N; i++)
		FDT_TRY(dev_types[i]->fdt(vm, fdt));
	return fdt_end_node(fdt);
}

int guest_fdt_build(const struct vm *vm, const struct vm_config *c, gpa_t initrd, u64 initrd_len,
                    void *buf, u32 buf_len)
{
	static const char compatible[] = "pando,vm\0riscv-virtio";

	if (buf_len > INT32_MAX)
		return -FDT_ERR_NOSPACE;
	FDT_TRY(fdt_create(buf, (int)buf_len));
	FDT_TRY(fdt_finish_reservemap(buf));
	FDT_TRY(fdt_begin_node(buf, ""));
	FDT_TRY(fdt_property_u32(buf, "#address-cells", 2));
	FDT_TRY(fdt_property_u32(buf, "#size-cells", 2));
	FDT_TRY(fdt_property(buf, "compatible", compatible, sizeof(compatible)));
	FDT_TRY(fdt_write_string(buf, "model", "pando,vm"));
	FDT_TRY(write_chosen(buf, c, initrd, initrd_len));
	FDT_TRY(write_memory(buf, vm));
	FDT_TRY(write_cpus(buf, vm));
	FDT_TRY(write_soc(buf, vm));
	FDT_TRY(fdt_end_node(buf));
	return fdt_finish(buf);
}
