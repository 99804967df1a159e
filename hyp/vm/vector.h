/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory for the vector registers of vCPUs (vector.c), on machines that have V. */
#ifndef VM_VECTOR_H
#define VM_VECTOR_H

#include "arch/guest.h"

/* After probe_machine(), before the first VM. */
void vector_init(void);

/* vector->v, contents undefined.  False: no memory. */
bool must_check vector_alloc(struct guest_vector *vector);
void vector_free(struct guest_vector *vector);

/* Both have memory, neither is loaded in a hart. */
void vector_copy(struct guest_vector *to, const struct guest_vector *from);

#endif
