/* SPDX-License-Identifier: BSD-2-Clause */
/* fp.S and vector.S, for guest.c: all registers at once; sstatus.FS or VS must not be Off. */
#ifndef ARCH_GUEST_LOCAL_H
#define ARCH_GUEST_LOCAL_H

#include "arch/guest.h"

void fp_load_all(const struct guest_fp *fp);
void fp_save_all(struct guest_fp *fp);

/* v0 .. v31 from or to GUEST_VECTOR_LEN bytes.  Loading leaves vstart 0; saving leaves it alone. */
void vector_load_v(const u8 *v);
void vector_save_v(u8 *v);

/* There is no other way to write these two CSRs.  Leaves vstart 0. */
void vector_set_vl_vtype(u64 vl, u64 vtype);

#endif
