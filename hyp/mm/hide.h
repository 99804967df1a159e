/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames for pages that nobody is to learn anything from: the secure mode of the merge scanner
 * (docs/dedup.md).
 *
 * A hidden page is a leaf without U.  Whatever it names, and whoever else does, any access gets a copy in a
 * frame that was drawn at random; what it named is put down later, by somebody else.  So the access
 * takes the same path, and the same time, whether the page was merged or not.
 */
#ifndef MM_HIDE_H
#define MM_HIDE_H

#include "mm/frame.h"

/* Once at boot: nothing is kept ready; what is drawn follows from `seed`. */
void hide_init(u64 seed);

/* Makes sure that there is something to draw from, if memory is not short.  False: it is. */
bool must_check hide_prepare(void);

/* A frame drawn at random from those kept ready, which gets another one for it; if there are none, any
 * frame.  Class, count and note are the caller's to set.  NULL: no memory. */
struct frame *must_check hide_draw(enum frame_use use);

/* What a hidden entry, which is there no more, has named: its count is dropped some time later. */
void hide_put_later(u64 pte);

/* Drops all counts that wait. */
void hide_settle(void);

/* Gives back what is kept ready. */
void hide_drain(void);

/* How many frames are kept ready: of class FRAME_POOL. */
u64 hide_n_frames(void);

#endif
