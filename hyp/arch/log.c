// SPDX-License-Identifier: BSD-2-Clause
/*
 * The log: a ring of fixed lines under one lock, and one sink.  The sink is
 * called outside that lock, because a console has a lock of lower rank; two
 * harts may thus print in another order than the ring shows.
 */
#include "arch/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch/firmware.h"
#include "arch/lock.h"
#include "arch/time.h"

#define LOG_LINES    256U
#define LOG_LINE_LEN 200U

struct log_line {
	u64 ticks;
	enum log_level level;
	char text[LOG_LINE_LEN + 1];
};

static struct spinlock log_lock = LOCK_INIT(LOCK_LOG);
static struct log_line ring[LOG_LINES]; /* log_lock: line n is at n % LOG_LINES */
static u64 n_lines;                     /* log_lock: lines ever written */

/* Set at boot. */
static _Atomic(log_sink_fn) log_sink;

void log_set_sink(log_sink_fn sink)
{
	atomic_store(&log_sink, sink);
}

static void to_console(enum log_level level, const char *text)
{
	static const char *const prefix[] = {
		[LOG_ERROR] = "error: ", [LOG_WARN] = "warning: ", [LOG_INFO] = ""
	};
	log_sink_fn sink = atomic_load(&log_sink);
	char line[LOG_LINE_LEN + 16];
	size_t len;

	snprintf(line, sizeof(line) - 2, "%s%s", prefix[level], text);
	len = strlen(line);
	if (sink == NULL)
		line[len++] = '\r';
	line[len++] = '\n';
	if (sink != NULL)
		sink(line, len);
	else
		firmware_console_write(line, len);
}

void log_at(enum log_level level, const char *fmt, ...)
{
	struct log_line line = { .ticks = time_now(), .level = level };
	va_list args;

	va_start(args, fmt);
	vsnprintf(line.text, sizeof(line.text), fmt, args);
	va_end(args);
	lock_acquire(&log_lock);
	ring[n_lines % LOG_LINES] = line;
	n_lines++;
	lock_release(&log_lock);
	to_console(level, line.text);
}

void log_for_each(void (*fn)(enum log_level level, u64 ticks, const char *text, void *arg),
                  void *arg)
{
	struct log_line line;
	u64 n;
	u64 end;

	lock_acquire(&log_lock);
	end = n_lines;
	lock_release(&log_lock);
	for (n = end > LOG_LINES ? end - LOG_LINES : 0; n < end; n++) {
		/* One line at a time: `fn` prints, which takes a lock of lower rank. */
		lock_acquire(&log_lock);
		line = ring[n % LOG_LINES];
		lock_release(&log_lock);
		fn(line.level, line.ticks, line.text, arg);
	}
}
