/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one table of commands, for the shell and for the control protocol.
 *
 * Whoever has a line to run makes a struct cmd and calls command_run().  A command writes text by
 * cmd_printf() and its figures to c->json, and reports failure by its enum err with a
 * message in `error`; it never prints an error itself.
 *
 * Bytes that come with a line (only the protocol has them): a command whose `args` end
 * in "+LENGTH" calls cmd_take() with a sink; the sink's end() is the second half of
 * the command.  Bytes that go out with the answer: cmd_send().
 *
 * A command whose answer takes its time calls cmd_defer() and returns ERR_OK.  The answer comes by
 * reply_open(), writing to the struct cmd that this gives, and reply_close().
 *
 * All of this runs under LOCK_CTL.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include "ctl/json.h"
#include "lib/err.h"
#include "lib/types.h"

#define CMD_WORDS_MAX 32
#define CMD_LINE_LEN  4096U /* with its NUL */
#define CMD_TEXT_LEN  256U  /* what one cmd_printf() writes, a message, with its NUL */

struct cmd;
struct reply;

/* Where a payload goes that comes in.  One of end() and abort() is called, once. */
struct payload_sink {
	/* The next bytes.  On failure the rest of the payload is skipped, and end() is called. */
	enum err (*take)(void *arg, const u8 *bytes, u32 len);
	/* All bytes are there (e == ERR_OK) or take() has failed with `e`: answers as a command
	 * does, and may defer.  c has no words any more. */
	enum err (*end)(struct cmd *c, void *arg, enum err e);
	/* Whoever sent the line is gone. */
	void (*abort)(void *arg);
	/* NULL, or: take() may be work that takes its time.  So many bytes go to it at once, and no more when the turn is
	 * over. */
	u32 (*piece)(const void *arg);
};

/* Where a payload comes from that goes out with the answer, be it a failure or not. */
struct payload_source {
	void (*pull)(void *arg, u8 *bytes, u32 len); /* exactly the next `len` bytes */
	void (*done)(void *arg); /* all have been pulled, or nobody wants the rest; once */
};

/* Who has a line to run. */
struct cmd_caller {
	void (*write)(struct cmd *c, const char *text, size_t len);
	/* A reply for the request that c runs; NULL: no memory. */
	struct reply *(*defer)(struct cmd *c);
	/* As reply_open() and reply_close(). */
	struct cmd *(*open)(struct reply *r);
	void (*close)(struct cmd *c, enum err e);
};

struct cmd {
	/* set by the caller */
	const struct cmd_caller *caller;
	void *ctx;
	struct json *json; /* for the members of the answer's `data`; NULL: nobody wants them */
	u64 arrived;       /* host ticks: when the line was complete */
	bool has_payload;
	u64 payload_len;
	/* for commands */
	u32 n_args;               /* words after the command's name */
	char *arg[CMD_WORDS_MAX]; /* the words, in `line` */
	char line[CMD_LINE_LEN];  /* copy that is cut into words */
	char error[CMD_TEXT_LEN]; /* one line without a newline when the result is not ERR_OK */
	/* by way of the functions below; looked at by the caller afterwards */
	const struct command *command; /* NULL: none was found */
	const struct payload_sink *sink;
	void *sink_arg;
	const struct payload_source *source;
	void *source_arg;
	u64 source_len;
	struct reply
		*reply; /* not NULL: the answer is deferred; within reply_open(): it is this one */
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
extern const struct command_group cmd_vm, cmd_boot, cmd_call, cmd_policy, cmd_work, cmd_console,
	cmd_pages, cmd_dedup, cmd_stat, cmd_wire, cmd_info, cmd_snapshot;

extern const struct command_group *const command_groups[];
extern const u32 command_n_groups;

const struct command *command_find(const char *name);

/* Cuts `line` into words, finds the command and runs it.  On failure c->error says why.
 * An empty line does nothing.  Words stand between blanks; one that begins with a double quote
 * goes to the next one, and \" and \\ stand for themselves in it. */
enum err must_check command_run(struct cmd *c, const char *line);

/* Runs `command` with the words that c has. */
enum err must_check command_call(struct cmd *c, const struct command *command);

/* The second half of c->command: the payload for c->sink has come (e == ERR_OK) or take() failed. */
enum err must_check command_payload_end(struct cmd *c, enum err e);

void cmd_printf(struct cmd *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Sets the message and returns `e`, for `return cmd_fail(...)`. */
enum err cmd_fail(struct cmd *c, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The payload, c->payload_len bytes, goes to `sink`.  If the command fails after this, abort() is called. */
void cmd_take(struct cmd *c, const struct payload_sink *sink, void *arg);

/* `len` bytes of payload go out with the answer. */
void cmd_send(struct cmd *c, const struct payload_source *source, void *arg, u64 len);

/* The answer comes later.  `dropped`: whoever asked is gone; the reply is so, too.  NULL: no memory. */
struct reply *must_check cmd_defer(struct cmd *c, void (*dropped)(void *arg), void *arg);

/* Reads a decimal number; false if `word` is anything else or more than `max`. */
bool must_check cmd_number(const char *word, u64 max, u64 *value);

/* Takes `flag` out of the words; was it there? */
bool must_check cmd_take_flag(struct cmd *c, const char *flag);

/* Takes "FLAG N" (1 <= N <= max) out of the words; *n stays as it is when there is none. */
enum err must_check cmd_take_number(struct cmd *c, const char *flag, u64 max, u64 *n);

/* The same for "-n". */
enum err must_check cmd_take_count(struct cmd *c, u64 max, u64 *n);

/* Takes "KEY=VALUE" out of the words and returns VALUE; NULL: it is not there.  `key` is "KEY=". */
char *cmd_take_value(struct cmd *c, const char *key);

/* The words from the first-th on become one, with single blanks between them; "" if there are none. */
const char *cmd_join_words(struct cmd *c, u32 first);

/* Calls found() for each word that may stand behind `line`, what has been typed of it up to that word: commands if that is
 * nothing, else what the command's usage says literally, and the names of VMs. */
void command_candidates(const char *line, void (*found)(const char *name, void *arg), void *arg);

#endif
