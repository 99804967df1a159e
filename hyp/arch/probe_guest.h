/* SPDX-License-Identifier: BSD-2-Clause */
/* One page of code for VS-mode (probe_guest.S): loads and stores at a0, then ecall. */
#ifndef ARCH_PROBE_GUEST_H
#define ARCH_PROBE_GUEST_H

extern char probe_guest_code[];

#endif
