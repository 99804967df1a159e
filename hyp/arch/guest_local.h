/* SPDX-License-Identifier: BSD-2-Clause */
/* fp.S, for guest.c: all FP registers at once; sstatus.FS must not be Off. */
#ifndef ARCH_GUEST_LOCAL_H
#define ARCH_GUEST_LOCAL_H

#include "arch/guest.h"

void fp_load_all(const struct guest_fp *fp);
void fp_save_all(struct guest_fp *fp);

#endif
