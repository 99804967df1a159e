/* SPDX-License-Identifier: BSD-2-Clause */
/* The extensions that sbi.c's table lists. */
#ifndef SBI_EXT_H
#define SBI_EXT_H

#include "sbi/sbi.h"
#include "vm/vm.h"

extern const struct sbi_ext sbi_base, sbi_time, sbi_ipi, sbi_rfence, sbi_hsm, sbi_srst, sbi_dbcn,
	sbi_putchar, sbi_getchar;

#endif
