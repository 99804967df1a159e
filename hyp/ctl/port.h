/* SPDX-License-Identifier: BSD-2-Clause */
/* What a port of the machine's virtio console is for: its name says so, and ends in a number. */
#ifndef CTL_PORT_H
#define CTL_PORT_H

#include <string.h>
#include "ctl/command.h"
#include "drv/serial.h"

/* Does the port's name consist of `prefix` and a number? */
static inline bool port_is(u32 port, const char *prefix, u64 *number)
{
	const char *name = serial_name(port);
	size_t len = strlen(prefix);

	return name && strncmp(name, prefix, len) == 0 &&
	       cmd_number(name + len, UINT32_MAX, number);
}

#endif
