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

#define HFENCE(insn, ...)                                                   \
	__asm__ volatile inline(".option push\n\t.option arch, +h\n\t" insn \
	                        "\n\t.option pop" ::__VA_ARGS__             \
	                        : "memory")

static inline void hfence_gvma_all(void) /* every VMID */
{
	HFENCE("hfence.gvma", );
}

static inline void hfence_gvma_vmid(u64 vmid) /* one VMID, also after a changed pointer PTE */
{
	HFENCE("hfence.gvma zero, %0", "r"(vmid));
}

static inline void hfence_gvma_gpa(gpa_t gpa, u64 vmid) /* leaf entries that map gpa */
{
	HFENCE("hfence.gvma %0, %1", "r"(gpa.v >> 2), "r"(vmid));
}

static inline void hfence_vvma_all(void)
{
	HFENCE("hfence.vvma", );
}

static inline void hfence_vvma_asid(u64 asid)
{
	HFENCE("hfence.vvma zero, %0", "r"(asid));
}

static inline void hfence_vvma_gva(gva_t gva)
{
	HFENCE("hfence.vvma %0, zero", "r"(gva.v));
}

static inline void hfence_vvma_gva_asid(gva_t gva, u64 asid)
{
	HFENCE("hfence.vvma %0, %1", "r"(gva.v), "r"(asid));
}

static inline void fence_i(void)
{
	__asm__ volatile("fence.i" ::: "memory");
}

#endif
