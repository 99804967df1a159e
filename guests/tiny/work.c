/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker as a function would be one: ready, then without end wait for a payload, turn its letters into capitals where
 * they lie, report. A payload "end" ends it.
 */
#include "guest.h"
#include <string.h>

const char guest_name[] = "work";

void guest_main(void)
{
	char *window = (char *)machine.window;
	mailbox_ready();
	for (;;) {
		u32 len = mailbox_get(MB_NEXT);
		check(len <= mailbox_get(MB_WINDOW_LEN), "a payload of %u bytes", len);
		if (len == 3 && memcmp(window, "end", 3) == 0)
			return;
		for (u32 i = 0; i < len; i++)
			if (window[i] >= 'a' && window[i] <= 'z')
				window[i] -= 'a' - 'A';
		mailbox_put(MB_DONE, len);
	}
}
