/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Vector registers lie outside the vCPU's record: how long they are only the machine
 * knows, from 512 bytes (VLEN 128) to a whole frame (VLEN 1024), and most machines have
 * none.  They share frames as long as several fit in one.
 */
#include "vm/vector.h"
#include "mm/pool.h"
#include "mm/space.h"
#include <string.h>

static struct pool pool = { .name = "vector", /* obj_len: vector_init() */
	                    .use = FRAME_FOR_GUEST,
	                    .lock = LOCK_INIT(LOCK_POOL) };

static bool is_pooled(void)
{
	return pool.obj_len < PAGE_SIZE / 2;
}

void vector_init(void)
{
	pool.obj_len = (u32)GUEST_VECTOR_LEN;
}

static u8 *alloc(void)
{
	return is_pooled() ? pool_alloc_raw(&pool) : page_alloc_raw(pool.use);
}

bool vector_alloc(struct guest_vector *vector)
{
	vector->v = alloc();
	if (vector->v == NULL && space_relieve())
		vector->v = alloc();
	return vector->v != NULL;
}

void vector_free(struct guest_vector *vector)
{
	if (is_pooled())
		pool_free(&pool, vector->v);
	else
		page_free(vector->v);
}

void vector_copy(struct guest_vector *to, const struct guest_vector *from)
{
	to->vstart = from->vstart;
	to->vcsr = from->vcsr;
	to->vl = from->vl;
	to->vtype = from->vtype;
	memcpy(to->v, from->v, GUEST_VECTOR_LEN);
}
