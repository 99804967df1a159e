/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands that look, and quit.
 */
#include "arch/log.h"
#include "ctl/fmt.h"
#include "ctl/names.h"
#include "ctl/version.h"
#include "drv/power.h"
#include "mm/audit.h"
#include "mm/usage.h"
#include "mm/table.h"

#define EXIT_CODE_MAX 127U

static void help_line(struct cmd *c, const struct command *k)
{
	cmd_printf(c, "  %-8s %-16s %s\n", k->name, k->args, k->help);
}

static enum err run_help(struct cmd *c)
{
	if (c->n_args == 1) {
		const struct command *k = command_find(c->arg[0]);
		if (!k)
			return cmd_fail(c, ERR_ABSENT, "unknown command \"%.40s\"; try help",
			                c->arg[0]);
		help_line(c, k);
		return ERR_OK;
	}
	for (u32 g = 0; g < command_n_groups; g++) {
		cmd_printf(c, "%s\n", command_groups[g]->title);
		for (u32 i = 0; i < command_groups[g]->n_commands; i++)
			help_line(c, &command_groups[g]->commands[i]);
	}
	cmd_printf(c, "A VM is named by its name or by #ID; tab completes.\n");
	return ERR_OK;
}

static void show_usage(struct cmd *c, struct vm *vm)
{
	struct space_usage u;

	space_usage(&vm->space, &u);
	cmd_printf(c, "  memory: %s private, %s shared, %lu zero pages, %s of tables; RAM %s\n",
	           fmt_bytes(u.private_frames * PAGE_SIZE).s,
	           fmt_bytes(u.shared_frames * PAGE_SIZE).s, u.zero_pages,
	           fmt_bytes(u.table_frames * PAGE_SIZE).s, fmt_bytes(vm->ram.len).s);
}

static void show_counts(struct cmd *c, const char *title, const u64 *n, u32 n_classes,
                        const char *(*name)(u32 class))
{
	u64 sum = 0;

	for (u32 i = 0; i < n_classes; i++)
		sum += n[i];
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

static void show_cost(struct cmd *c, const char *what, struct time_cost cost)
{
	if (!is_nonzero(cost))
		return;
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
	show_cost(c, "  first entry after the call",
	          (struct time_cost){ s->first_entry - s->created, call.instret + s->run_instret +
	                                                                   s->entry_instret -
	                                                                   s->picked_instret });
}

static void show_costs(struct cmd *c, const struct vm_stats *s)
{
	show_cost(c, "  freeze", s->freeze);
	show_cost(c, "  clone call", s->clone);
	show_cost(c, "  fork", s->fork);
	show_cost(c, "  reset", s->reset);
	show_first_entry(c, s);
	show_cost(c, "  stood still for its last fork", s->stall);
}

static bool show_vm(struct vm *vm, void *arg)
{
	struct cmd *c = arg;
	u64 exits[EXIT_N_CLASSES] = { 0 };

	for (u32 i = 0; i < vm->n_vcpus; i++)
		for (u32 k = 0; k < EXIT_N_CLASSES; k++)
			exits[k] += vm->vcpu[i]->exits[k];
	cmd_printf(c, "%s: %s, %u vCPUs\n", vm->name, name_of_state(atomic_load(&vm->state)),
	           vm->n_vcpus);
	show_counts(c, "exits", exits, EXIT_N_CLASSES, name_of_exit);
	show_counts(c, "breaks", vm->space.breaks, BREAK_N_CLASSES, name_of_break);
	show_usage(c, vm);
	show_costs(c, &vm->stats);
	if (vm->console.dropped)
		cmd_printf(c, "  console: %lu bytes lost, nobody looked\n", vm->console.dropped);
	return true;
}

static void show_frames(struct cmd *c)
{
	u64 n[FRAME_N_CLASSES];

	frame_count_classes(n);
	cmd_printf(c, "memory: %s, of which %s free\n", fmt_bytes(frame_n_total() * PAGE_SIZE).s,
	           fmt_bytes(frame_n_free() * PAGE_SIZE).s);
	for (u32 i = 0; i < FRAME_N_CLASSES; i++)
		cmd_printf(c, "  %-13s %10lu frames  %s\n", name_of_frame(i), n[i],
		           fmt_bytes(n[i] * PAGE_SIZE).s);
}

static void show_ends(struct cmd *c)
{
	struct table_reaped r = table_reaped();

	show_cost(c, "last kill", vm_last_kill());
	if (r.n_tables == 0)
		return;
	cmd_printf(c, "reaper: %lu tables freed", r.n_tables);
	if (instret_is_exact())
		cmd_printf(c, ", %lu instructions", r.instret);
	cmd_printf(c, "\n");
}

static void show_machine(struct cmd *c)
{
	cmd_printf(c, "machine: %u harts, %u VMs, up %s\n", hart_count(), vm_count(),
	           fmt_ticks(time_now()).s);
	show_frames(c);
	cmd_printf(c, "locks that had to be waited for:");
	for (u32 r = 1; r < LOCK_N_RANKS; r++)
		if (lock_contended((enum lock_rank)r))
			cmd_printf(c, " %s %lu", lock_rank_name((enum lock_rank)r),
			           lock_contended((enum lock_rank)r));
	cmd_printf(c, "\n");
	show_ends(c);
}

static enum err for_vms(struct cmd *c, bool (*fn)(struct vm *vm, void *arg))
{
	struct vm *vm;
	enum err e = cmd_take_vm(c, c->arg[0], &vm);

	if (e != ERR_OK)
		return e;
	fn(vm, c);
	vm_put(vm);
	return ERR_OK;
}

static enum err run_stat(struct cmd *c)
{
	if (c->n_args == 1)
		return for_vms(c, show_vm);
	show_machine(c);
	vm_for_each(show_vm, c);
	return ERR_OK;
}

static bool show_vm_memory(struct vm *vm, void *arg)
{
	struct cmd *c = arg;

	cmd_printf(c, "%s:\n", vm->name);
	show_usage(c, vm);
	return true;
}

static enum err run_mem(struct cmd *c)
{
	if (c->n_args == 1)
		return for_vms(c, show_vm_memory);
	show_frames(c);
	return ERR_OK;
}

/* The audit wants a quiet machine: VMs that run are paused, and go on afterwards. */
static bool pause_one(struct vm *vm, void *arg)
{
	(void)arg;
	vm->is_audited = atomic_load(&vm->state) == VM_RUNNING;
	if (vm->is_audited)
		vm_pause(vm);
	return true;
}

/* One that went off before it could be paused stays off. */
static bool resume_one(struct vm *vm, void *arg)
{
	if (vm->is_audited && atomic_load(&vm->state) == VM_PAUSED && vm_run(vm) != ERR_OK)
		cmd_printf(arg, "%s: stays paused\n", vm->name);
	return true;
}

static enum err run_audit(struct cmd *c)
{
	struct audit_result r;

	vm_for_each(pause_one, NULL);
	audit_run(&r);
	vm_for_each(resume_one, c);
	cmd_printf(c, "%lu spaces, %lu tables, %lu blocks, %lu frames looked at\n", r.spaces,
	           r.tables, r.blocks, r.frames);
	if (r.faults)
		return cmd_fail(c, ERR_STATE, "audit: %lu faults, the first: %s", r.faults,
		                r.first);
	cmd_printf(c, "audit: clean\n");
	return ERR_OK;
}

static void log_row(enum log_level level, u64 ticks, const char *text, void *arg)
{
	static const char *const words[] = { "error", "warn", "info", "debug" };

	cmd_printf(arg, "%10s %-5s %s\n", fmt_ticks(ticks).s, words[level & 3], text);
}

static enum err run_log(struct cmd *c)
{
	log_for_each(log_row, c);
	return ERR_OK;
}

static enum err run_version(struct cmd *c)
{
	cmd_printf(c, "Pando %s: %u harts, timebase %lu Hz, %u VMID bits, isolation %s\n",
	           PANDO_VERSION, hart_count(), machine.timebase_hz, machine.vmid_bits,
	           machine.isolation_strong ? "strong"
	                                    : "weak (machine updates A/D bits in shared frames)");
	return ERR_OK;
}

static enum err run_quit(struct cmd *c)
{
	u64 code = 0;

	if (c->n_args == 1 && !cmd_number(c->arg[0], EXIT_CODE_MAX, &code))
		return cmd_fail(c, ERR_INVAL, "quit wants a code from 0 to %u", EXIT_CODE_MAX);
	power_off((u32)code);
}

static const struct command commands[] = {
	{ "help", "[COMMAND]", "this list", 0, 1, run_help },
	{ "stat", "[VM]", "exits, breaks, memory, locks", 0, 1, run_stat },
	{ "mem", "[VM]", "where the memory is", 0, 1, run_mem },
	{ "audit", "", "recount all memory and compare with the records", 0, 0, run_audit },
	{ "log", "", "what Pando has said", 0, 0, run_log },
	{ "version", "", "what runs here, and on what", 0, 0, run_version },
	{ "quit", "[CODE]", "turn the machine off", 0, 1, run_quit },
};

const struct command_group cmd_info = { "Pando", commands, ARRAY_LEN(commands) };
