/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CSR access by the spec's names: csr_read(hgatp), csr_write(hvip, v),
 * csr_set(hie, bits), csr_clear(hie, bits), csr_swap(sscratch, v).
 * Debian 12's assembler does not know the H extension's CSR names unless
 * `.option arch, +h` is in force, so names map to numbers here.
 * Host tests replace this header: the fake arch records every write.
 */
#ifndef ARCH_CSR_H
#define ARCH_CSR_H

#include "arch/csr_bits.h"
#include "lib/types.h"

#define CSR_scause     0x142
#define CSR_scounteren 0x106
#define CSR_senvcfg    0x10a
#define CSR_sepc       0x141
#define CSR_sie        0x104
#define CSR_sip        0x144
#define CSR_sscratch   0x140
#define CSR_sstatus    0x100
#define CSR_stimecmp   0x14d
#define CSR_stval      0x143
#define CSR_stvec      0x105
#define CSR_satp       0x180
#define CSR_hstatus    0x600
#define CSR_hedeleg    0x602
#define CSR_hideleg    0x603
#define CSR_hie        0x604
#define CSR_htimedelta 0x605
#define CSR_hcounteren 0x606
#define CSR_hgeie      0x607
#define CSR_henvcfg    0x60a
#define CSR_hstateen0  0x60c
#define CSR_htval      0x643
#define CSR_hip        0x644
#define CSR_hvip       0x645
#define CSR_htinst     0x64a
#define CSR_hgatp      0x680
#define CSR_vsstatus   0x200
#define CSR_vsie       0x204
#define CSR_vstvec     0x205
#define CSR_vsscratch  0x240
#define CSR_vsepc      0x241
#define CSR_vscause    0x242
#define CSR_vstval     0x243
#define CSR_vsip       0x244
#define CSR_vstimecmp  0x24d
#define CSR_vsiselect  0x250
#define CSR_vsatp      0x280
#define CSR_fcsr       0x003
#define CSR_vstart     0x008
#define CSR_vcsr       0x00f
#define CSR_vl         0xc20
#define CSR_vtype      0xc21
#define CSR_time       0xc01
#define CSR_instret    0xc02

#define CSR_STR_(x) #x
#define CSR_STR(x)  CSR_STR_(x)

#define csr_read(name)                                                                      \
	({                                                                                  \
		u64 csr_v_;                                                                 \
		__asm__ volatile("csrr %0, " CSR_STR(CSR_##name) : "=r"(csr_v_)::"memory"); \
		csr_v_;                                                                     \
	})
#define csr_write(name, value) \
	__asm__ volatile("csrw " CSR_STR(CSR_##name) ", %0" ::"rK"((u64)(value)) : "memory")
#define csr_set(name, bits) \
	__asm__ volatile("csrs " CSR_STR(CSR_##name) ", %0" ::"rK"((u64)(bits)) : "memory")
#define csr_clear(name, bits) \
	__asm__ volatile("csrc " CSR_STR(CSR_##name) ", %0" ::"rK"((u64)(bits)) : "memory")
#define csr_swap(name, value)                                            \
	({                                                               \
		u64 csr_v_;                                              \
		__asm__ volatile("csrrw %0, " CSR_STR(CSR_##name) ", %1" \
		                 : "=r"(csr_v_)                          \
		                 : "rK"((u64)(value))                    \
		                 : "memory");                            \
		csr_v_;                                                  \
	})

#endif
