/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pools of equal small objects (VM, vCPU, table and block records), cut from
 * whole frames; a frame whose last object is freed goes back at once.
 */
#ifndef MM_POOL_H
#define MM_POOL_H

#include "arch/lock.h"
#include "lib/types.h"

struct pool_page;

struct pool {
	const char *name;          /* I */
	u32 obj_len;               /* I: bytes, multiple of 16; at most PAGE_SIZE - 64 */
	struct spinlock lock;      /*    guards what follows */
	struct pool_page *partial; /*    pages with at least one free object */
	u64 n_objects;             /*    handed out now */
};

#define POOL_INIT(name_, type_)                                               \
	{                                                                     \
		.name = (name_), .obj_len = (u32)ALIGN_UP(sizeof(type_), 16), \
		.lock = LOCK_INIT(LOCK_POOL)                                  \
	}

/* A zeroed object, or NULL when no frame is left. 16-byte aligned. */
void *must_check pool_alloc(struct pool *p);

/* As pool_alloc, contents undefined: for objects that are overwritten whole. */
void *must_check pool_alloc_raw(struct pool *p);

void pool_free(struct pool *p, void *obj);

/* Whole zeroed frames for Pando itself (rings, buffers); freed with the same count of pages. */
void *must_check pages_alloc(u32 order);
void pages_free(void *pages, u32 order);

/* Frames that all pools and pages_alloc() hold now. */
u64 pool_n_frames(void);

#endif
