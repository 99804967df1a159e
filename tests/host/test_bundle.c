/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bundle reader: a good bundle, one line for each way to be wrong, and blobs
 * with random bytes changed or cut off, which must be refused or read, never more.
 */
#include "unit.h"
#include <libfdt.h>
#include "ctl/bundle.h"
#include "fake_arch/fake.h"

#define BLOB_LEN 4096
#define N_FUZZ   100000U

static u64 blob_words[BLOB_LEN / 8]; /* 8-byte aligned, as the machine's loader puts it */
static void *const blob = blob_words;
static struct bundle bundle;
static char why[BUNDLE_WHY_LEN];

/* What a test changes in an otherwise good bundle. */
struct change {
	const char *node, *prop;
	const void *value; /* NULL: the property is left out */
	int len;
};

static void put_prop(const struct change *c, const char *node, const char *prop, const void *value,
                     int len)
{
	if (c && strcmp(c->node, node) == 0 && strcmp(c->prop, prop) == 0) {
		value = c->value;
		len = c->len;
		if (!value)
			return;
	}
	assert_int_equal(fdt_property(blob, prop, value, len), 0);
}

/* A property of the change that the good bundle does not have. */
static void put_extra(const struct change *c, const char *node, const char *known)
{
	if (c && strcmp(c->node, node) == 0 && !strstr(known, c->prop))
		assert_int_equal(fdt_property(blob, c->prop, c->value, c->len), 0);
}

static void put_vm(const struct change *c, const char *name)
{
	static const u8 memory[8] = { 0, 0, 0, 0, 0x10, 0, 0, 0 };
	static const u8 two[4] = { 0, 0, 0, 2 };
	const char *node = name;

	assert_int_equal(fdt_begin_node(blob, name), 0);
	put_prop(c, node, "compatible", "pando,vm", 9);
	put_prop(c, node, "memory-size", memory, 8);
	put_prop(c, node, "vcpus", two, 4);
	put_prop(c, node, "bootargs", "quiet", 6);
	put_prop(c, node, "kernel", "kernel..", 8);
	put_prop(c, node, "initrd", "initrd", 6);
	put_extra(c, node, "compatible memory-size vcpus bootargs kernel initrd");
	assert_int_equal(fdt_end_node(blob), 0);
}

static void put_demo(const struct change *c)
{
	static const u8 three[4] = { 0, 0, 0, 3 };
	static const u8 expect[96] = { 1 };

	assert_int_equal(fdt_begin_node(blob, "demo"), 0);
	put_prop(c, "demo", "template", "linux", 6);
	put_prop(c, "demo", "clones", three, 4);
	put_prop(c, "demo", "expect", expect, 96);
	put_prop(c, "demo", "auto", "", 0);
	put_extra(c, "demo", "template clones expect auto");
	assert_int_equal(fdt_end_node(blob), 0);
}

static u64 make(const struct change *c)
{
	memset(blob, 0, BLOB_LEN);
	assert_int_equal(fdt_create(blob, BLOB_LEN), 0);
	assert_int_equal(fdt_finish_reservemap(blob), 0);
	assert_int_equal(fdt_begin_node(blob, ""), 0);
	put_prop(c, "/", "compatible", "pando,bundle", 13);
	put_extra(c, "/", "compatible");
	assert_int_equal(fdt_begin_node(blob, "vms"), 0);
	put_vm(c, "linux");
	put_vm(c, "tiny_2-a");
	assert_int_equal(fdt_end_node(blob), 0);
	put_demo(c);
	assert_int_equal(fdt_end_node(blob), 0);
	assert_int_equal(fdt_finish(blob), 0);
	return fdt_totalsize(blob);
}

static enum err read_changed(const struct change *c)
{
	u64 len = make(c);

	why[0] = 0;
	return bundle_read(blob, len, &bundle, why);
}

static void test_good(void **state)
{
	const struct bundle_vm *v;

	(void)state;
	assert_int_equal(read_changed(NULL), ERR_OK);
	assert_int_equal(bundle.n_vms, 2);
	v = bundle_find(&bundle, "linux");
	assert_ptr_equal(v, &bundle.vm[0]);
	assert_string_equal(v->config.name, "linux");
	assert_string_equal(v->config.bootargs, "quiet");
	assert_int_equal(v->config.ram_len, 256UL << 20);
	assert_int_equal(v->config.n_vcpus, 2);
	assert_int_equal(v->config.kernel_len, 8);
	assert_memory_equal(v->config.kernel, "kernel..", 8);
	assert_int_equal(v->config.initrd_len, 6);
	assert_int_equal(v->autoboot, 0);
	assert_null(bundle_find(&bundle, "linu"));
	assert_true(bundle.demo.is_present);
	assert_true(bundle.demo.is_auto);
	assert_false(bundle.demo.keep);
	assert_ptr_equal(bundle.demo.template, v);
	assert_int_equal(bundle.demo.n_clones, 3);
	assert_int_equal(bundle.demo.n_expect, 3);
	assert_false(bundle.quit_when_off);
	assert_int_equal(read_changed(&(struct change){ "/", "quit-when-off", "", 0 }), ERR_OK);
	assert_true(bundle.quit_when_off);
	/* What may be left out. */
	assert_int_equal(read_changed(&(struct change){ "linux", "vcpus", NULL, 0 }), ERR_OK);
	assert_int_equal(bundle.vm[0].config.n_vcpus, 1);
	assert_int_equal(read_changed(&(struct change){ "linux", "bootargs", NULL, 0 }), ERR_OK);
	assert_string_equal(bundle.vm[0].config.bootargs, "");
	assert_int_equal(read_changed(&(struct change){ "linux", "initrd", NULL, 0 }), ERR_OK);
	assert_null(bundle.vm[0].config.initrd);
	assert_int_equal(bundle.vm[0].config.policy.time, TIME_CONTINUE);
	assert_int_equal(read_changed(&(struct change){ "linux", "time", "jump", 5 }), ERR_OK);
	assert_int_equal(bundle.vm[0].config.policy.time, TIME_JUMP);
	assert_int_equal(bundle.vm[1].config.policy.time, TIME_CONTINUE);
	assert_int_equal(bundle.vm[0].config.policy.memory, MEMORY_OVERCOMMIT);
	assert_int_equal(read_changed(&(struct change){ "linux", "memory-policy", "reserve", 8 }),
	                 ERR_OK);
	assert_int_equal(bundle.vm[0].config.policy.memory, MEMORY_RESERVE);
	assert_int_equal(bundle.vm[0].config.policy.nomem, NOMEM_PAUSE);
	assert_int_equal(read_changed(&(struct change){ "linux", "no-memory", "kill", 5 }), ERR_OK);
	assert_int_equal(bundle.vm[0].config.policy.nomem, NOMEM_KILL);
	assert_int_equal(bundle.vm[0].config.policy.dedup, DEDUP_WITH_FAMILY);
	assert_int_equal(bundle.vm[0].config.policy.secure, SECURE_OFF);
	assert_int_equal(read_changed(&(struct change){ "linux", "secure", "on", 3 }), ERR_OK);
	assert_int_equal(bundle.vm[0].config.policy.secure, SECURE_ON);
	assert_int_equal(read_changed(&(struct change){ "linux", "dedup", "domain:a", 9 }), ERR_OK);
	assert_int_equal(bundle.vm[0].config.policy.dedup, DEDUP_WITH_DOMAIN);
}

/* Each with the one line that is said about it. */
static const u8 zero[8] = { 0 }, nine[4] = { 0, 0, 0, 9 }, odd[8] = { 0, 0, 0, 0, 0, 0x10 };
static const u8 huge[8] = { 0xff }, many[4] = { 0xff, 0xff, 0xff, 0xff };
static const struct {
	struct change change;
	const char *line;
} refused[] = {
	{ { "linux", "vcpus", nine, 4 }, "bundle: /vms/linux: vcpus: 9 is more than 8" },
	{ { "linux", "vcpus", zero, 4 }, "bundle: /vms/linux: vcpus: 0 is less than 1" },
	{ { "linux", "vcpus", many, 4 }, "bundle: /vms/linux: vcpus: 4294967295 is more than 8" },
	{ { "linux", "vcpus", zero, 8 },
	  "bundle: /vms/linux: vcpus: want one 32-bit number, not 8 bytes" },
	{ { "linux", "memory-size", NULL, 0 }, "bundle: /vms/linux: memory-size: missing" },
	{ { "linux", "memory-size", zero, 4 },
	  "bundle: /vms/linux: memory-size: want two cells, not 4 bytes" },
	{ { "linux", "memory-size", zero, 8 },
	  "bundle: /vms/linux: memory-size: 0x0 is not a multiple of 2 MiB" },
	{ { "linux", "memory-size", odd, 8 },
	  "bundle: /vms/linux: memory-size: 0x100000 is not a multiple of 2 MiB" },
	{ { "linux", "memory-size", huge, 8 },
	  "bundle: /vms/linux: memory-size: 0xff00000000000000 is more than 1 TiB" },
	{ { "linux", "kernel", NULL, 0 }, "bundle: /vms/linux: kernel: missing" },
	{ { "linux", "kernel", "", 0 }, "bundle: /vms/linux: kernel: 0 bytes are no kernel" },
	{ { "linux", "initrd", "", 0 }, "bundle: /vms/linux: initrd: is empty" },
	{ { "linux", "bootargs", "abc", 3 }, "bundle: /vms/linux: bootargs: want one string" },
	{ { "linux", "bootargs", "a\0b", 4 }, "bundle: /vms/linux: bootargs: want one string" },
	{ { "linux", "bootargs", "", 0 }, "bundle: /vms/linux: bootargs: want one string" },
	{ { "linux", "time", "later", 6 }, "bundle: /vms/linux: time: want continue or jump" },
	{ { "linux", "no-memory", "wait", 5 },
	  "bundle: /vms/linux: no-memory: want pause or kill" },
	{ { "linux", "dedup", "domain:", 8 },
	  "bundle: /vms/linux: dedup: want off, zero, family or domain:NAME" },
	{ { "linux", "secure", "yes", 4 }, "bundle: /vms/linux: secure: want off or on" },
	{ { "linux", "memory-policy", "none", 5 },
	  "bundle: /vms/linux: memory-policy: want overcommit or reserve" },
	{ { "linux", "time", "jump", 4 }, "bundle: /vms/linux: time: want one string" },
	{ { "linux", "kernal", zero, 4 }, "bundle: /vms/linux: kernal: unknown property" },
	{ { "linux", "compatible", NULL, 0 },
	  "bundle: /vms/linux: compatible: missing, want \"pando,vm\"" },
	{ { "linux", "compatible", "pando,v", 8 },
	  "bundle: /vms/linux: compatible: want \"pando,vm\"" },
	{ { "linux", "autoboot", many, 4 },
	  "bundle: /vms/linux: autoboot: 4294967295 is more than 256" },
	{ { "/", "compatible", "pando", 6 }, "bundle: /: compatible: want \"pando,bundle\"" },
	{ { "/", "compatible", NULL, 0 }, "bundle: /: compatible: missing, want \"pando,bundle\"" },
	{ { "/", "model", "x", 2 }, "bundle: /: model: unknown property" },
	{ { "demo", "template", "lin", 4 }, "bundle: /demo: template: no VM \"lin\" under /vms" },
	{ { "demo", "template", NULL, 0 }, "bundle: /demo: template: missing" },
	{ { "demo", "clones", NULL, 0 }, "bundle: /demo: clones: missing" },
	{ { "demo", "clones", nine, 4 }, "bundle: /demo: expect: has 3 results for 9 clones" },
	{ { "demo", "clones", many, 4 }, "bundle: /demo: clones: 4294967295 is more than 4096" },
	{ { "demo", "expect", zero, 8 },
	  "bundle: /demo: expect: 8 bytes are not 32 for each clone" },
	{ { "demo", "auto", zero, 4 }, "bundle: /demo: auto: takes no value" },
};

static void test_refused(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(refused); i++) {
		assert_int_not_equal(read_changed(&refused[i].change), ERR_OK);
		assert_string_equal(why, refused[i].line);
	}
}

static void test_no_blob(void **state)
{
	u64 len = make(NULL);

	(void)state;
	assert_int_equal(bundle_read(NULL, 0, &bundle, why), ERR_ABSENT);
	assert_non_null(strstr(why, "no bundle: "));
	assert_int_equal(bundle_read(blob, 3, &bundle, why), ERR_ABSENT);
	assert_non_null(strstr(why, "initrd of 3 bytes"));
	assert_int_equal(bundle_read(blob, len - 1, &bundle, why), ERR_INVAL);
	assert_non_null(strstr(why, "cut off"));
	assert_int_equal(bundle.n_vms, 0);
	*(char *)blob = 0;
	assert_int_equal(bundle_read(blob, len, &bundle, why), ERR_ABSENT);
	assert_non_null(strstr(why, "not a device tree blob"));
}

/* Names that would clash with clones' names or break messages. */
static void test_names(void **state)
{
	static const char *const bad[] = { "a.b", "a@1", "a+b", "abcdefghijklmnopqrstu" };

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(fdt_create(blob, BLOB_LEN), 0);
		assert_int_equal(fdt_finish_reservemap(blob), 0);
		assert_int_equal(fdt_begin_node(blob, ""), 0);
		assert_int_equal(fdt_property(blob, "compatible", "pando,bundle", 13), 0);
		assert_int_equal(fdt_begin_node(blob, "vms"), 0);
		put_vm(NULL, bad[i]);
		assert_int_equal(fdt_end_node(blob), 0);
		assert_int_equal(fdt_end_node(blob), 0);
		assert_int_equal(fdt_finish(blob), 0);
		assert_int_not_equal(bundle_read(blob, fdt_totalsize(blob), &bundle, why), ERR_OK);
		assert_non_null(strstr(why, bad[i]));
	}
}

/* Reads every byte that the result names, so that ASan sees a pointer that leaves the blob. */
static u64 touch_all(const struct bundle *b)
{
	u64 sum = 0;

	for (u32 i = 0; i < b->n_vms; i++) {
		const struct vm_config *c = &b->vm[i].config;

		assert_in_range(c->n_vcpus, 1, VM_MAX_VCPUS);
		sum += strlen(c->name) + strlen(c->bootargs);
		for (u64 k = 0; k < c->kernel_len; k++)
			sum += ((const u8 *)c->kernel)[k];
		for (u64 k = 0; k < c->initrd_len; k++)
			sum += ((const u8 *)c->initrd)[k];
	}
	for (u64 k = 0; b->demo.is_present && k < b->demo.n_expect * BUNDLE_HASH_LEN; k++)
		sum += b->demo.expect[k];
	return sum;
}

/* Each mutated blob is in a heap block of exactly its length. */
static void test_fuzz(void **state)
{
	u64 len = make(NULL), sum = 0, n_ok = 0;
	u8 *original = malloc(len);

	(void)state;
	fake_seed(7);
	memcpy(original, blob, len);
	for (u32 n = 0; n < N_FUZZ; n++) {
		u64 part = fake_random() % 4 ? len : 1 + fake_random() % len;
		u8 *copy = aligned_alloc(8, ALIGN_UP(part, 8));
		u64 slack = ALIGN_UP(part, 8) - part;

		memcpy(copy, original, part);
		memset(copy + part, 0xa5, slack);
		for (u64 k = fake_random() % 6; k > 0; k--) {
			u64 at = fake_random() % part;

			copy[at] = (u8)(fake_random() & 1 ? fake_random()
			                                  : copy[at] ^ BIT(fake_random() % 8));
		}
		if (bundle_read(copy, part, &bundle, why) == ERR_OK) {
			sum += touch_all(&bundle);
			n_ok++;
		} else {
			assert_in_range(strlen(why), 1, BUNDLE_WHY_LEN - 1);
		}
		free(copy);
	}
	free(original);
	/* Both ways out were taken. */
	assert_in_range(n_ok, 1, N_FUZZ - 1);
	assert_int_not_equal(sum, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),    cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_blob), cmocka_unit_test(test_names),
		cmocka_unit_test(test_fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
