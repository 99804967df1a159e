/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers of devices that also read memory, and the order between the two.
 * Host tests replace this header by one whose registers are functions.
 */
#ifndef ARCH_IO_H
#define ARCH_IO_H

#include "lib/types.h"

static inline u8 io_load8(u64 addr)
{
	return *(volatile u8 *)addr; /* NOLINT: MMIO */
}

static inline void io_store8(u64 addr, u8 value)
{
	*(volatile u8 *)addr = value; /* NOLINT: MMIO */
}

static inline u32 io_load32(u64 addr)
{
	return *(volatile u32 *)addr; /* NOLINT: MMIO */
}

static inline void io_store32(u64 addr, u32 value)
{
	*(volatile u32 *)addr = value; /* NOLINT: MMIO */
}

/* All earlier loads and stores, of memory and of devices, before all later ones. */
static inline void io_fence(void)
{
	__asm__ volatile("fence iorw, iorw" ::: "memory");
}

#endif
