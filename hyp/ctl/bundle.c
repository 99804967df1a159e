/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads the VM bundle.  The blob comes from whoever started the machine and may be
 * anything: libfdt checks it as a whole first (fdt_check_full), then each node
 * is read through a table of the properties it may have.  An unknown property is
 * an error, because a misspelt one would otherwise be ignored in silence.
 */
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "ctl/bundle.h"
#include "ctl/policy.h"
#include "vm/dedup.h"

#define NAME_MAX_LEN   20U         /* leaves room in VM_NAME_LEN for a clone's ".4294967295" */
#define HOST_GUEST_MAX (1UL << 40) /* bytes; half of what Sv39x4 can address */

struct reader {
	const void *fdt;
	char *why;
	const char *node; /* path, for messages */
};

typedef enum err (*prop_fn)(struct reader *r, const struct fdt_property *p, int len, void *out);

struct prop {
	const char *name;
	prop_fn read; /* NULL: known, of no interest */
};

static enum err PRINTF_LIKE(4, 5)
	fail(struct reader *r, enum err e, const char *prop, const char *fmt, ...)
{
	char text[96];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(r->why, BUNDLE_WHY_LEN, "bundle: %.40s: %.32s%s%.90s", r->node, prop,
	         *prop ? ": " : "", text);
	return e;
}

/* Values */

static enum err read_u32(struct reader *r, const char *name, const struct fdt_property *p, int len,
                         u32 min, u32 max, u32 *out)
{
	u32 value;

	if (len != 4)
		return fail(r, ERR_INVAL, name, "want one 32-bit number, not %d bytes", len);
	value = fdt32_ld((const fdt32_t *)(const void *)p->data);
	if (value < min)
		return fail(r, ERR_INVAL, name, "%u is less than %u", value, min);
	if (value > max)
		return fail(r, ERR_LIMIT, name, "%u is more than %u", value, max);
	*out = value;
	return ERR_OK;
}

static enum err read_string(struct reader *r, const char *name, const struct fdt_property *p,
                            int len, const char **out)
{
	if (len < 1 || memchr(p->data, 0, (size_t)len) != p->data + len - 1)
		return fail(r, ERR_INVAL, name, "want one string");
	*out = p->data;
	return ERR_OK;
}

static enum err read_flag(struct reader *r, const char *name, int len, bool *out)
{
	if (len != 0)
		return fail(r, ERR_INVAL, name, "takes no value");
	*out = true;
	return ERR_OK;
}

/* Properties of a VM */

static enum err vm_memory(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct bundle_vm *v = out;
	u64 size;

	if (len != 8)
		return fail(r, ERR_INVAL, "memory-size", "want two cells, not %d bytes", len);
	size = fdt64_ld((const fdt64_t *)(const void *)p->data);
	if (size == 0 || !IS_ALIGNED(size, BLOCK_SIZE))
		return fail(r, ERR_INVAL, "memory-size", "0x%lx is not a multiple of 2 MiB", size);
	if (size > HOST_GUEST_MAX)
		return fail(r, ERR_LIMIT, "memory-size", "0x%lx is more than 1 TiB", size);
	v->config.ram_len = size;
	return ERR_OK;
}

static enum err vm_vcpus(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct bundle_vm *v = out;

	return read_u32(r, "vcpus", p, len, 1, VM_MAX_VCPUS, &v->config.n_vcpus);
}

static enum err vm_bootargs(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct bundle_vm *v = out;

	return read_string(r, "bootargs", p, len, &v->config.bootargs);
}

static enum err vm_kernel(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct bundle_vm *v = out;

	if (len < 4)
		return fail(r, ERR_INVAL, "kernel", "%d bytes are no kernel", len);
	v->config.kernel = p->data;
	v->config.kernel_len = (u64)len;
	return ERR_OK;
}

static enum err vm_initrd(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct bundle_vm *v = out;

	if (len < 1)
		return fail(r, ERR_INVAL, "initrd", "is empty");
	v->config.initrd = p->data;
	v->config.initrd_len = (u64)len;
	return ERR_OK;
}

static enum err vm_autoboot(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct bundle_vm *v = out;

	return read_u32(r, "autoboot", p, len, 0, BUNDLE_AUTOBOOT_MAX, &v->autoboot);
}

/* `option`: what the command `policy` calls it. */
static enum err read_policy(struct reader *r, const char *name, const char *option,
                            const struct fdt_property *p, int len, struct bundle_vm *v)
{
	const struct policy_option *o = policy_find(option, strlen(option));
	const char *word;
	char words[64];
	enum err e = read_string(r, name, p, len, &word);

	if (e != ERR_OK)
		return e;
	e = policy_set(&v->config.policy, o, word);
	if (e == ERR_OK)
		return e;
	if (e == ERR_LIMIT)
		return fail(r, e, name, "more than %u domains", DEDUP_NAMES_MAX);
	policy_list_words(o, words, sizeof(words));
	return fail(r, ERR_INVAL, name, "want %s", words);
}

static enum err vm_time(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	return read_policy(r, "time", "time", p, len, out);
}

static enum err vm_memory_policy(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	return read_policy(r, "memory-policy", "memory", p, len, out);
}

static enum err vm_no_memory(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	return read_policy(r, "no-memory", "nomem", p, len, out);
}

static enum err vm_dedup(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	return read_policy(r, "dedup", "dedup", p, len, out);
}

static enum err vm_secure(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	return read_policy(r, "secure", "secure", p, len, out);
}

static enum err vm_compatible(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	(void)out;
	if (!fdt_stringlist_contains(p->data, len, "pando,vm"))
		return fail(r, ERR_INVAL, "compatible", "want \"pando,vm\"");
	return ERR_OK;
}

static const struct prop vm_props[] = {
	{ "compatible", vm_compatible },
	{ "memory-size", vm_memory },
	{ "vcpus", vm_vcpus },
	{ "bootargs", vm_bootargs },
	{ "kernel", vm_kernel },
	{ "initrd", vm_initrd },
	{ "autoboot", vm_autoboot },
	{ "time", vm_time },
	{ "memory-policy", vm_memory_policy },
	{ "no-memory", vm_no_memory },
	{ "dedup", vm_dedup },
	{ "secure", vm_secure },
	{ "phandle", NULL },
};

/* Properties of the demo; `template` is resolved when all VMs have been read */

struct demo_out {
	struct bundle *b;
	const char *template;
};

static enum err demo_template(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct demo_out *d = out;

	return read_string(r, "template", p, len, &d->template);
}

static enum err demo_clones(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct demo_out *d = out;

	return read_u32(r, "clones", p, len, 1, BUNDLE_CLONES_MAX, &d->b->demo.n_clones);
}

static enum err demo_expect(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct demo_out *d = out;

	if (len < 1 || (u32)len % BUNDLE_HASH_LEN)
		return fail(r, ERR_INVAL, "expect", "%d bytes are not 32 for each clone", len);
	d->b->demo.expect = (const u8 *)p->data;
	d->b->demo.n_expect = (u32)len / BUNDLE_HASH_LEN;
	return ERR_OK;
}

static enum err demo_auto(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct demo_out *d = out;

	(void)p;
	return read_flag(r, "auto", len, &d->b->demo.is_auto);
}

static enum err demo_keep(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct demo_out *d = out;

	(void)p;
	return read_flag(r, "keep", len, &d->b->demo.keep);
}

static const struct prop demo_props[] = {
	{ "template", demo_template }, { "clones", demo_clones }, { "expect", demo_expect },
	{ "auto", demo_auto },         { "keep", demo_keep },
};

/* Properties of the root */

static enum err root_compatible(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	(void)out;
	if (!fdt_stringlist_contains(p->data, len, "pando,bundle"))
		return fail(r, ERR_INVAL, "compatible", "want \"pando,bundle\"");
	return ERR_OK;
}

static enum err root_quit(struct reader *r, const struct fdt_property *p, int len, void *out)
{
	struct bundle *b = out;

	(void)p;
	return read_flag(r, "quit-when-off", len, &b->quit_when_off);
}

static const struct prop root_props[] = {
	{ "compatible", root_compatible },
	{ "quit-when-off", root_quit },
	{ "#address-cells", NULL },
	{ "#size-cells", NULL },
};

/* Nodes */

static enum err read_props(struct reader *r, int node, const struct prop *props, u32 n, void *out)
{
	int at;

	fdt_for_each_property_offset (at, r->fdt, node) {
		int len;
		const struct fdt_property *p = fdt_get_property_by_offset(r->fdt, at, &len);
		const char *name = p ? fdt_string(r->fdt, (int)fdt32_ld(&p->nameoff)) : NULL;
		u32 i = 0;

		if (!name)
			return fail(r, ERR_INVAL, "", "has a broken property");
		while (i < n && strcmp(props[i].name, name) != 0)
			i++;
		if (i == n)
			return fail(r, ERR_INVAL, name, "unknown property");
		if (props[i].read) {
			enum err e = props[i].read(r, p, len, out);
			if (e != ERR_OK)
				return e;
		}
	}
	return ERR_OK;
}

static enum err check_name(struct reader *r, const char *name)
{
	size_t len = strlen(name);

	if (len > NAME_MAX_LEN)
		return fail(r, ERR_LIMIT, "", "a VM's name is at most %u bytes long", NAME_MAX_LEN);
	if (len == 0 || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                             "0123456789-_") != len)
		return fail(r, ERR_INVAL, "", "a VM's name has letters, digits, - and _ only");
	return ERR_OK;
}

static enum err read_vm(struct reader *r, int node, const char *name, struct bundle_vm *v)
{
	struct vm_config *c = &v->config;
	enum err e = check_name(r, name);

	if (e != ERR_OK)
		return e;
	strcpy(c->name, name);
	c->n_vcpus = 1;
	c->bootargs = "";
	c->policy.dedup = DEDUP_POLICY_DEFAULT;
	e = read_props(r, node, vm_props, ARRAY_LEN(vm_props), v);
	if (e != ERR_OK)
		return e;
	if (!fdt_getprop(r->fdt, node, "compatible", NULL))
		return fail(r, ERR_INVAL, "compatible", "missing, want \"pando,vm\"");
	if (!c->ram_len)
		return fail(r, ERR_INVAL, "memory-size", "missing");
	if (!c->kernel)
		return fail(r, ERR_INVAL, "kernel", "missing");
	if (c->kernel_len + c->initrd_len > c->ram_len)
		return fail(r, ERR_INVAL, "memory-size",
		            "0x%lx is less than the images of 0x%lx bytes", c->ram_len,
		            c->kernel_len + c->initrd_len);
	return ERR_OK;
}

static enum err read_vms(struct reader *r, int vms, struct bundle *b)
{
	int node;

	r->node = "/vms";
	enum err e = read_props(r, vms, NULL, 0, NULL);
	if (e != ERR_OK)
		return e;
	fdt_for_each_subnode (node, r->fdt, vms) {
		const char *name = fdt_get_name(r->fdt, node, NULL);
		char path[48];

		if (!name)
			return fail(r, ERR_INVAL, "", "has a broken node");
		if (b->n_vms == BUNDLE_VMS_MAX)
			return fail(r, ERR_LIMIT, "", "more than %u VMs", BUNDLE_VMS_MAX);
		if (bundle_find(b, name))
			return fail(r, ERR_INVAL, name, "is there twice");
		snprintf(path, sizeof(path), "/vms/%s", name);
		r->node = path;
		e = read_vm(r, node, name, &b->vm[b->n_vms]);
		r->node = "/vms";
		if (e != ERR_OK)
			return e;
		b->n_vms++;
	}
	return b->n_vms ? ERR_OK : fail(r, ERR_INVAL, "", "names no VM");
}

static enum err read_demo(struct reader *r, int node, struct bundle *b)
{
	struct demo_out out = { .b = b };
	enum err e;

	r->node = "/demo";
	e = read_props(r, node, demo_props, ARRAY_LEN(demo_props), &out);
	if (e != ERR_OK)
		return e;
	if (!out.template)
		return fail(r, ERR_INVAL, "template", "missing");
	b->demo.template = bundle_find(b, out.template);
	if (!b->demo.template)
		return fail(r, ERR_INVAL, "template", "no VM \"%.20s\" under /vms", out.template);
	if (!b->demo.n_clones)
		return fail(r, ERR_INVAL, "clones", "missing");
	if (b->demo.n_expect < b->demo.n_clones)
		return fail(r, ERR_INVAL, "expect", "has %u results for %u clones",
		            b->demo.n_expect, b->demo.n_clones);
	b->demo.is_present = true;
	return ERR_OK;
}

static enum err read_root(struct reader *r, struct bundle *b)
{
	int vms = -1, demo = -1, node;
	enum err e;

	r->node = "/";
	e = read_props(r, 0, root_props, ARRAY_LEN(root_props), b);
	if (e != ERR_OK)
		return e;
	if (!fdt_getprop(r->fdt, 0, "compatible", NULL))
		return fail(r, ERR_INVAL, "compatible", "missing, want \"pando,bundle\"");
	fdt_for_each_subnode (node, r->fdt, 0) {
		const char *name = fdt_get_name(r->fdt, node, NULL);
		if (name && strcmp(name, "vms") == 0)
			vms = node;
		else if (name && strcmp(name, "demo") == 0)
			demo = node;
		else
			return fail(r, ERR_INVAL, name ? name : "", "unknown node");
	}
	if (vms < 0)
		return fail(r, ERR_INVAL, "vms", "missing");
	e = read_vms(r, vms, b);
	return e == ERR_OK && demo >= 0 ? read_demo(r, demo, b) : e;
}

const struct bundle_vm *bundle_find(const struct bundle *b, const char *name)
{
	for (u32 i = 0; i < b->n_vms; i++)
		if (strcmp(b->vm[i].config.name, name) == 0)
			return &b->vm[i];
	return NULL;
}

static enum err check_blob(const void *blob, u64 len, char *why)
{
	int error;

	if (!blob || len == 0) {
		snprintf(
			why, BUNDLE_WHY_LEN,
			"no bundle: hand one over as the machine's initrd (QEMU: -initrd FILE.dtb)");
		return ERR_ABSENT;
	}
	if (len < sizeof(struct fdt_header) || fdt_magic(blob) != FDT_MAGIC) {
		snprintf(why, BUNDLE_WHY_LEN,
		         "no bundle: the initrd of %lu bytes is not a device tree blob", len);
		return ERR_ABSENT;
	}
	if (fdt_totalsize(blob) > len) {
		snprintf(why, BUNDLE_WHY_LEN, "bundle: cut off: %u bytes of which %lu are there",
		         fdt_totalsize(blob), len);
		return ERR_INVAL;
	}
	error = fdt_check_full(blob, (size_t)len);
	if (error) {
		snprintf(why, BUNDLE_WHY_LEN, "bundle: broken device tree blob: %s",
		         fdt_strerror(error));
		return ERR_INVAL;
	}
	return ERR_OK;
}

enum err bundle_read(const void *blob, u64 len, struct bundle *b, char why[BUNDLE_WHY_LEN])
{
	struct reader r = { .fdt = blob, .why = why };
	enum err e = check_blob(blob, len, why);

	memset(b, 0, sizeof(*b));
	return e == ERR_OK ? read_root(&r, b) : e;
}
