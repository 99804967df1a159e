/* SPDX-License-Identifier: BSD-2-Clause */
/* Fences of the running fake hart: counted, and honoured by its lazy TLB (fake.c). */
#ifndef ARCH_FENCE_H
#define ARCH_FENCE_H

#include "lib/types.h"

void hfence_gvma_all(void);
void hfence_gvma_vmid(u64 vmid);
void hfence_gvma_gpa(gpa_t gpa, u64 vmid);
void hfence_vvma_all(void);
void hfence_vvma_asid(u64 asid);
void hfence_vvma_gva(gva_t gva);
void hfence_vvma_gva_asid(gva_t gva, u64 asid);
void fence_i(void);

#endif
