/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The demo as a state machine: each step is started by an event of a VM or by a
 * deadline, and runs to its end under LOCK_CTL.
 *
 *	CLEAR   until the memory of VMs that were killed before is back, if it is not yet
 *	BOOT    until the template's READY: freeze it, clone it N times
 *	WORK    until all clones are DONE: measure, print, kill everything
 *	SETTLE  until the last frame is back: audit, compare, verdict
 *
 * Whatever happens, it comes to SETTLE, kills what it has made and ends with one
 * line that begins with PASS or FAIL: a step that hangs has a deadline.
 */
#include "arch/time.h"
#include "ctl/boot.h"
#include "ctl/demo.h"
#include "ctl/demo_report.h"
#include "ctl/fmt.h"
#include "ctl/names.h"
#include "ctl/shell.h"
#include "drv/power.h"

#define BOOT_LIMIT_NS   120000000000UL
#define WORK_LIMIT_NS   300000000000UL
#define SETTLE_LIMIT_NS 10000000000UL
#define REAP_BUDGET     256U
#define SETTLE_RETRY_NS 200000UL
#define N_PROGRESS      10U /* lines while clones work */
#define EXIT_FAIL       1U

enum step { STEP_NONE, STEP_CLEAR, STEP_BOOT, STEP_WORK, STEP_SETTLE };

static struct demo demo;
static enum step step;
static bool off_at_end;
static u64 deadline;     /* host ticks: the step has failed by then */
static u64 settle_retry; /* host ticks: when STEP_CLEAR or STEP_SETTLE looks again */

static u64 ticks_in(u64 ns)
{
	return time_now() + time_ns_to_ticks(ns);
}

bool demo_is_running(void)
{
	return step != STEP_NONE;
}

u64 demo_deadline(void)
{
	if (step == STEP_NONE)
		return TIME_NEVER;
	return step == STEP_CLEAR || step == STEP_SETTLE ? settle_retry : deadline;
}

/* Start */

static enum err boot_template(const char **why)
{
	const struct bundle_vm *image = boot_images.demo.template;
	enum err e = boot_vms(image, 1, true, &demo.template, why);

	if (e != ERR_OK)
		return e;
	vm_get(demo.template);
	shell_say("demo: booting %s: %s, %u vCPUs", image->config.name,
	          fmt_bytes(image->config.ram_len).s, image->config.n_vcpus);
	return ERR_OK;
}

/* A killed VM goes when its last user lets go of it, which may be after the command. What comes
 * back in the middle of the demo would spoil its count. */
static bool is_clear(void)
{
	u64 n[FRAME_N_CLASSES];

	space_relieve(); /* what mm keeps ready is given up, so that the count can come back */
	frame_count_classes(n);
	return !space_reap(REAP_BUDGET) && n[FRAME_COUNTED] == 0 && n[FRAME_BLOCK] == 0;
}

static enum err begin(const char **why)
{
	enum err e;

	demo.frames_before = frame_n_free();
	e = boot_template(why);
	if (e == ERR_OK) {
		step = STEP_BOOT;
		deadline = ticks_in(BOOT_LIMIT_NS);
	}
	return e;
}

enum err demo_start(u32 n, bool power_off_at_end, const char **why)
{
	const struct bundle_demo *d = &boot_images.demo;
	enum err e;

	if (n == 0)
		n = d->n_clones;
	*why = !d->is_present      ? "the bundle has no /demo"
	       : n > d->n_expect   ? "the bundle has not that many expected results"
	       : demo_is_running() ? "it runs already"
	       : vm_count() > 0    ? "wants the machine for itself: kill all first"
	                           : NULL;
	if (*why)
		return ERR_STATE;
	e = demo_alloc(&demo, n);
	if (e != ERR_OK) {
		*why = err_name(e);
		return e;
	}
	off_at_end = power_off_at_end;
	if (!is_clear()) {
		demo.frames_before = frame_n_free();
		step = STEP_CLEAR;
		deadline = ticks_in(SETTLE_LIMIT_NS);
		settle_retry = time_now();
		return ERR_OK;
	}
	e = begin(why);
	if (e != ERR_OK)
		demo_free(&demo);
	return e;
}

/* End */

static void forget(struct vm **vm)
{
	if (!*vm)
		return;
	vm_kill(*vm);
	vm_put(*vm);
	*vm = NULL;
}

/* Clones first, so that each lets go of a template that is still there. */
static void kill_all(void)
{
	for (u32 i = 0; i < demo.n_made; i++)
		forget(&demo.clone[i].vm);
	forget(&demo.template);
}

static void settle(const char *failure)
{
	if (failure && !demo.failure)
		demo.failure = failure;
	kill_all();
	step = STEP_SETTLE;
	deadline = ticks_in(SETTLE_LIMIT_NS);
	settle_retry = time_now();
}

static void finish(u64 n_free)
{
	struct audit_result audit;
	bool passed;

	demo.frames_after = n_free;
	audit_run(&audit);
	passed = demo_report_end(&demo, &audit);
	demo_free(&demo);
	step = STEP_NONE;
	if (off_at_end)
		power_off(passed ? 0 : EXIT_FAIL);
}

/* Memory comes back as other harts let go of killed VMs and pass fences; nothing says when it
 * has, so this looks again every now and then until it has. */
static void try_finish(void)
{
	bool is_reaped = !space_reap(REAP_BUDGET) && vm_count() == 0;
	u64 n_free;

	if (is_reaped)
		space_relieve();
	n_free = frame_n_free();
	if ((is_reaped && n_free == demo.frames_before) || time_now() >= deadline)
		finish(n_free);
	else
		settle_retry = ticks_in(SETTLE_RETRY_NS);
}

void demo_cancel(void)
{
	if (step == STEP_CLEAR || step == STEP_BOOT || step == STEP_WORK)
		settle("interrupted");
}

static void try_begin(void)
{
	const char *why;

	if (is_clear()) {
		if (begin(&why) == ERR_OK)
			return;
		shell_say("demo: %s", why);
		settle("the guest could not be booted");
	} else if (time_now() >= deadline) {
		settle("the memory of killed VMs has not come back");
	} else {
		settle_retry = ticks_in(SETTLE_RETRY_NS);
	}
}

/* Clones */

static enum err make_clone(struct demo_clone *c, u32 number)
{
	enum err e = vm_clone(demo.template, &c->vm);

	if (e != ERR_OK)
		return e;
	vm_get(c->vm);
	c->number = number;
	demo.n_made++;
	return vm_run(c->vm);
}

static void make_clones(void)
{
	u64 start = time_now();

	for (u32 i = 0; i < demo.n; i++) {
		enum err e = make_clone(&demo.clone[i], i + 1);
		if (e != ERR_OK) {
			shell_say("demo: clone %u of %u: %s", i + 1, demo.n, name_of_err(e));
			settle("not all clones could be made");
			return;
		}
	}
	shell_say("demo: %u clones made and started in %s", demo.n,
	          fmt_ticks(time_now() - start).s);
	step = STEP_WORK;
	deadline = ticks_in(WORK_LIMIT_NS);
}

static void say_off(const struct vm *vm)
{
	shell_say("demo: %s went off: %s", vm->name, vm->off_reason ? vm->off_reason : "killed");
}

static void template_event(u32 events)
{
	const struct vm_stats *s = &demo.template->stats;
	enum err e;

	if (step != STEP_BOOT)
		return;
	if (events & VM_EV_OFF) {
		say_off(demo.template);
		settle("the guest did not boot");
	} else if (events & VM_EV_READY) {
		demo.boot_ticks = s->ready - s->created;
		shell_say("demo: ready after %s", fmt_ticks(demo.boot_ticks).s);
		e = vm_freeze(demo.template);
		if (e != ERR_OK) {
			shell_say("demo: freeze: %s", err_name(e));
			settle("the template could not be frozen");
			return;
		}
		shell_say("demo: frozen in %s", fmt_ticks(s->freeze.ticks).s);
		make_clones();
	}
}

static void clone_event(struct demo_clone *c, u32 events)
{
	if (step != STEP_WORK || c->is_done || !(events & (VM_EV_DONE | VM_EV_OFF)))
		return;
	c->is_done = true;
	demo.n_done++;
	if (events & VM_EV_DONE)
		demo_check_result(&demo, c, &boot_images.demo);
	else
		say_off(c->vm);
	if (demo.n_done * N_PROGRESS / demo.n != (demo.n_done - 1) * N_PROGRESS / demo.n)
		shell_say("demo: %u of %u clones done, %u right", demo.n_done, demo.n,
		          demo.n_right);
	if (demo.n_done == demo.n) {
		demo_report_work(&demo);
		settle(NULL);
	}
}

bool demo_event(struct vm *vm, u32 events)
{
	if (step == STEP_NONE)
		return false;
	if (vm == demo.template) {
		template_event(events);
		return true;
	}
	for (u32 i = 0; i < demo.n_made; i++)
		if (demo.clone[i].vm == vm) {
			clone_event(&demo.clone[i], events);
			return true;
		}
	return false;
}

void demo_poll(void)
{
	if (step == STEP_NONE || time_now() < demo_deadline())
		return;
	if (step == STEP_CLEAR || step == STEP_SETTLE) {
		if (step == STEP_CLEAR)
			try_begin();
		else
			try_finish();
		return;
	}
	if (step == STEP_WORK)
		demo_report_missing(&demo);
	settle(step == STEP_BOOT ? "the guest was not ready in time"
	                         : "not all clones were done in time");
}
