/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * struct guest_regs as enter.S sees it: byte offsets, checked against the C
 * struct by static asserts in guest.c.  Shared between C and assembly.
 */
#ifndef ARCH_REGS_H
#define ARCH_REGS_H

#define REGS_X(n) ((n) * 8)
#define REGS_SEPC 256
#define REGS_SSTATUS 264
#define REGS_HSTATUS 272
#define REGS_HOST_SP 280

#endif
