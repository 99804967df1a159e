/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Images for VMs: those that people have put here, and those that came with the bundle,
 * which are called VM/kernel and VM/initrd.
 */
#ifndef CTL_IMAGE_H
#define CTL_IMAGE_H

#include "ctl/names.h"
#include "mm/blob.h"

#define IMAGE_LEN_MAX (512UL << 20)
#define IMAGES_MAX    64U

/* Where an image's bytes are: in one piece, or in a blob. */
struct image_bytes {
	const void *bytes;
	const struct blob *blob; /* NULL: `bytes` */
	u64 len;
};

/* False: there is none of that name.  What is found is valid under this hold of LOCK_CTL. */
bool must_check image_find(const char *name, struct image_bytes *image);

/* A new image that nobody finds yet, to be filled with `len` bytes.  ERR_LIMIT, ERR_NOMEM. */
struct image;
enum err must_check image_new(const char *name, u64 len, struct image **out);
enum err must_check image_append(struct image *image, const u8 *bytes, u32 len);

/* It is whole: takes the place of an older one of its name.  ERR_LIMIT: there are too many. */
enum err must_check image_list_it(struct image *image);

/* Before it was listed. */
void image_drop(struct image *image);

/* ERR_ABSENT: no such image; the bundle's own stay. */
enum err must_check image_remove(const char *name);

/* All of them, the bundle's too. */
void image_for_each(void (*fn)(const char *name, u64 len, void *arg), void *arg);

#endif
