/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function that does what its payload says:
 *   id       answers "CLONE_ID CALLS": how many calls this VM has had
 *   touch N  writes N pages, answers "touched"
 *   fail     says that it failed, and why
 *   die      says that it crashed
 *   long     says that its answer is too long
 *   off      ends the VM
 *   hang     never answers
 *   twice    answers twice
 * Anything else comes back as it is.  Argument: bad=1: a clone ends before it takes work.
 */
#include "guest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char guest_name[] = "function";

enum status { ANSWER, FAILED, CRASHED, TOO_LONG };

static u32 answer(const char *text)
{
	strcpy((char *)machine.window, text);
	return (u32)strlen(text);
}

static void touch(u64 n)
{
	check(n <= (free_end() - free_start()) / PAGE, "%lu pages are too many", n);
	for (u64 i = 0; i < n; i++)
		put64(free_start() + i * PAGE, i + 1);
}

static u32 report(enum status status, const char *text)
{
	mailbox_put(MB_STATUS, status);
	return answer(text);
}

/* The length of the answer to the `len` bytes in the window. */
static u32 handle(u32 len, u32 id, u32 n_calls)
{
	char word[32], text[32];
	u32 n = len < sizeof(word) ? len : sizeof(word) - 1;

	memcpy(word, (char *)machine.window, n);
	word[n] = 0;
	if (strcmp(word, "id") == 0) {
		sprintf(text, "%u %u", id, n_calls);
		return answer(text);
	}
	if (strncmp(word, "touch ", 6) == 0) {
		touch(strtoul(word + 6, NULL, 10));
		return answer("touched");
	}
	if (strcmp(word, "fail") == 0)
		return report(FAILED, "as it was told");
	if (strcmp(word, "die") == 0)
		return report(CRASHED, "signal 11");
	if (strcmp(word, "long") == 0)
		return report(TOO_LONG, "");
	if (strcmp(word, "off") == 0)
		finish_ok();
	if (strcmp(word, "twice") == 0)
		mailbox_put(MB_DONE, len);
	while (strcmp(word, "hang") == 0)
		wfi();
	return len;
}

void guest_main(void)
{
	u32 id = mailbox_ready();

	if (guest_arg("bad", 0) && id != 0)
		return;
	for (u32 n = 1;; n++) {
		u32 len = mailbox_get(MB_NEXT);

		mailbox_put(MB_MARK, 1);
		len = handle(len, id, n);
		mailbox_put(MB_MARK, 2);
		mailbox_put(MB_DONE, len);
	}
}
