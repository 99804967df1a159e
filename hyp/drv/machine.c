// SPDX-License-Identifier: BSD-2-Clause
/*
 * The machine's device tree (Devicetree Specification v0.4; bindings riscv/cpus,
 * ns16550a, sifive,plic-1.0.0, sifive,test0, google,goldfish-rtc, virtio,mmio), read once on the boot hart.
 *
 * The parts are read in order, each by a function that returns NULL or the one
 * line that tells the user why Pando cannot run here.
 */
#include "drv/machine.h"

#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include "arch/paging.h"
#include "drv/isa.h"

#define RAM_MIN          (64UL << 20)
#define IRQ_S_EXTERNAL   9U
#define PLIC_SOURCES_MAX 1023U /* where a PLIC does not say how many it has */

struct machine_info machine_info;

static char why_text[128];
static u32 intc_phandles[HART_MAX]; /* interrupt controller of hart_ids[i] */

/* `n` cells of 32 bits, big-endian; only the low 64 bits count. */
static u64 read_cells(const fdt32_t *cell, int n)
{
	u64 v = 0;

	for (; n > 0; n--, cell++)
		v = v << 32 | fdt32_to_cpu(*cell);
	return v;
}

/* Entry `index` of a node's `reg`; false when there is none. */
static bool read_reg(const void *fdt, int node, int index, u64 *base, u64 *len)
{
	int parent = fdt_parent_offset(fdt, node);
	int n_addr = fdt_address_cells(fdt, parent);
	int n_size = fdt_size_cells(fdt, parent);
	const fdt32_t *reg;
	int bytes;

	reg = fdt_getprop(fdt, node, "reg", &bytes);
	if (reg == NULL || n_addr < 1 || n_size < 0 ||
	    bytes < (index + 1) * (n_addr + n_size) * (int)sizeof(*reg))
		return false;
	reg += index * (n_addr + n_size);
	*base = read_cells(reg, n_addr);
	*len = read_cells(reg + n_addr, n_size);
	return true;
}

static u32 read_u32(const void *fdt, int node, const char *name, u32 absent)
{
	int len;
	const fdt32_t *prop = fdt_getprop(fdt, node, name, &len);

	return prop != NULL && len >= (int)sizeof(*prop) ? fdt32_to_cpu(*prop) : absent;
}

static bool is_okay(const void *fdt, int node)
{
	const char *status = fdt_getprop(fdt, node, "status", NULL);

	return status == NULL || strcmp(status, "okay") == 0 || strcmp(status, "ok") == 0;
}

static bool has_type(const void *fdt, int node, const char *type)
{
	const char *prop = fdt_getprop(fdt, node, "device_type", NULL);

	return prop != NULL && strcmp(prop, type) == 0;
}

/* First enabled node that is compatible with `name`, or < 0. */
static int find_device(const void *fdt, const char *name)
{
	int node = fdt_node_offset_by_compatible(fdt, -1, name);

	while (node >= 0 && !is_okay(fdt, node))
		node = fdt_node_offset_by_compatible(fdt, node, name);
	return node;
}

static const char *read_ram(const void *fdt)
{
	u64 total = 0;
	u64 base;
	u64 len;
	int node;
	int i;

	fdt_for_each_subnode (node, fdt, 0) {
		if (!has_type(fdt, node, "memory") || !is_okay(fdt, node))
			continue;
		for (i = 0; read_reg(fdt, node, i, &base, &len); i++) {
			if (machine_info.n_ram == MEM_RANGES_MAX)
				return "the device tree names too many ranges of memory";
			machine_info.ram[machine_info.n_ram++] =
				(struct mem_range){ .base = HPA(base), .len = len };
			total += len;
		}
	}
	if (total >= RAM_MIN)
		return NULL;
	snprintf(why_text, sizeof(why_text), "%lu MiB of memory are too little, %lu MiB are needed",
	         total >> 20, RAM_MIN >> 20);
	return why_text;
}

static bool reserve(u64 base, u64 len)
{
	if (len == 0)
		return true;
	if (machine_info.n_reserved == MEM_RANGES_MAX)
		return false;
	machine_info.reserved[machine_info.n_reserved++] =
		(struct mem_range){ .base = HPA(base), .len = len };
	return true;
}

static bool reserve_own(const void *fdt)
{
	hpa_t image;
	u64 len;

	paging_image(&image, &len);
	return reserve(image.v, len) && reserve((u64)fdt, fdt_totalsize(fdt)) &&
	       reserve(machine_info.initrd.base.v, machine_info.initrd.len);
}

static const char *read_reserved(const void *fdt)
{
	const char *too_many = "the device tree reserves too many ranges of memory";
	int parent = fdt_path_offset(fdt, "/reserved-memory");
	u64 base;
	u64 len;
	int node;
	int i;

	if (!reserve_own(fdt))
		return too_many;
	for (i = 0; i < fdt_num_mem_rsv(fdt); i++)
		if (fdt_get_mem_rsv(fdt, i, &base, &len) == 0 && !reserve(base, len))
			return too_many;
	if (parent < 0)
		return NULL;
	fdt_for_each_subnode (node, fdt, parent) {
		if (!is_okay(fdt, node))
			continue;
		for (i = 0; read_reg(fdt, node, i, &base, &len); i++)
			if (!reserve(base, len))
				return too_many;
	}
	return NULL;
}

/* A cell or two: the property's width is the machine's choice. */
static u64 read_chosen(const void *fdt, const char *name)
{
	int node = fdt_path_offset(fdt, "/chosen");
	const fdt32_t *prop;
	int len;

	if (node < 0)
		return 0;
	prop = fdt_getprop(fdt, node, name, &len);
	return prop != NULL ? read_cells(prop, len / (int)sizeof(*prop)) : 0;
}

/* What the firmware or QEMU drew for us from its own entropy. */
static void read_rng_seed(const void *fdt)
{
	int len, node = fdt_path_offset(fdt, "/chosen");
	const void *seed = node < 0 ? NULL : fdt_getprop(fdt, node, "rng-seed", &len);

	if (seed == NULL)
		return;
	machine_info.n_seed_words = (u32)u64_min((u64)len / sizeof(u64), MACHINE_SEED_WORDS);
	memcpy(machine_info.rng_seed, seed, machine_info.n_seed_words * sizeof(u64));
}

static void read_initrd(const void *fdt)
{
	u64 start = read_chosen(fdt, "linux,initrd-start");
	u64 end = read_chosen(fdt, "linux,initrd-end");

	if (start != 0 && end > start)
		machine_info.initrd = (struct mem_range){ .base = HPA(start), .len = end - start };
}

static void read_isa(const void *fdt, int node, bool is_first)
{
	bool f = is_first;

	machine.has_sstc = (f || machine.has_sstc) && isa_has(fdt, node, "sstc");
	machine.has_svinval = (f || machine.has_svinval) && isa_has(fdt, node, "svinval");
	machine.has_zicbom = (f || machine.has_zicbom) && isa_has(fdt, node, "zicbom");
	machine.has_zicboz = (f || machine.has_zicboz) && isa_has(fdt, node, "zicboz");
	machine.has_smstateen = (f || machine.has_smstateen) && isa_has(fdt, node, "smstateen");
	machine.has_svadu = (f || machine.has_svadu) && isa_has(fdt, node, "svadu");
	machine.has_fp =
		(f || machine.has_fp) && isa_has(fdt, node, "f") && isa_has(fdt, node, "d");
	machine.has_vector = (f || machine.has_vector) && isa_has(fdt, node, "v");
	machine.has_zba = (f || machine.has_zba) && isa_has(fdt, node, "zba");
	machine.has_zbb = (f || machine.has_zbb) && isa_has(fdt, node, "zbb");
	machine.has_zbs = (f || machine.has_zbs) && isa_has(fdt, node, "zbs");
	if (!f)
		return;
	machine.cbom_block_len = read_u32(fdt, node, "riscv,cbom-block-size", 0);
	machine.cboz_block_len = read_u32(fdt, node, "riscv,cboz-block-size", 0);
}

static u32 intc_phandle(const void *fdt, int cpu)
{
	int node;

	fdt_for_each_subnode (node, fdt, cpu) {
		if (fdt_node_check_compatible(fdt, node, "riscv,cpu-intc") == 0)
			return fdt_get_phandle(fdt, node);
	}
	return 0;
}

/* Keeps the boot hart in place 0 and the lowest other ids behind it, ascending. */
static void add_hart(u64 id, u32 phandle, u64 boot_id)
{
	u64 *ids = machine_info.hart_ids;
	u32 i = machine_info.n_harts;

	machine_info.n_harts_present++;
	if (id == boot_id) {
		intc_phandles[0] = phandle;
		return;
	}
	if (i == HART_MAX && id > ids[i - 1])
		return;
	if (i == HART_MAX)
		i--;
	else
		machine_info.n_harts++;
	for (; i > 1 && ids[i - 1] > id; i--) {
		ids[i] = ids[i - 1];
		intc_phandles[i] = intc_phandles[i - 1];
	}
	ids[i] = id;
	intc_phandles[i] = phandle;
}

static const char *read_harts(const void *fdt, u64 boot_id)
{
	int cpus = fdt_path_offset(fdt, "/cpus");
	bool is_first = true;
	u64 id;
	u64 len;
	int node;

	if (cpus < 0)
		return "the device tree names no harts";
	machine.timebase_hz = read_u32(fdt, cpus, "timebase-frequency", 0);
	machine_info.hart_ids[0] = boot_id;
	machine_info.n_harts = 1;
	fdt_for_each_subnode (node, fdt, cpus) {
		/* A hart without an MMU cannot run in HS-mode, whatever else it is good for. */
		if (!has_type(fdt, node, "cpu") || !is_okay(fdt, node) ||
		    fdt_getprop(fdt, node, "mmu-type", NULL) == NULL ||
		    !read_reg(fdt, node, 0, &id, &len))
			continue;
		if (machine.timebase_hz == 0)
			machine.timebase_hz = read_u32(fdt, node, "timebase-frequency", 0);
		add_hart(id, intc_phandle(fdt, node), boot_id);
		if (!isa_has(fdt, node, "h"))
			return "this machine has no H extension (hypervisor): nothing can run here";
		read_isa(fdt, node, is_first);
		is_first = false;
	}
	if (machine_info.n_harts_present == 0)
		return "the device tree names no hart with supervisor mode";
	return machine.timebase_hz != 0 ? NULL : "the device tree has no timebase-frequency";
}

static const char *read_uart(const void *fdt)
{
	int node = find_device(fdt, "ns16550a");
	u64 base;
	u64 len;

	if (node < 0 || !read_reg(fdt, node, 0, &base, &len))
		return "no console: the device tree names no ns16550a UART";
	machine_info.uart_base = HPA(base);
	machine_info.uart_len = len;
	machine_info.uart_irq = read_u32(fdt, node, "interrupts", 0);
	machine_info.uart_reg_shift = read_u32(fdt, node, "reg-shift", 0);
	machine_info.uart_io_width = read_u32(fdt, node, "reg-io-width", 1);
	return NULL;
}

static void read_plic(const void *fdt)
{
	int node = find_device(fdt, "sifive,plic-1.0.0");
	const fdt32_t *pair;
	u64 base;
	u64 len;
	u32 context;
	u32 i;
	int bytes;

	for (i = 0; i < HART_MAX; i++)
		machine_info.plic_s_context[i] = PLIC_NO_CONTEXT;
	if (node < 0 || !read_reg(fdt, node, 0, &base, &len))
		return;
	pair = fdt_getprop(fdt, node, "interrupts-extended", &bytes);
	if (pair == NULL)
		return;
	machine_info.plic_base = HPA(base);
	machine_info.plic_len = len;
	machine_info.plic_n_sources = read_u32(fdt, node, "riscv,ndev", PLIC_SOURCES_MAX);
	/* Context n is the n-th pair of (interrupt controller of a hart, its interrupt). */
	for (context = 0; context < (u32)bytes / 8; context++, pair += 2)
		for (i = 0; i < machine_info.n_harts; i++)
			if (fdt32_to_cpu(pair[0]) == intc_phandles[i] &&
			    fdt32_to_cpu(pair[1]) == IRQ_S_EXTERNAL)
				machine_info.plic_s_context[i] = context;
}

/* The registers of the one device that is `compatible`; 0 if there is none. */
static void read_device(const void *fdt, const char *compatible, hpa_t *base, u64 *len)
{
	int node = find_device(fdt, compatible);

	if (node >= 0 && read_reg(fdt, node, 0, &base->v, len))
		return;
	*base = HPA(0);
	*len = 0;
}

/* More than there is room for are left alone. */
static void read_virtio(const void *fdt)
{
	struct virtio_slot *slot = machine_info.virtio;
	u64 base;
	int node;

	for (node = fdt_node_offset_by_compatible(fdt, -1, "virtio,mmio");
	     node >= 0 && machine_info.n_virtio < VIRTIO_MMIO_MAX;
	     node = fdt_node_offset_by_compatible(fdt, node, "virtio,mmio")) {
		if (!is_okay(fdt, node) || !read_reg(fdt, node, 0, &base, &slot->len))
			continue;
		slot->base = HPA(base);
		slot->irq = read_u32(fdt, node, "interrupts", 0);
		slot++;
		machine_info.n_virtio++;
	}
}

enum err machine_probe(const void *fdt, u64 boot_hart_id, const char **why)
{
	const char *model;

	if (fdt == NULL || fdt_check_header(fdt) != 0) {
		*why = "the firmware handed over no device tree";
		return ERR_ABSENT;
	}
	/* First what turns the machine off: the other parts may fail. */
	read_device(fdt, "sifive,test0", &machine_info.finisher_base, &machine_info.finisher_len);
	model = fdt_getprop(fdt, 0, "model", NULL);
	snprintf(machine_info.model, sizeof(machine_info.model), "%s",
	         model != NULL ? model : "unknown machine");
	read_initrd(fdt);
	read_rng_seed(fdt);
	*why = read_harts(fdt, boot_hart_id);
	if (*why == NULL)
		*why = read_ram(fdt);
	if (*why == NULL)
		*why = read_reserved(fdt);
	if (*why == NULL)
		*why = read_uart(fdt);
	read_plic(fdt);
	read_device(fdt, "google,goldfish-rtc", &machine_info.rtc_base, &machine_info.rtc_len);
	read_virtio(fdt);
	return *why == NULL ? ERR_OK : ERR_ABSENT;
}

enum err machine_map(const char **why)
{
	const struct mem_range devices[] = {
		{ machine_info.uart_base, machine_info.uart_len },
		{ machine_info.plic_base, machine_info.plic_len },
		{ machine_info.finisher_base, machine_info.finisher_len },
		{ machine_info.rtc_base, machine_info.rtc_len },
	};
	enum err e = ERR_OK;
	u32 i;

	*why = "the machine's memory map does not fit Pando's page table";
	paging_init();
	for (i = 0; i < machine_info.n_ram && e == ERR_OK; i++)
		e = paging_map_ram(machine_info.ram[i].base, machine_info.ram[i].len);
	for (i = 0; i < ARRAY_LEN(devices) && e == ERR_OK; i++)
		if (devices[i].base.v != 0)
			e = paging_map_mmio(devices[i].base, devices[i].len);
	for (i = 0; i < machine_info.n_virtio && e == ERR_OK; i++)
		e = paging_map_mmio(machine_info.virtio[i].base, machine_info.virtio[i].len);
	if (e == ERR_OK)
		paging_enable();
	return e;
}
