/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages for root tables, zeroed and kept ready. */
#ifndef MM_ROOT_H
#define MM_ROOT_H

#include "mm/frame.h"

/* The first of the four frames of a root, all zero.  NULL: no memory; never for FRAME_PROMISED, which takes
 * one that root_promise() has put aside. */
struct frame *must_check root_get(enum frame_use use);

/* Gives it back, all zero again. */
void root_put(struct frame *f);

/* Idle work: keeps a few ready; returns whether there is more of that to do. */
bool root_ahead(void);

/* Gives those kept ready back to the free frames (memory is short, or an audit), but for what is promised. */
void root_drain(void);

/* Puts one aside.  False: no memory. */
bool must_check root_promise(void);
void root_unpromise(void);
u32 root_n_promised(void);

#endif
