/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What Pando says.  Lines go to a ring (shell command `log`) and to the console
 * through one hook that drv installs; before that, to the firmware's console.
 */
#ifndef ARCH_LOG_H
#define ARCH_LOG_H

#include "lib/types.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO };

/* One line, without a newline at its end; cut at 200 bytes. */
void log_at(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)

/* The console that drv installs: writes `len` bytes, must not log. */
typedef void (*log_sink_fn)(const char *text, size_t len);
void log_set_sink(log_sink_fn sink);

/* Calls `line` for each line in the ring, oldest first. */
void log_for_each(void (*line)(enum log_level level, u64 ticks, const char *text, void *arg),
                  void *arg);

#endif
