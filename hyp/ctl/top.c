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

/* The one that has the screen. */
static struct {
	bool is_running, by_memory;
	u64 n_left; /* looks, this one too; 0: without end */
	u64 delay;  /* ticks */
	u64 next;   /* host ticks */
	u32 n_lines, n_said;
	struct cmd out; /* its sink */
} top;

/* ---- a look ---- */

static u64 last_look; /* by whomever: host ticks */
static struct row rows[ROWS_MAX];
static u32 n_rows, n_vms;

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
	u32 at = n_rows < ROWS_MAX ? n_rows++ : ROWS_MAX;

	for (; at > 0 && rows[at - 1].key < r->key; at--)
		if (at < ROWS_MAX)
			rows[at] = rows[at - 1];
	if (at < ROWS_MAX)
		rows[at] = *r;
}

static bool add_vm(struct vm *vm, void *arg)
{
	struct vm_seen now = look_at(vm), was = { .at = vm->stats.created };
	struct space_usage u;
	const bool *by_memory = arg;
	struct row r = { 0 };

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
	r.key = *by_memory ? r.private_frames : r.guest + r.hypervisor;
	n_vms++;
	insert(&r);
	return true;
}

/* ---- drawing ---- */

static u64 per_second(u64 n, u64 ticks)
{
	u64 ms = time_ticks_to_ns(ticks) / NS_PER_MS;

	return ms ? n * MS_PER_S / ms : 0;
}

/* Begins a line on the screen; all but the last end themselves. */
static void line(struct cmd *c)
{
	if (c != &top.out)
		return;
	cmd_printf(c, "\033[K");
	top.n_lines++;
}

static void draw(struct cmd *c, u64 ticks)
{
	line(c);
	cmd_printf(c, "%-24s %8s  %8s  %9s  %9s  %8s  %8s   last %s\n", "NAME", "GUEST", "HYP",
	           "EXITS/S", "BREAKS/S", "PRIVATE", "MERGED", fmt_ticks(ticks).s);
	for (u32 i = 0; i < n_rows; i++) {
		const struct row *r = &rows[i];

		line(c);
		cmd_printf(c, "%-24s %8s  %8s  %9lu  %9lu  %8s  %8s\n", r->name,
		           fmt_percent(r->guest, r->ticks).s,
		           fmt_percent(r->hypervisor, r->ticks).s, per_second(r->exits, r->ticks),
		           per_second(r->breaks, r->ticks),
		           fmt_bytes(r->private_frames * PAGE_SIZE).s,
		           fmt_bytes(r->merged_frames * PAGE_SIZE).s);
	}
	if (n_vms > n_rows) {
		line(c);
		cmd_printf(c, "and %u more\n", n_vms - n_rows);
	}
}

static void look(struct cmd *c, bool by_memory)
{
	u64 now = time_now(), ticks = since(now, last_look);

	last_look = now;
	n_rows = n_vms = 0;
	usage_round();
	vm_for_each(add_vm, &by_memory);
	draw(c, ticks);
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

/* Over the last one, unless something else has been said in between. */
static void look_again(void)
{
	if (top.n_lines && top.n_said == shell_n_said())
		cmd_printf(&top.out, "\033[%uA", top.n_lines);
	top.n_lines = 0;
	look(&top.out, top.by_memory);
	cmd_printf(&top.out, "\033[J");
	top.n_said = shell_n_said();
	top.next = time_now() + top.delay;
}

void top_poll(void)
{
	if (!top.is_running || time_now() < top.next)
		return;
	look_again();
	if (top.n_left && --top.n_left == 0)
		top_stop();
}

enum err top_run(struct cmd *c)
{
	u64 n = 0, seconds = DELAY_S;
	bool by_memory;
	enum err e = cmd_take_count(c, LOOKS_MAX, &n);

	if (e == ERR_OK)
		e = cmd_take_number(c, "-d", DELAY_S_MAX, &seconds);
	if (e != ERR_OK)
		return e;
	by_memory = cmd_take_flag(c, "memory");
	if (c->n_args > 0)
		return cmd_fail(c, ERR_INVAL, "usage: top [memory] [-n N] [-d SECONDS]");
	if (c->json || n == 1) { /* a program gets one look: there is no screen to draw over */
		look(c, by_memory);
		return ERR_OK;
	}
	top.out.caller = c->caller;
	top.out.ctx = c->ctx;
	top.n_lines = 0;
	top.by_memory = by_memory;
	top.delay = time_ns_to_ticks(seconds * NS_PER_S);
	top.n_left = n ? n - 1 : 0;
	top.is_running = true;
	look_again();
	return ERR_OK;
}
