/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How Pando reaches host-physical memory: all RAM is mapped at its own address.
 * Host tests replace this header by one that offsets into an arena.
 */
#ifndef ARCH_PHYS_H
#define ARCH_PHYS_H

#include "lib/types.h"

static inline void *hpa_ptr(hpa_t hpa)
{
	return (void *)hpa.v; /* NOLINT: identity map */
}

static inline hpa_t ptr_hpa(const void *ptr)
{
	return HPA((u64)ptr);
}

#endif
