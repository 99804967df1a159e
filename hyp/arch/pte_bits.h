/* SPDX-License-Identifier: BSD-2-Clause */
/* Bits of page-table entries of any stage, by the privileged spec's names ("Sv39"). */
#ifndef ARCH_PTE_BITS_H
#define ARCH_PTE_BITS_H

#include "lib/types.h"

#define PTE_V         BIT(0)
#define PTE_R         BIT(1)
#define PTE_W         BIT(2)
#define PTE_X         BIT(3)
#define PTE_U         BIT(4)
#define PTE_A         BIT(6)
#define PTE_D         BIT(7)
#define PTE_PPN_SHIFT 10

#endif
