/* SPDX-License-Identifier: BSD-2-Clause */
/* Host-physical memory of the tests: an arena that starts at FAKE_RAM_BASE. */
#ifndef ARCH_PHYS_H
#define ARCH_PHYS_H

#include "lib/types.h"

#define FAKE_RAM_BASE 0x80000000UL

extern u8 *fake_ram; /* 2 MiB aligned */

static inline void *hpa_ptr(hpa_t hpa)
{
	return fake_ram + (hpa.v - FAKE_RAM_BASE);
}

static inline hpa_t ptr_hpa(const void *ptr)
{
	return HPA((u64)((const u8 *)ptr - fake_ram) + FAKE_RAM_BASE);
}

#endif
