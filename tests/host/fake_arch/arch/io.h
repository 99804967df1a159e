/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake arch: a device's registers are functions of the test, which defines them if it has a device. */
#ifndef ARCH_IO_H
#define ARCH_IO_H

#include "lib/types.h"

u8 io_load8(u64 addr);
void io_store8(u64 addr, u8 value);
u32 io_load32(u64 addr);
void io_store32(u64 addr, u32 value);

static inline void io_fence(void)
{
	__asm__ volatile("" ::: "memory");
}

#endif
