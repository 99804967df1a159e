/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake arch: a device's registers are functions of the test, which defines them if it has a device. */
#ifndef ARCH_IO_H
#define ARCH_IO_H

#include "lib/types.h"

u32 io_load32(u64 addr);
void io_store32(u64 addr, u32 value);

static inline void io_fence(void)
{
	__asm__ volatile("" ::: "memory");
}

#endif
