/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands that show figures.
 */
#include "ctl/figure.h"
#include "ctl/fmt.h"
#include "ctl/mem.h"
#include "ctl/names.h"
#include "ctl/top.h"
#include "mm/table.h"
#include "mm/usage.h"
#include "vm/account.h"

#define VMS_SHOWN 32U /* by stat without a name */

static void show_counts(struct cmd *c, const char *title, const u64 *n, u32 n_classes,
                        const char *(*name)(u32 class), const char *(*key)(u32 class))
{
	u64 sum = 0;

	for (u32 i = 0; i < n_classes; i++)
		sum += n[i];
	figure_counts(c->json, title, n, n_classes, key);
	cmd_printf(c, "  %s: %lu", title, sum);
	for (u32 i = 0; i < n_classes; i++)
		if (n[i])
			cmd_printf(c, ", %s %lu", name(i), n[i]);
	cmd_printf(c, "\n");
}

static bool is_nonzero(struct time_cost cost)
{
	return cost.ticks || cost.instret;
}

static void show_cost(struct cmd *c, const char *what, const char *key, struct time_cost cost)
{
	if (!is_nonzero(cost))
		return;
	figure_cost(c->json, key, cost);
	cmd_printf(c, "%s: %s", what, fmt_ticks(cost.ticks).s);
	if (instret_is_exact())
		cmd_printf(c, ", %lu instructions", cost.instret);
	cmd_printf(c, "\n");
}

/* From the call that put the VM where it began; the instructions are those of the call, of its start,
 * and of the hart's way into the guest, whatever the hart did between them. */
static void show_first_entry(struct cmd *c, const struct vm_stats *s)
{
	struct time_cost call = is_nonzero(s->reset)  ? s->reset
	                        : is_nonzero(s->fork) ? s->fork
	                                              : s->clone;

	if (s->first_entry < s->created || !is_nonzero(call))
		return;
	show_cost(c, "  first entry after the call", "first_entry",
	          (struct time_cost){ s->first_entry - s->created, call.instret + s->run_instret +
	                                                                   s->entry_instret -
	                                                                   s->picked_instret });
}

static void show_costs(struct cmd *c, const struct vm_stats *s)
{
	show_cost(c, "  freeze", "freeze", s->freeze);
	show_cost(c, "  clone call", "clone", s->clone);
	show_cost(c, "  fork", "fork", s->fork);
	show_cost(c, "  reset", "reset", s->reset);
	show_first_entry(c, s);
	show_cost(c, "  stood still for its last fork", "stall", s->stall);
}

static void show_time(struct cmd *c, struct vm *vm)
{
	struct vcpu_time sum = { 0 };

	for (u32 i = 0; i < vm->n_vcpus; i++) {
		struct vcpu_time t = account_vcpu(vm->vcpu[i]);

		sum.guest += t.guest;
		sum.hypervisor += t.hypervisor;
	}
	json_u64(c->json, "guest_ns", time_ticks_to_ns(sum.guest));
	json_u64(c->json, "hypervisor_ns", time_ticks_to_ns(sum.hypervisor));
	cmd_printf(c, "  time: %s in the guest, %s in the hypervisor (%s)\n",
	           fmt_ticks(sum.guest).s, fmt_ticks(sum.hypervisor).s,
	           fmt_percent(sum.hypervisor, sum.guest + sum.hypervisor).s);
}

static bool show_vm(struct vm *vm, void *arg)
{
	struct cmd *c = arg;
	u64 exits[EXIT_N_CLASSES] = { 0 };

	for (u32 i = 0; i < vm->n_vcpus; i++)
		for (u32 k = 0; k < EXIT_N_CLASSES; k++)
			exits[k] += vm->vcpu[i]->exits[k];
	json_object(c->json, NULL);
	json_string(c->json, "name", vm->name);
	json_string(c->json, "state", name_of_state(atomic_load(&vm->state)));
	json_u64(c->json, "vcpus", vm->n_vcpus);
	cmd_printf(c, "%s: %s, %u vCPUs\n", vm->name, name_of_state(atomic_load(&vm->state)),
	           vm->n_vcpus);
	show_counts(c, "exits", exits, EXIT_N_CLASSES, name_of_exit, figure_exit);
	show_counts(c, "breaks", vm->space.breaks, BREAK_N_CLASSES, name_of_break, figure_break);
	show_time(c, vm);
	mem_show_usage(c, vm);
	show_costs(c, &vm->stats);
	json_u64(c->json, "console_lost", vm->console.dropped);
	json_end_object(c->json);
	if (vm->console.dropped)
		cmd_printf(c, "  console: %lu bytes lost, nobody looked\n", vm->console.dropped);
	return true;
}

static void show_ends(struct cmd *c)
{
	struct table_reaped r = table_reaped();

	show_cost(c, "last kill", "last_kill", vm_last_kill());
	if (r.n_tables == 0)
		return;
	json_u64(c->json, "tables_freed", r.n_tables);
	cmd_printf(c, "reaper: %lu tables freed", r.n_tables);
	if (instret_is_exact())
		cmd_printf(c, ", %lu instructions", r.instret);
	cmd_printf(c, "\n");
}

/* Exits of vCPUs that are in a hart now. */
static bool add_exits(struct vm *vm, void *arg)
{
	u64 *exits = arg;

	for (u32 i = 0; i < vm->n_vcpus; i++)
		if (atomic_load(&vm->vcpu[i]->state) == SCHED_RUNNING)
			exits[atomic_load(&vm->vcpu[i]->home)] += account_new_exits(vm->vcpu[i]);
	return true;
}

static void show_harts(struct cmd *c)
{
	u64 up = time_now(), exits[HART_MAX] = { 0 };

	vm_for_each(add_exits, exits);
	cmd_printf(c, "  %-4s  %8s  %8s  %8s  %12s  %13s\n", "HART", "VCPUS", "PANDO", "IDLE",
	           "EXITS", "FRAMES CACHED");
	json_array(c->json, "harts");
	for (u32 i = 0; i < hart_count(); i++) {
		struct hart_time t = account_hart(i);
		u64 known = u64_min(t.vcpus + t.idle, up);

		json_object(c->json, NULL);
		json_u64(c->json, "hart", i);
		json_u64(c->json, "vcpus_ns", time_ticks_to_ns(t.vcpus));
		json_u64(c->json, "pando_ns", time_ticks_to_ns(up - known));
		json_u64(c->json, "idle_ns", time_ticks_to_ns(t.idle));
		json_u64(c->json, "exits", t.exits + exits[i]);
		json_u64(c->json, "frames_cached", frame_n_cached(i));
		json_end_object(c->json);

		cmd_printf(c, "  %-4u  %8s  %8s  %8s  %12lu  %13lu\n", i,
		           fmt_percent(t.vcpus, up).s, fmt_percent(up - known, up).s,
		           fmt_percent(t.idle, up).s, t.exits + exits[i], frame_n_cached(i));
	}
	json_end_array(c->json);
}

static void show_locks(struct cmd *c)
{
	u64 sum = 0;

	json_object(c->json, "locks_contended");
	cmd_printf(c, "locks that had to be waited for:");
	for (u32 r = 1; r < LOCK_N_RANKS; r++) {
		u64 n = lock_contended((enum lock_rank)r);

		json_u64(c->json, lock_rank_name((enum lock_rank)r), n);
		if (n)
			cmd_printf(c, " %s %lu", lock_rank_name((enum lock_rank)r), n);
		sum += n;
	}
	json_end_object(c->json);
	cmd_printf(c, "%s\n", sum ? "" : " none");
}

static void show_machine(struct cmd *c)
{
	u64 n[FRAME_N_CLASSES];

	cmd_printf(c, "machine: %u harts, %u VMs, up %s, isolation %s\n", hart_count(), vm_count(),
	           fmt_ticks(time_now()).s, name_of_isolation(machine.isolation_strong));
	json_u64(c->json, "vms_alive", vm_count());
	json_u64(c->json, "up_ns", time_ticks_to_ns(time_now()));
	json_string(c->json, "isolation", machine.isolation_strong ? "strong" : "weak");
	frame_count_classes(n);
	json_object(c->json, "memory");
	mem_show_frames(c, n);
	json_end_object(c->json);
	show_harts(c);
	show_locks(c);
	show_ends(c);
}

static enum err stat_vm(struct cmd *c, struct vm *vm)
{
	json_array(c->json, "vms");
	show_vm(vm, c);
	json_end_array(c->json);
	return ERR_OK;
}

static enum err run_stat(struct cmd *c)
{
	usage_round();
	if (c->n_args == 1)
		return cmd_on_vm(c, stat_vm);
	show_machine(c);
	json_array(c->json, "vms");
	if (vm_count() <= VMS_SHOWN)
		vm_for_each(show_vm, c);
	else
		cmd_printf(c, "%u VMs: stat VM shows one, top the busiest\n", vm_count());
	json_end_array(c->json);
	return ERR_OK;
}

static const struct command commands[] = {
	{ "stat", "[VM]", "exits, breaks, time, memory; harts and locks", 0, 1, run_stat },
	{ "mem", "[VM]", "where the memory is", 0, 1, mem_run },
	{ "top", "[memory] [-n N] [-d S]",
	  "the busiest VMs, or the largest, until a key is pressed", 0, 5, top_run },
};

const struct command_group cmd_stat = { "Figures", commands, ARRAY_LEN(commands) };
