/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker as a function would be one: ready, then without end wait for a payload, turn its letters into capitals where
 * they lie, report. A payload "end" ends it.
 * Arguments: greet=0 (1: a clone first reports its number)
 */
#include "guest.h"
#include <stdio.h>
#include <string.h>

const char guest_name[] = "work";

void guest_main(void)
{
	char *window = (char *)machine.window;
	u32 id = mailbox_ready();
	if (guest_arg("greet", 0))
		mailbox_put(MB_DONE, (u32)sprintf(window, "clone %u", id));
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
