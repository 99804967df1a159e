/* SPDX-License-Identifier: BSD-2-Clause */
/* CSR fields, trap causes and page-table entry bits by the privileged spec's names. */
#ifndef ARCH_CSR_BITS_H
#define ARCH_CSR_BITS_H

#include "lib/types.h"

#define SSTATUS_SIE        BIT(1)
#define SSTATUS_SPIE       BIT(5)
#define SSTATUS_SPP        BIT(8)
#define SSTATUS_VS         (3UL << 9)
#define SSTATUS_VS_CLEAN   (2UL << 9)
#define SSTATUS_VS_DIRTY   (3UL << 9)
#define SSTATUS_FS         (3UL << 13)
#define SSTATUS_FS_INITIAL (1UL << 13)
#define SSTATUS_FS_CLEAN   (2UL << 13)
#define SSTATUS_FS_DIRTY   (3UL << 13)
#define SSTATUS_SUM        BIT(18)
#define SSTATUS_MXR        BIT(19)
#define SSTATUS_UXL_64     (2UL << 32)

#define VTYPE_VILL BIT(63)

#define HSTATUS_GVA     BIT(6)
#define HSTATUS_SPV     BIT(7)
#define HSTATUS_SPVP    BIT(8)
#define HSTATUS_HU      BIT(9)
#define HSTATUS_VTVM    BIT(20)
#define HSTATUS_VTW     BIT(21)
#define HSTATUS_VTSR    BIT(22)
#define HSTATUS_VSXL_64 (2UL << 32)

#define IRQ_S_SOFT   1
#define IRQ_VS_SOFT  2
#define IRQ_S_TIMER  5
#define IRQ_VS_TIMER 6
#define IRQ_S_EXT    9
#define IRQ_VS_EXT   10
#define IRQ_S_GEXT   12

#define HVIP_VSSIP BIT(IRQ_VS_SOFT)
#define HVIP_VSTIP BIT(IRQ_VS_TIMER)
#define HVIP_VSEIP BIT(IRQ_VS_EXT)

#define HENVCFG_FIOM       BIT(0)
#define HENVCFG_CBIE_FLUSH (1UL << 4)
#define HENVCFG_CBIE_INVAL (3UL << 4)
#define HENVCFG_CBCFE      BIT(6)
#define HENVCFG_CBZE       BIT(7)
#define HENVCFG_ADUE       BIT(61)
#define HENVCFG_STCE       BIT(63)

#define HGATP_MODE_SV39X4 (8UL << 60)
#define HGATP_VMID_SHIFT  44
#define HGATP_PPN         (BIT(44) - 1)

#define CAUSE_IRQ              BIT(63)
#define CAUSE_FETCH_MISALIGNED 0
#define CAUSE_FETCH_ACCESS     1
#define CAUSE_ILLEGAL          2
#define CAUSE_BREAKPOINT       3
#define CAUSE_LOAD_MISALIGNED  4
#define CAUSE_LOAD_ACCESS      5
#define CAUSE_STORE_MISALIGNED 6
#define CAUSE_STORE_ACCESS     7
#define CAUSE_ECALL_U          8
#define CAUSE_ECALL_VS         10
#define CAUSE_FETCH_PAGE       12
#define CAUSE_LOAD_PAGE        13
#define CAUSE_STORE_PAGE       15
#define CAUSE_GUEST_FETCH_PAGE 20
#define CAUSE_GUEST_LOAD_PAGE  21
#define CAUSE_VIRTUAL_INSN     22
#define CAUSE_GUEST_STORE_PAGE 23

#define HTINST_READ_PTE  0x3000U /* implicit read of a guest PTE */
#define HTINST_WRITE_PTE 0x3020U /* implicit write of A/D bits to a guest PTE */

/* Of any stage; software has bits 8 and 9. */
#define PTE_V         BIT(0)
#define PTE_R         BIT(1)
#define PTE_W         BIT(2)
#define PTE_X         BIT(3)
#define PTE_U         BIT(4)
#define PTE_A         BIT(6)
#define PTE_D         BIT(7)
#define PTE_PPN_SHIFT 10

#endif
