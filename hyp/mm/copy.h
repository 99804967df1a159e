/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one door through which Pando reads and writes guest memory by GPA.
 *
 * Every byte range comes from a guest and is not to be trusted: the whole range
 * is checked against the space's regions first, writes go through the same
 * break as guest stores.  All take and release the space's lock per page.
 * ERR_RANGE: some byte is not memory (nothing was copied).  ERR_NOMEM: no frame
 * for a break; a prefix may have been copied.
 */
#ifndef MM_COPY_H
#define MM_COPY_H

#include "mm/space.h"

enum err must_check copy_from_guest(struct space *s, void *dst, gpa_t src, u64 len);
/* Makes [dst, dst + len) writable, so that a copy to it that follows cannot fail: before something is taken that
 * could not be put back.  True until the space is shared, which waits until its vCPUs stand still. */
enum err must_check copy_prepare(struct space *s, gpa_t dst, u64 len);
enum err must_check copy_to_guest(struct space *s, gpa_t dst, const void *src, u64 len);

#endif
