/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pools of equal small objects (VM, vCPU, table and block records), cut from
 * whole frames; a frame whose last object is freed goes back at once, unless objects
 * have been promised that could not be had without it.
 */
#ifndef MM_POOL_H
#define MM_POOL_H

#include "arch/lock.h"
#include "lib/types.h"
#include "mm/frame.h"

struct pool_page;

struct pool {
	const char *name;          /* I */
	u32 obj_len;               /* I: bytes, multiple of 16; at most PAGE_SIZE - 64 */
	enum frame_use use;        /* I: what its frames may be taken from */
	struct spinlock lock;      /*    guards what follows */
	struct pool_page *partial; /*    pages with at least one free object */
	u64 n_objects;             /*    handed out now */
	u64 n_free;                /*    free objects in all pages */
	u64 n_promised;            /*    of these: put aside */
};

#define POOL_INIT(name_, type_, use_)                                                        \
	{                                                                                    \
		.name = (name_), .obj_len = (u32)ALIGN_UP(sizeof(type_), 16), .use = (use_), \
		.lock = LOCK_INIT(LOCK_POOL)                                                 \
	}

/* A zeroed object, or NULL when no frame is left. 16-byte aligned. */
void *must_check pool_alloc(struct pool *p);

/* As pool_alloc, contents undefined: for objects that are overwritten whole. */
void *must_check pool_alloc_raw(struct pool *p);

void pool_free(struct pool *p, void *obj);

/* The same for objects that are chained by a pointer `link` bytes into each, NULL at the end. */
void pool_free_chain(struct pool *p, void *first, size_t link);

/* Puts `n` objects aside for pool_alloc_promised(), which then cannot fail.  False: no memory,
 * nothing has changed. */
bool must_check pool_promise(struct pool *p, u64 n);
void pool_unpromise(struct pool *p, u64 n);
void *pool_alloc_promised(struct pool *p);

/* One frame for a record, contents undefined: from the hart's stock, without a lock. */
void *must_check page_alloc_raw(enum frame_use use);
void page_free(void *page);

/* Whole zeroed frames for records, rings, buffers; freed with the same count of pages. */
void *must_check pages_alloc(u32 order, enum frame_use use);

/* The same, contents undefined. */
void *must_check pages_alloc_raw(u32 order, enum frame_use use);
void pages_free(void *pages, u32 order);

/* Frames that all pools and pages_alloc() hold now. */
u64 pool_n_frames(void);

#endif
