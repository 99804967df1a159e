/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one table of commands.  Whoever has a line to run makes a struct cmd with
 * an output sink and calls command_run(): the shell today, a protocol as well.
 * A command writes to the sink only, and reports failure by its enum err with a
 * message in `error`; it never prints an error itself.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include "lib/err.h"
#include "lib/types.h"

#define CMD_WORDS_MAX 16
#define CMD_LINE_LEN  256U /* with its NUL */

struct cmd {
	/* set by the caller */
	void (*write)(void *ctx, const char *text, size_t len);
	void *ctx;
	/* for commands */
	u32 n_args;               /* words after the command's name */
	char *arg[CMD_WORDS_MAX]; /* the words, in `line` */
	char line[CMD_LINE_LEN];  /* copy that is cut into words */
	char error[CMD_LINE_LEN]; /* one line without a newline when the result is not ERR_OK */
};

struct command {
	const char *name;
	const char *args; /* usage: "VM [-n N]"; "" when there are none */
	const char *help; /* one line */
	u32 min_args, max_args;
	enum err (*run)(struct cmd *c);
};

struct command_group {
	const char *title;
	const struct command *commands;
	u32 n_commands;
};

/* One per file cmd_*.c. */
extern const struct command_group cmd_vm, cmd_policy, cmd_work, cmd_console, cmd_pages, cmd_dedup,
	cmd_stat, cmd_info;

extern const struct command_group *const command_groups[];
extern const u32 command_n_groups;

const struct command *command_find(const char *name);

/* Cuts `line` into words, finds the command and runs it.  On failure c->error says why.
 * An empty line does nothing.  Called with LOCK_CTL held. */
enum err must_check command_run(struct cmd *c, const char *line);

void cmd_printf(struct cmd *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Sets the message and returns `e`, for `return cmd_fail(...)`. */
enum err cmd_fail(struct cmd *c, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Reads a decimal number; false if `word` is anything else or more than `max`. */
bool must_check cmd_number(const char *word, u64 max, u64 *value);

/* Takes `flag` out of the words; was it there? */
bool must_check cmd_take_flag(struct cmd *c, const char *flag);

/* Takes "FLAG N" (1 <= N <= max) out of the words; *n stays as it is when there is none. */
enum err must_check cmd_take_number(struct cmd *c, const char *flag, u64 max, u64 *n);

/* The same for "-n". */
enum err must_check cmd_take_count(struct cmd *c, u64 max, u64 *n);

/* Calls `found` for each name that may stand at this place of a line: commands for the first
 * word, VMs and images for others. */
void command_candidates(bool is_first, void (*found)(const char *name, void *arg), void *arg);

#endif
