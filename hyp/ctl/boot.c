/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the bundle to running VMs.  Images are copied out of the bundle, which
 * stays where the machine's loader has put it, so any entry can be booted again.
 */
#include <stdio.h>
#include "arch/log.h"
#include "arch/phys.h"
#include "ctl/boot.h"
#include "ctl/demo.h"
#include "ctl/view.h"
#include "ctl/wire.h"
#include "drv/machine.h"
#include "drv/power.h"

#define COPIES_MAX    10000U /* NAME-2, NAME-3, ... */
#define EXIT_NO_START 1U     /* QEMU's exit code when nothing could be started */

struct bundle boot_images;

/* NAME, or the first of NAME-2, NAME-3, ... that is free. */
static enum err choose_name(struct vm_config *c, const char *name)
{
	struct vm *taken = vm_find(c->name);

	for (u32 copy = 2; taken && copy < COPIES_MAX; copy++) {
		vm_put(taken);
		snprintf(c->name, sizeof(c->name), "%.20s-%u", name, copy);
		taken = vm_find(c->name);
	}
	if (!taken)
		return ERR_OK;
	vm_put(taken);
	return ERR_LIMIT;
}

enum err boot_vm(const struct vm_config *c, struct vm **out, const char **why)
{
	enum err e;

	*why = NULL;
	e = vm_create(c, out, why);
	if (e == ERR_OK) {
		if (view_watch(*out) != ERR_OK)
			log_info("%s: not shown, too many consoles are", (*out)->name);
		wire_tell(*out, "booted");
		e = vm_run(*out);
	}
	if (!*why)
		*why = err_name(e);
	return e;
}

static enum err boot_one(const struct bundle_vm *v, bool hold, struct vm **out, const char **why)
{
	struct vm_config c = v->config;
	enum err e = choose_name(&c, v->config.name);

	c.hold_at_ready = hold;
	if (e == ERR_OK)
		return boot_vm(&c, out, why);
	*why = err_name(e);
	return e;
}

enum err boot_vms(const struct bundle_vm *v, u64 n, bool hold, struct vm **last, const char **why)
{
	enum err e = ERR_OK;

	for (u64 i = 0; i < n && e == ERR_OK; i++)
		e = boot_one(v, hold, last, why);
	return e;
}

static void start_demo(void)
{
	const char *why;

	if (demo_start(0, !boot_images.demo.keep, &why) == ERR_OK)
		return;
	log_error("demo: %s", why);
	power_off(EXIT_NO_START);
}

void boot_bundle(void)
{
	const struct mem_range *r = &machine_info.initrd;
	char line[BUNDLE_WHY_LEN];
	const char *why;
	struct vm *vm;

	if (bundle_read(r->len ? hpa_ptr(r->base) : NULL, r->len, &boot_images, line) != ERR_OK) {
		log_error("%s", line);
		power_off(EXIT_NO_START);
	}
	for (u32 i = 0; i < boot_images.n_vms; i++) {
		const struct bundle_vm *v = &boot_images.vm[i];
		if (boot_images.demo.is_auto && v == boot_images.demo.template)
			continue; /* the demo boots it */
		if (boot_vms(v, v->autoboot, true, &vm, &why) == ERR_OK)
			continue;
		log_error("%s: cannot boot: %s", v->config.name, why);
		power_off(EXIT_NO_START);
	}
	if (boot_images.demo.is_auto)
		start_demo();
}
