/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shell on the machine's UART: line editing, history, completion, and the one
 * way in which anything else is said on a screen that shows a half-typed line.
 */
#ifndef CTL_SHELL_H
#define CTL_SHELL_H

#include "arch/log.h"

/* Shows the prompt from now on. */
void shell_start(void);

/* One byte from the terminal. */
void shell_key(char c);

/* One line for the screen (without a newline at its end); the line being typed is taken away
 * before it and comes back with shell_refresh(). */
void shell_say(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Runs a line that was typed; what it has to say goes to the screen. */
void shell_run(const char *line);

/* Draws the prompt and the typed line if they are not on the screen and should be. */
void shell_refresh(void);

/* The attached VM has gone, or its console was left with Ctrl-]. */
void shell_detached(void);

/* How often something has been said: a view that draws over itself begins anew when it has changed. */
u32 shell_n_said(void);

/* Sink for the log: from any hart, under any lock.  The typed line comes back later. */
void shell_log(const char *text, size_t len);
bool shell_needs_refresh(void);

#endif
