/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command top.  Each look counts from the one before: a VM's record keeps what was
 * seen of it then, and a VM that has not been seen yet counts from its beginning.
 *
 * Rows stand in order in a short list that is filled while all VMs are visited, so a
 * look at 10,000 of them needs no memory.  They are drawn over those of the last look,
 * unless something else has been said in between.
 */
#include <string.h>
#include "arch/time.h"
#include "ctl/fmt.h"
#include "ctl/shell.h"
#include "ctl/top.h"
#include "mm/usage.h"
#include "vm/account.h"
#include "vm/vm.h"

#define ROWS_MAX    18U /* with the lines around them: a terminal of 24 lines */
#define DELAY_S     2U
#define DELAY_S_MAX 3600U
#define LOOKS_MAX   1000000000U
#define MS_PER_S    1000UL
#define NS_PER_S    1000000000UL
#define NS_PER_MS   1000000UL

struct row {
	char name[VM_NAME_LEN];
	u64 key; /* what rows are ordered by */
	u64 ticks, guest, hypervisor;
	u64 exits, breaks, private_frames, merged_frames;
};

static struct {
	bool is_running, by_memory;
	u64 n_left; /* looks, this one too; 0: without end */
	u64 delay;  /* ticks */
	u64 next;   /* host ticks */
	u64 last;   /* look, by whomever: host ticks */
	u32 n_lines, n_said;
	struct cmd out; /* its sink */
	struct row row[ROWS_MAX];
	u32 n_rows, n_vms;
} top;

/* ---- a look ---- */

static u64 since(u64 now, u64 before)
{
	return now > before ? now - before : 0;
}

static struct vm_seen look_at(struct vm *vm)
{
	struct vm_seen s = { .at = time_now() };

	for (u32 i = 0; i < vm->n_vcpus; i++) {
		struct vcpu_time t = account_vcpu(vm->vcpu[i]);

		s.guest += t.guest;
		s.hypervisor += t.hypervisor;
		s.exits += account_exits(vm->vcpu[i]);
	}
	for (u32 i = 0; i < BREAK_N_CLASSES; i++)
		s.breaks += vm->space.breaks[i];
	return s;
}

/* Into its place, if that is not behind all that are shown. */
static void insert(const struct row *r)
{
	u32 at = top.n_rows < ROWS_MAX ? top.n_rows++ : ROWS_MAX;

	for (; at > 0 && top.row[at - 1].key < r->key; at--)
		if (at < ROWS_MAX)
			top.row[at] = top.row[at - 1];
	if (at < ROWS_MAX)
		top.row[at] = *r;
}

static bool add_vm(struct vm *vm, void *arg)
{
	struct vm_seen now = look_at(vm), was = { .at = vm->stats.created };
	struct space_usage u;
	struct row r = { 0 };

	(void)arg;
	if (vm->is_seen)
		was = vm->seen;
	vm->seen = now;
	vm->is_seen = true;
	space_usage_next(&vm->space, &u);
	memcpy(r.name, vm->name, sizeof(r.name));
	r.ticks = since(now.at, was.at);
	r.guest = since(now.guest, was.guest);
	r.hypervisor = since(now.hypervisor, was.hypervisor);
	r.exits = since(now.exits, was.exits);
	r.breaks = since(now.breaks, was.breaks);
	r.private_frames = u.private_frames;
	r.merged_frames = u.merged_frames;
	r.key = top.by_memory ? r.private_frames : r.guest + r.hypervisor;
	top.n_vms++;
	insert(&r);
	return true;
}

/* ---- drawing ---- */

static u64 per_second(u64 n, u64 ticks)
{
	u64 ms = time_ticks_to_ns(ticks) / NS_PER_MS;

	return ms ? n * MS_PER_S / ms : 0;
}

/* Begins a line; all but the last end themselves. */
static void line(void)
{
	if (top.is_running)
		cmd_printf(&top.out, "\033[K");
	top.n_lines++;
}

static void draw(u64 ticks)
{
	struct cmd *c = &top.out;

	if (top.n_lines && top.n_said == shell_n_said())
		cmd_printf(c, "\033[%uA", top.n_lines);
	top.n_lines = 0;
	line();
	cmd_printf(c, "%-24s %8s  %8s  %9s  %9s  %8s  %8s   last %s\n", "NAME", "GUEST", "HYP",
	           "EXITS/S", "BREAKS/S", "PRIVATE", "MERGED", fmt_ticks(ticks).s);
	for (u32 i = 0; i < top.n_rows; i++) {
		const struct row *r = &top.row[i];

		line();
		cmd_printf(c, "%-24s %8s  %8s  %9lu  %9lu  %8s  %8s\n", r->name,
		           fmt_percent(r->guest, r->ticks).s,
		           fmt_percent(r->hypervisor, r->ticks).s, per_second(r->exits, r->ticks),
		           per_second(r->breaks, r->ticks),
		           fmt_bytes(r->private_frames * PAGE_SIZE).s,
		           fmt_bytes(r->merged_frames * PAGE_SIZE).s);
	}
	if (top.n_vms > top.n_rows) {
		line();
		cmd_printf(c, "and %u more\n", top.n_vms - top.n_rows);
	}
	if (top.is_running)
		cmd_printf(c, "\033[J");
	top.n_said = shell_n_said();
}

static void look(void)
{
	u64 now = time_now(), ticks = since(now, top.last);

	top.last = now;
	top.n_rows = top.n_vms = 0;
	usage_round();
	vm_for_each(add_vm, NULL);
	draw(ticks);
}

/* ---- over and over ---- */

bool top_is_running(void)
{
	return top.is_running;
}

void top_stop(void)
{
	top.is_running = false;
}

u64 top_deadline(void)
{
	return top.is_running ? top.next : TIME_NEVER;
}

void top_poll(void)
{
	if (!top.is_running || time_now() < top.next)
		return;
	look();
	top.next = time_now() + top.delay;
	if (top.n_left && --top.n_left == 0)
		top_stop();
}

enum err top_run(struct cmd *c)
{
	u64 n = 0, seconds = DELAY_S;
	enum err e = cmd_take_count(c, LOOKS_MAX, &n);

	if (e == ERR_OK)
		e = cmd_take_number(c, "-d", DELAY_S_MAX, &seconds);
	if (e != ERR_OK)
		return e;
	top.by_memory = cmd_take_flag(c, "memory");
	if (c->n_args > 0)
		return cmd_fail(c, ERR_INVAL, "usage: top [memory] [-n N] [-d SECONDS]");
	if (c->json)
		n = 1; /* a program gets one look: there is no screen to draw over */
	top.out.caller = c->caller;
	top.out.ctx = c->ctx;
	top.n_lines = 0;
	top.delay = time_ns_to_ticks(seconds * NS_PER_S);
	top.is_running = n != 1;
	look();
	top.n_left = n ? n - 1 : 0;
	top.next = time_now() + top.delay;
	return ERR_OK;
}
