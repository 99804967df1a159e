/* SPDX-License-Identifier: BSD-2-Clause */
/* CSRs of the running fake hart, by name; every write is kept (fake.h). */
#ifndef ARCH_CSR_H
#define ARCH_CSR_H

#include "arch/csr_bits.h"
#include "lib/types.h"

u64 *fake_csr(const char *name);

#define csr_read(name)         (*fake_csr(#name))
#define csr_write(name, value) ((void)(*fake_csr(#name) = (u64)(value)))
#define csr_set(name, bits)    ((void)(*fake_csr(#name) |= (u64)(bits)))
#define csr_clear(name, bits)  ((void)(*fake_csr(#name) &= ~(u64)(bits)))
#define csr_swap(name, value)                    \
	({                                       \
		u64 csr_v_ = *fake_csr(#name);   \
		*fake_csr(#name) = (u64)(value); \
		csr_v_;                          \
	})

#endif
