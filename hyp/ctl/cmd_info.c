/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands that look, and quit.
 */
#include "arch/log.h"
#include "ctl/fmt.h"
#include "ctl/names.h"
#include "ctl/still.h"
#include "ctl/version.h"
#include "drv/power.h"
#include "mm/audit.h"

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

static enum err run_audit(struct cmd *c)
{
	struct audit_result r;

	still_begin();
	audit_run(&r);
	still_end(c);
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
	static const char *const words[] = { "error", "warn", "info" };

	cmd_printf(arg, "%10s %-5s %s\n", fmt_ticks(ticks).s, words[level], text);
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
	           name_of_isolation(machine.isolation_strong));
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
	{ "audit", "", "recount all memory and compare with the records", 0, 0, run_audit },
	{ "log", "", "what Pando has said", 0, 0, run_log },
	{ "version", "", "what runs here, and on what", 0, 0, run_version },
	{ "quit", "[CODE]", "turn the machine off", 0, 1, run_quit },
};

const struct command_group cmd_info = { "Pando", commands, ARRAY_LEN(commands) };
