/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fences of the H extension on this hart (privileged spec, "Hypervisor Memory-
 * Management Fence Instructions").  Each one also orders this hart's earlier
 * stores to the tables before its later implicit reads of them.
 *
 * hfence_gvma*: G-stage.  hfence_vvma*: VS-stage of the VMID now in hgatp.
 */
#ifndef ARCH_FENCE_H
#define ARCH_FENCE_H

#include "lib/types.h"

void hfence_gvma_all(void);                /* every VMID */
void hfence_gvma_vmid(u64 vmid);           /* one VMID, also after a changed pointer PTE */
void hfence_gvma_gpa(gpa_t gpa, u64 vmid); /* leaf entries that map gpa (operand is GPA >> 2) */
void hfence_vvma_all(void);
void hfence_vvma_asid(u64 asid);
void hfence_vvma_gva(gva_t gva);
void hfence_vvma_gva_asid(gva_t gva, u64 asid);
void fence_i(void);

#endif
