/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's device tree, read back with libfdt as a guest would.
 */
#include "dev_fake.h"
#include "arch/hart.h"
#include "dev/guest_fdt.h"
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#define BUF_LEN 16384U

static char buf[BUF_LEN];

static void build(const struct vm_config *c, u64 initrd_len)
{
	memset(buf, 0xa5, sizeof(buf));
	assert_int_equal(guest_fdt_build(&fake.vm, c, GPA(0x83000000), initrd_len, buf, BUF_LEN),
	                 0);
	assert_int_equal(fdt_check_full(buf, BUF_LEN), 0);
}

static const void *prop(const char *path, const char *name, int *len)
{
	int node = fdt_path_offset(buf, path);

	assert_true(node >= 0);
	return fdt_getprop(buf, node, name, len);
}

static void assert_string(const char *path, const char *name, const char *expected)
{
	int len;
	const char *s = prop(path, name, &len);

	assert_non_null(s);
	assert_int_equal(len, (int)strlen(expected) + 1);
	assert_string_equal(s, expected);
}

static void assert_cells(const char *path, const char *name, const u32 *cells, u32 n)
{
	int len;
	const fdt32_t *p = prop(path, name, &len);

	assert_non_null(p);
	assert_int_equal(len, (int)(4 * n));
	for (u32 i = 0; i < n; i++)
		assert_int_equal(fdt32_to_cpu(p[i]), cells[i]);
}

#define CELLS(path, name, ...)                                       \
	do {                                                         \
		const u32 cells_[] = { __VA_ARGS__ };                \
		assert_cells(path, name, cells_, ARRAY_LEN(cells_)); \
	} while (0)

static void assert_extensions(const char *isa, const char *list, u32 list_len)
{
	int len;
	const char *p = prop("/cpus/cpu@0", "riscv,isa-extensions", &len);

	assert_string("/cpus/cpu@0", "riscv,isa", isa);
	assert_int_equal(len, (int)list_len);
	assert_memory_equal(p, list, list_len);
}

static void test_chosen(void **state)
{
	struct vm_config c = { .bootargs = "console=ttyS0 quiet" };
	char seed[64];
	int len;

	(void)state;
	fake_vm(1);
	build(&c, 0x123456);
	assert_string("/chosen", "bootargs", c.bootargs);
	assert_string("/chosen", "stdout-path", "serial0");
	assert_int_equal(fdt_path_offset(buf, "serial0"),
	                 fdt_path_offset(buf, "/soc/serial@10000000"));
	CELLS("/chosen", "linux,initrd-start", 0, 0x83000000);
	CELLS("/chosen", "linux,initrd-end", 0, 0x83123456);
	memcpy(seed, prop("/chosen", "rng-seed", &len), sizeof(seed));
	assert_int_equal(len, sizeof(seed));
	c.bootargs = NULL;
	build(&c, 0);
	assert_null(prop("/chosen", "bootargs", &len));
	assert_null(prop("/chosen", "linux,initrd-start", &len));
	assert_memory_not_equal(prop("/chosen", "rng-seed", &len), seed, sizeof(seed));
}

static void test_isa(void **state)
{
	static const char least[] = "i\0m\0a\0c\0zicntr\0zicsr\0zifencei";
	static const char most[] = "i\0m\0a\0f\0d\0c\0v\0zicbom\0zicboz\0zicntr\0zicsr\0zifencei\0"
				   "zba\0zbb\0zbs\0sstc\0svinval";
	const struct vm_config c = { .bootargs = "" };
	int len;

	(void)state;
	fake_vm(1);
	memset(&machine, 0, sizeof(machine));
	machine.timebase_hz = 10000000;
	build(&c, 0);
	assert_extensions("rv64imac_zicntr_zicsr_zifencei", least, sizeof(least));
	assert_null(prop("/cpus/cpu@0", "riscv,cbom-block-size", &len));
	assert_null(prop("/cpus/cpu@0", "riscv,cboz-block-size", &len));
	assert_string("/cpus/cpu@0", "riscv,isa-base", "rv64i");
	CELLS("/cpus", "timebase-frequency", 10000000);
	machine.has_vector = true;
	machine.has_fp = machine.has_sstc = machine.has_svinval = true;
	machine.has_zicbom = machine.has_zicboz = true;
	machine.has_zba = machine.has_zbb = machine.has_zbs = true;
	machine.has_smstateen = machine.has_svadu = true;
	machine.cbom_block_len = 64;
	machine.cboz_block_len = 128;
	build(&c, 0);
	assert_extensions("rv64imafdcv_zicbom_zicboz_zicntr_zicsr_zifencei_zba_zbb_zbs_sstc_"
	                  "svinval",
	                  most, sizeof(most));
	CELLS("/cpus/cpu@0", "riscv,cbom-block-size", 64);
	CELLS("/cpus/cpu@0", "riscv,cboz-block-size", 128);
}

static void test_devices(void **state)
{
	const struct vm_config c = { .bootargs = "" };
	int len;

	(void)state;
	fake_vm(2);
	fake.vm.window.base = GPA(0x1200000000);
	build(&c, 0);
	CELLS("/memory@80000000", "reg", 0, 0x80000000, 0, 64 << 20);
	CELLS("/soc/mailbox@4000000", "reg", 0, 0x4000000, 0, 0x1000, 0x12, 0, 0, 4 << 20);
	assert_string("/soc/mailbox@4000000", "compatible", "pando,mailbox");
	CELLS("/soc/rng@4001000", "reg", 0, 0x4001000, 0, 16);
	CELLS("/soc/rng@4001000", "interrupts", 64);
	CELLS("/soc/rng@4001000", "interrupt-parent", 0x40);
	assert_string("/soc/rng@4001000", "compatible", "microsoft,vmgenid");
	CELLS("/soc/serial@10000000", "reg", 0, 0x10000000, 0, 0x100);
	CELLS("/soc/serial@10000000", "interrupts", 10);
	CELLS("/soc/plic@c000000", "reg", 0, 0x0c000000, 0, 0x600000);
	CELLS("/soc/plic@c000000", "riscv,ndev", 95);
	/* The PLIC's contexts: M-mode goes nowhere, S-mode to each hart's interrupt 9. */
	assert_non_null(prop("/soc/plic@c000000", "interrupt-controller", &len));
	CELLS("/soc/plic@c000000", "interrupts-extended", 1, 0xffffffff, 1, 9, 2, 0xffffffff, 2, 9);
	CELLS("/cpus/cpu@0/interrupt-controller", "phandle", 1);
	CELLS("/cpus/cpu@1/interrupt-controller", "phandle", 2);
	assert_int_equal(fdt_node_offset_by_phandle(buf, 0x40),
	                 fdt_path_offset(buf, "/soc/plic@c000000"));
	CELLS("/soc/serial@10000000", "interrupt-parent", 0x40);
	assert_int_equal(fdt_path_offset(buf, "/cpus/cpu@2"), -FDT_ERR_NOTFOUND);
}

/* Each length of buffer from none to enough: an error or a whole tree, never a write beyond. */
static void test_small_buffers(void **state)
{
	const struct vm_config c = { .bootargs = "quiet" };
	u32 len = 0;
	int err;

	(void)state;
	fake_vm(VM_MAX_VCPUS);
	do {
		char *b = malloc(u64_max(len, 1));

		assert_non_null(b);
		err = guest_fdt_build(&fake.vm, &c, GPA(0x83000000), 4096, b, len);
		assert_true(err == 0 || err == -FDT_ERR_NOSPACE);
		if (err == 0)
			assert_int_equal(fdt_check_full(b, len), 0);
		free(b);
		len += 1;
	} while (err != 0 && len < BUF_LEN);
	assert_int_equal(err, 0);
	print_message("a tree of %u vCPUs: %u bytes\n", VM_MAX_VCPUS, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chosen),
		cmocka_unit_test(test_isa),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_small_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
