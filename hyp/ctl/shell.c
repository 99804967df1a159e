/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line editor as a state machine: one byte in, some bytes out, never waits.
 *
 * The screen shows either the prompt with the line (`is_drawn`) or it does not,
 * because a command, a job or an attached guest has the screen.  Whoever prints
 * takes the line away first; it is drawn again once, when ctl_poll() is done.
 * Log lines come from any hart at any time and cannot do that: they leave a mark.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "ctl/demo.h"
#include "ctl/shell.h"
#include "ctl/top.h"
#include "ctl/view.h"
#include "drv/console.h"

#define PROMPT      "pando> "
#define HISTORY_LEN 16U
#define WORD_LEN    64U
#define LINE_LEN    256U /* with its NUL */

enum key {
	KEY_HOME = 0x01,
	KEY_LEFT = 0x02,
	KEY_CTRL_C = 0x03,
	KEY_CTRL_D = 0x04,
	KEY_END = 0x05,
	KEY_RIGHT = 0x06,
	KEY_BACKSPACE = 0x08,
	KEY_TAB = 0x09,
	KEY_NEWLINE = 0x0a,
	KEY_KILL_REST = 0x0b,
	KEY_REDRAW = 0x0c,
	KEY_RETURN = 0x0d,
	KEY_DOWN = 0x0e,
	KEY_UP = 0x10,
	KEY_KILL_LINE = 0x15,
	KEY_KILL_WORD = 0x17,
	KEY_ESCAPE = 0x1b,
	KEY_DELETE = 0x7f,
};

enum escape { ESC_NONE, ESC_START, ESC_BRACKET, ESC_NUMBER };

static struct {
	bool is_started;
	_Atomic bool is_drawn;
	_Atomic bool is_overwritten;
	_Atomic u32 n_said; /* lines, by others than commands */
	char line[LINE_LEN];
	u32 len, cursor;
	enum escape escape;
	char number; /* the digit of "ESC [ 3 ~" */
	char last;   /* byte before this one: "\r\n" is one key */
	char history[HISTORY_LEN][LINE_LEN];
	u32 n_history; /* lines ever stored */
	u32 back;      /* how many lines back the shown one is; 0: the new one */
} sh;

/* Screen */

static void put(const char *text)
{
	console_write(text, strlen(text));
}

static void undraw(void)
{
	if (sh.is_drawn)
		put("\r\033[K");
	sh.is_drawn = false;
}

static void draw(void)
{
	put("\r\033[K" PROMPT);
	console_write(sh.line, sh.len);
	if (sh.cursor < sh.len)
		console_printf("\033[%uD", sh.len - sh.cursor);
	sh.is_drawn = true;
	atomic_store(&sh.is_overwritten, false);
}

static bool owns_screen(void)
{
	return sh.is_started && !demo_is_running() && !view_attached() && !top_is_running();
}

void shell_refresh(void)
{
	if (owns_screen() && (!sh.is_drawn || atomic_load(&sh.is_overwritten)))
		draw();
}

void shell_log(const char *text, size_t len)
{
	if (atomic_load(&sh.is_drawn))
		console_write("\r\033[K", 4);
	console_write(text, len);
	atomic_store(&sh.is_overwritten, true);
	atomic_fetch_add(&sh.n_said, 1);
}

bool shell_needs_refresh(void)
{
	return atomic_load_explicit(&sh.is_overwritten, memory_order_relaxed) && owns_screen();
}

void shell_say(const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text) - 1, fmt, ap);
	va_end(ap);
	strcat(text, "\n");
	undraw();
	put(text);
	atomic_fetch_add(&sh.n_said, 1);
}

u32 shell_n_said(void)
{
	return atomic_load(&sh.n_said);
}

void shell_start(void)
{
	sh.is_started = true;
	shell_refresh();
}

void shell_detached(void)
{
	put("\n");
	shell_say("detached");
}

/* Editing */

static void set_line(const char *text)
{
	sh.len = (u32)u64_min(strlen(text), sizeof(sh.line) - 1);
	memcpy(sh.line, text, sh.len);
	sh.line[sh.len] = 0;
	sh.cursor = sh.len;
	draw();
}

static void insert(const char *text, u32 n)
{
	bool at_end = sh.cursor == sh.len;

	if (sh.len + n >= sizeof(sh.line))
		return;
	memmove(&sh.line[sh.cursor + n], &sh.line[sh.cursor], sh.len - sh.cursor);
	memcpy(&sh.line[sh.cursor], text, n);
	sh.len += n;
	sh.cursor += n;
	sh.line[sh.len] = 0;
	if (at_end && sh.is_drawn)
		console_write(text, n);
	else
		draw();
}

/* Takes out the bytes from `from` up to `to`. */
static void erase(u32 from, u32 to)
{
	if (from == to)
		return;
	memmove(&sh.line[from], &sh.line[to], sh.len - to);
	sh.len -= to - from;
	sh.cursor = from;
	sh.line[sh.len] = 0;
	draw();
}

static u32 word_start(void)
{
	u32 at = sh.cursor;

	while (at > 0 && sh.line[at - 1] == ' ')
		at--;
	while (at > 0 && sh.line[at - 1] != ' ')
		at--;
	return at;
}

static void move(u32 to)
{
	if (to <= sh.len) {
		sh.cursor = to;
		draw();
	}
}

/* History */

static void remember(void)
{
	const char *newest = sh.history[(sh.n_history + HISTORY_LEN - 1) % HISTORY_LEN];

	sh.back = 0;
	if (sh.len == 0 || (sh.n_history > 0 && strcmp(newest, sh.line) == 0))
		return;
	strcpy(sh.history[sh.n_history % HISTORY_LEN], sh.line);
	sh.n_history++;
}

static void browse(u32 back)
{
	if (back > u64_min(sh.n_history, HISTORY_LEN))
		return;
	sh.back = back;
	set_line(back ? sh.history[(sh.n_history - back) % HISTORY_LEN] : "");
}

/* Completion */

struct completion {
	const char *word;
	size_t len;
	u32 n_found;
	char common[WORD_LEN]; /* what all that fit begin with */
	bool list;             /* second pass: print them */
};

static void complete_one(const char *name, void *arg)
{
	struct completion *m = arg;
	size_t i = 0;

	if (strncmp(name, m->word, m->len) != 0 || strlen(name) >= sizeof(m->common))
		return;
	if (m->list)
		console_printf("%s  ", name);
	else if (m->n_found == 0)
		strcpy(m->common, name);
	while (m->common[i] && m->common[i] == name[i])
		i++;
	m->common[i] = 0;
	m->n_found++;
}

static void complete(void)
{
	u32 start = sh.cursor;
	struct completion m = { 0 };
	char word[LINE_LEN], before[LINE_LEN];

	while (start > 0 && sh.line[start - 1] != ' ')
		start--;
	m.len = sh.cursor - start;
	memcpy(word, &sh.line[start], m.len);
	word[m.len] = 0;
	m.word = word;
	memcpy(before, sh.line, start);
	before[start] = 0;
	command_candidates(before, complete_one, &m);
	if (m.n_found == 0)
		return;
	if (strlen(m.common) > m.len) {
		insert(m.common + m.len, (u32)(strlen(m.common) - m.len));
	} else if (m.n_found > 1) {
		put("\n");
		m.list = true;
		command_candidates(before, complete_one, &m);
		put("\n");
		draw();
	}
	if (m.n_found == 1 && m.common[strlen(m.common) - 1] != '=')
		insert(" ", 1);
}

/* Commands */

static void enter(void)
{
	char line[LINE_LEN];

	remember();
	strcpy(line, sh.line);
	put("\n");
	sh.is_drawn = false;
	sh.len = sh.cursor = 0;
	sh.line[0] = 0;
	shell_run(line);
}

/* Keys */

static void escape_key(char c)
{
	enum escape was = sh.escape;

	sh.escape = ESC_NONE;
	if (was == ESC_START) {
		sh.escape = c == '[' || c == 'O' ? ESC_BRACKET : ESC_NONE;
		return;
	}
	if (was == ESC_NUMBER) {
		if (c == '~' && sh.number == '3' && sh.cursor < sh.len)
			erase(sh.cursor, sh.cursor + 1);
		else if (c != '~')
			sh.escape = (c >= '0' && c <= '9') || c == ';' ? ESC_NUMBER : ESC_NONE;
		return;
	}
	switch (c) {
	case 'A': browse(sh.back + 1); break;
	case 'B': browse(sh.back > 0 ? sh.back - 1 : 0); break;
	case 'C': move(sh.cursor + 1); break;
	case 'D': move(sh.cursor - 1); break;
	case 'H': move(0); break;
	case 'F': move(sh.len); break;
	default:
		sh.number = c;
		sh.escape = c >= '0' && c <= '9' ? ESC_NUMBER : ESC_NONE;
		break;
	}
}

static void control_key(enum key key)
{
	switch (key) {
	case KEY_RETURN:
	case KEY_NEWLINE: enter(); break;
	case KEY_BACKSPACE:
	case KEY_DELETE:
		if (sh.cursor > 0)
			erase(sh.cursor - 1, sh.cursor);
		break;
	case KEY_CTRL_C:
		put("^C\n");
		sh.back = 0;
		set_line("");
		break;
	case KEY_CTRL_D:
		if (sh.cursor < sh.len)
			erase(sh.cursor, sh.cursor + 1);
		break;
	case KEY_TAB: complete(); break;
	case KEY_KILL_LINE: erase(0, sh.cursor); break;
	case KEY_KILL_WORD: erase(word_start(), sh.cursor); break;
	case KEY_KILL_REST: erase(sh.cursor, sh.len); break;
	case KEY_HOME: move(0); break;
	case KEY_END: move(sh.len); break;
	case KEY_LEFT: move(sh.cursor - 1); break;
	case KEY_RIGHT: move(sh.cursor + 1); break;
	case KEY_UP: browse(sh.back + 1); break;
	case KEY_DOWN: browse(sh.back > 0 ? sh.back - 1 : 0); break;
	case KEY_REDRAW: draw(); break;
	case KEY_ESCAPE: sh.escape = ESC_START; break;
	default: break;
	}
}

/* The keys that work while a job or an attached guest has the screen. */
static bool foreign_key(char c)
{
	if (view_attached()) {
		if (c == VIEW_ESCAPE) {
			view_detach();
			shell_detached();
		} else {
			view_input(c);
		}
		return true;
	}
	if (demo_is_running()) {
		if (c == KEY_CTRL_C)
			demo_cancel();
		return true;
	}
	return false;
}

/* Any key ends it, and is used up; but an arrow key, of several bytes, is the line's. */
static void end_top(char c, char last)
{
	if (c == KEY_NEWLINE && last == KEY_RETURN)
		return;
	top_stop();
	if (c == KEY_ESCAPE)
		sh.escape = ESC_START;
}

void shell_key(char c)
{
	char last = sh.last;

	sh.last = c;
	if (top_is_running()) {
		end_top(c, last);
		return;
	}
	if (foreign_key(c) || (c == KEY_NEWLINE && last == KEY_RETURN))
		return;
	if (!sh.is_drawn)
		draw();
	/* A control key ends a sequence that was begun: Enter after a stray Escape is Enter. */
	if ((u8)c < 0x20)
		sh.escape = ESC_NONE;
	if (sh.escape != ESC_NONE)
		escape_key(c);
	else if ((u8)c < 0x20 || c == KEY_DELETE)
		control_key((enum key)c);
	else
		insert(&c, 1);
}
