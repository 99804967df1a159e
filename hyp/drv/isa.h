/* SPDX-License-Identifier: BSD-2-Clause */
/* ISA extensions of a cpu node: riscv,isa-extensions where it exists, else riscv,isa. */
#ifndef DRV_ISA_H
#define DRV_ISA_H

#include "lib/types.h"

/* Has cpu node `node` extension `name`: a single letter, or e.g. "sstc"? */
bool isa_has(const void *fdt, int node, const char *name);

/* The same for a riscv,isa string such as "rv64imafdch_zicsr_sstc". */
bool isa_string_has(const char *isa, const char *name);

#endif
