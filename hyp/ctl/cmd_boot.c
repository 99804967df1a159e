/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boot and image: VMs from the bundle, and from images that were put here.
 */
#include <string.h>
#include "ctl/await.h"
#include "ctl/boot.h"
#include "ctl/event.h"
#include "ctl/fmt.h"
#include "ctl/image.h"
#include "ctl/names.h"
#include "ctl/policy.h"

#define WAIT_MS_MAX 3600000UL
#define NS_PER_MS   1000000UL

/* Images */

static enum err take_image(void *arg, const u8 *bytes, u32 len)
{
	return image_append(arg, bytes, len);
}

static enum err end_image(struct cmd *c, void *arg, enum err e)
{
	if (e == ERR_OK)
		e = image_list_it(arg);
	if (e != ERR_OK)
		image_drop(arg);
	return e == ERR_LIMIT ? cmd_fail(c, e, "image: there are %u images already", IMAGES_MAX)
	                      : e;
}

static void abort_image(void *arg)
{
	image_drop(arg);
}

static const struct payload_sink image_sink = { take_image, end_image, abort_image, NULL };

static enum err put_image(struct cmd *c)
{
	struct image *image;
	enum err e;

	if (!c->has_payload || c->payload_len == 0)
		return cmd_fail(c, ERR_INVAL, "image put wants a payload: image put NAME +LENGTH");
	if (!name_is_plain(c->arg[1]))
		return cmd_fail(c, ERR_INVAL, "an image's name: 1 to %u of A-Za-z0-9._-",
		                NAME_PLAIN_LEN - 1);
	e = image_new(c->arg[1], c->payload_len, &image);
	if (e == ERR_LIMIT)
		return cmd_fail(c, e, "image: %lu bytes are more than %lu MiB", c->payload_len,
		                IMAGE_LEN_MAX >> 20);
	if (e != ERR_OK)
		return cmd_fail(c, e, "image: %s do not fit into memory",
		                fmt_bytes(c->payload_len).s);
	cmd_take(c, &image_sink, image);
	return ERR_OK;
}

static void show_image(const char *name, u64 len, void *arg)
{
	struct cmd *c = arg;

	json_object(c->json, NULL);
	json_string(c->json, "name", name);
	json_u64(c->json, "len", len);
	json_end_object(c->json);
	cmd_printf(c, "%-40s  %s\n", name, fmt_bytes(len).s);
}

static enum err list_images(struct cmd *c)
{
	json_array(c->json, "images");
	image_for_each(show_image, c);
	json_end_array(c->json);
	return ERR_OK;
}

static enum err run_image(struct cmd *c)
{
	const char *what = c->arg[0];

	if (strcmp(what, "put") == 0 && c->n_args == 2)
		return put_image(c);
	if (c->has_payload)
		return cmd_fail(c, ERR_INVAL, "image %.20s: takes no payload", what);
	if (strcmp(what, "list") == 0 && c->n_args == 1)
		return list_images(c);
	if (strcmp(what, "rm") == 0 && c->n_args == 2) {
		if (image_remove(c->arg[1]) == ERR_OK)
			return ERR_OK;
		return cmd_fail(c, ERR_ABSENT, "no image %.40s that could be removed", c->arg[1]);
	}
	return cmd_fail(c, ERR_INVAL, "usage: image put NAME +LENGTH | list | rm NAME");
}

/* Boot */

struct order {
	struct vm_config config;
	bool has_kernel, has_memory;
	u64 wait_ms; /* 0: the answer does not wait */
};

/* "64M": bytes, or with K, M, G.  False: no size. */
static bool read_size(const char *word, u64 *size)
{
	size_t len = strlen(word);
	char digits[24];
	u32 shift = 0;

	if (len == 0 || len >= sizeof(digits))
		return false;
	strcpy(digits, word);
	switch (word[len - 1]) {
	case 'K': shift = 10; break;
	case 'M': shift = 20; break;
	case 'G': shift = 30; break;
	default: break;
	}
	if (shift != 0)
		digits[len - 1] = 0;
	if (!cmd_number(digits, UINT64_MAX >> 31, size))
		return false;
	*size <<= shift;
	return true;
}

static enum err take_bytes(struct cmd *c, const char *name, const void **bytes,
                           const struct blob **blob, u64 *len)
{
	struct image_bytes image;

	if (!image_find(name, &image))
		return cmd_fail(c, ERR_ABSENT, "no image \"%.60s\"; try image list", name);
	*bytes = image.bytes;
	*blob = image.blob;
	*len = image.len;
	return ERR_OK;
}

static enum err read_kernel(struct cmd *c, const char *value, struct order *o)
{
	o->has_kernel = true;
	return take_bytes(c, value, &o->config.kernel, &o->config.kernel_blob,
	                  &o->config.kernel_len);
}

static enum err read_initrd(struct cmd *c, const char *value, struct order *o)
{
	return take_bytes(c, value, &o->config.initrd, &o->config.initrd_blob,
	                  &o->config.initrd_len);
}

static enum err read_vcpus(struct cmd *c, const char *value, struct order *o)
{
	u64 n;

	if (!cmd_number(value, VM_MAX_VCPUS, &n) || n == 0)
		return cmd_fail(c, ERR_INVAL, "vcpus= wants a number from 1 to %u", VM_MAX_VCPUS);
	o->config.n_vcpus = (u32)n;
	return ERR_OK;
}

static enum err read_bootargs(struct cmd *c, const char *value, struct order *o)
{
	(void)c;
	o->config.bootargs = value;
	return ERR_OK;
}

static enum err read_wait(struct cmd *c, const char *value, struct order *o)
{
	if (!cmd_number(value, WAIT_MS_MAX, &o->wait_ms) || o->wait_ms == 0)
		return cmd_fail(c, ERR_INVAL, "wait= wants 1 to %lu ms", WAIT_MS_MAX);
	return ERR_OK;
}

static const struct {
	const char *key; /* with its "=" */
	enum err (*read)(struct cmd *c, const char *value, struct order *o);
} keys[] = { { "kernel=", read_kernel },
	     { "initrd=", read_initrd },
	     { "vcpus=", read_vcpus },
	     { "bootargs=", read_bootargs },
	     { "wait=", read_wait } };

/* `memory` is a size, and it is a policy whose words are no sizes. */
static enum err read_order_word(struct cmd *c, const char *word, struct order *o)
{
	static const char memory[] = "memory=";

	for (u32 k = 0; k < ARRAY_LEN(keys); k++) {
		size_t len = strlen(keys[k].key);

		if (strncmp(word, keys[k].key, len) == 0)
			return keys[k].read(c, word + len, o);
	}
	if (strncmp(word, memory, strlen(memory)) == 0 && word[strlen(memory)] >= '0' &&
	    word[strlen(memory)] <= '9') {
		o->has_memory = true;
		if (read_size(word + strlen(memory), &o->config.ram_len))
			return ERR_OK;
		return cmd_fail(c, ERR_INVAL, "memory= wants bytes, or 64K, 64M, 64G");
	}
	return policy_read_word(c, word, &o->config.policy);
}

/* Whom nobody can wait for, if that was asked for, does not stay. */
static enum err answer_boot(struct cmd *c, struct vm *vm, u64 wait_ms)
{
	enum err e;

	if (wait_ms == 0) {
		json_string(c->json, "vm", vm->name);
		return ERR_OK;
	}
	e = await_ready(c, vm, wait_ms * NS_PER_MS);
	if (e != ERR_OK)
		event_kill(vm);
	return e;
}

static enum err boot_order(struct cmd *c, struct order *o)
{
	const char *why = "";
	struct vm *vm;
	enum err e;

	if (!o->has_kernel || !o->has_memory)
		return cmd_fail(c, ERR_INVAL, "boot wants kernel=IMAGE and memory=SIZE");
	if (strlen(c->arg[0]) >= VM_NAME_LEN)
		return cmd_fail(c, ERR_INVAL, "a VM's name has at most %u characters",
		                VM_NAME_LEN - 1);
	strcpy(o->config.name, c->arg[0]);
	e = boot_vm(&o->config, &vm, &why);
	if (e != ERR_OK)
		return cmd_fail(c, e, "%s: cannot boot: %s", c->arg[0], why);
	return answer_boot(c, vm, o->wait_ms);
}

static enum err boot_entry(struct cmd *c, u64 n, u64 wait_ms)
{
	const struct bundle_vm *v = bundle_find(&boot_images, c->arg[0]);
	const char *why = "";
	struct vm *vm;
	enum err e;

	if (!v)
		return cmd_fail(c, ERR_ABSENT, "no \"%.40s\" in the bundle; try tab", c->arg[0]);
	e = boot_vms(v, n, true, &vm, &why);
	if (e != ERR_OK)
		return cmd_fail(c, e, "%s: cannot boot: %s", v->config.name, why);
	return answer_boot(c, vm, wait_ms);
}

/* That the name is taken is told before anything else but words that cannot be understood. */
static enum err read_order(struct cmd *c, struct order *o, bool *is_order)
{
	enum err e = ERR_OK;

	for (u32 i = 1; i < c->n_args && e == ERR_OK; i++)
		e = strchr(c->arg[i], '=')
		            ? read_order_word(c, c->arg[i], o)
		            : cmd_fail(c, ERR_INVAL, "boot: \"%.40s\" is no KEY=VALUE", c->arg[i]);
	/* Of the bundle's entries all but the wait is known. */
	*is_order = c->n_args > 2 || (c->n_args == 2 && o->wait_ms == 0);
	if (e != ERR_INVAL && *is_order && vm_is_taken(c->arg[0]))
		return cmd_fail(c, ERR_EXISTS, "there is a VM \"%s\" already", c->arg[0]);
	return e;
}

static enum err run_boot(struct cmd *c)
{
	struct order o = { .config = { .n_vcpus = 1,
		                       .bootargs = "",
		                       .hold_at_ready = true,
		                       .policy = { .dedup = DEDUP_POLICY_DEFAULT } } };
	bool is_order;
	u64 n = 1;
	enum err e = cmd_take_count(c, frame_n_total(), &n);

	if (e == ERR_OK && c->n_args == 0)
		e = cmd_fail(c, ERR_INVAL, "usage: boot NAME [-n N] [KEY=VALUE ...]");
	if (e == ERR_OK)
		e = read_order(c, &o, &is_order);
	if (e != ERR_OK)
		return e;
	if (n != 1 && o.wait_ms != 0)
		return cmd_fail(c, ERR_INVAL, "boot: -n or wait=, not both");
	if (!is_order)
		return boot_entry(c, n, o.wait_ms);
	if (n != 1)
		return cmd_fail(c, ERR_INVAL, "-n is for the bundle's VMs");
	return boot_order(c, &o);
}

static const struct command commands[] = {
	{ "boot", "NAME [-n N | [kernel=IMAGE memory=SIZE [KEY=VALUE ...]] [wait=MS]]",
	  "boot a VM of the bundle, or one from images, to where it says READY", 1, CMD_WORDS_MAX,
	  run_boot },
	{ "image", "put NAME +LENGTH | list | rm NAME", "images for boot, kept in Pando's memory",
	  1, 2, run_image },
};

const struct command_group cmd_boot = { "Images", commands, ARRAY_LEN(commands) };
