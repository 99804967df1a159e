/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The image store.  A VM takes a copy at its boot, so an image may go at any time; one that is being
 * received is in nobody's way until it is whole.
 */
#include "ctl/image.h"
#include <stdio.h>
#include <string.h>
#include "ctl/boot.h"
#include "mm/pool.h"

struct image {
	TAILQ_ENTRY(image) link;
	char name[NAME_PLAIN_LEN];
	struct blob blob;
};

static struct pool records = POOL_INIT("images", struct image, FRAME_FOR_GUEST);
static TAILQ_HEAD(, image) images = TAILQ_HEAD_INITIALIZER(images);
static u32 n_images;

static struct image *find(const char *name)
{
	struct image *i;

	TAILQ_FOREACH (i, &images, link)
		if (strcmp(i->name, name) == 0)
			return i;
	return NULL;
}

enum err image_new(const char *name, u64 len, struct image **out)
{
	struct image *i;

	if (len > IMAGE_LEN_MAX)
		return ERR_LIMIT;
	/* Rather now than after half of it has been sent. */
	if (len / PAGE_SIZE >= frame_n_for_guests())
		return ERR_NOMEM;
	i = pool_alloc(&records);
	if (i == NULL)
		return ERR_NOMEM;
	snprintf(i->name, sizeof(i->name), "%s", name);
	blob_init(&i->blob, len, FRAME_FOR_GUEST);
	*out = i;
	return ERR_OK;
}

enum err image_append(struct image *image, const u8 *bytes, u32 len)
{
	return blob_append(&image->blob, bytes, len);
}

void image_drop(struct image *image)
{
	blob_free(&image->blob);
	pool_free(&records, image);
}

static void unlist(struct image *image)
{
	TAILQ_REMOVE(&images, image, link);
	n_images--;
	image_drop(image);
}

enum err image_list_it(struct image *image)
{
	struct image *older = find(image->name);

	if (older == NULL && n_images == IMAGES_MAX)
		return ERR_LIMIT;
	if (older != NULL)
		unlist(older);
	TAILQ_INSERT_TAIL(&images, image, link);
	n_images++;
	return ERR_OK;
}

enum err image_remove(const char *name)
{
	struct image *image = find(name);

	if (image == NULL)
		return ERR_ABSENT;
	unlist(image);
	return ERR_OK;
}

/* "VM/kernel" and "VM/initrd" of the bundle. */
static bool find_in_bundle(const char *name, struct image_bytes *image)
{
	const char *slash = strchr(name, '/');

	for (u32 i = 0; slash != NULL && i < boot_images.n_vms; i++) {
		const struct vm_config *c = &boot_images.vm[i].config;
		size_t len = (size_t)(slash - name);

		if (strlen(c->name) != len || memcmp(c->name, name, len) != 0)
			continue;
		if (strcmp(slash, "/kernel") == 0)
			*image = (struct image_bytes){ c->kernel, NULL, c->kernel_len };
		else if (strcmp(slash, "/initrd") == 0 && c->initrd_len != 0)
			*image = (struct image_bytes){ c->initrd, NULL, c->initrd_len };
		else
			return false;
		return true;
	}
	return false;
}

bool image_find(const char *name, struct image_bytes *image)
{
	const struct image *i = find(name);

	if (i == NULL)
		return find_in_bundle(name, image);
	*image = (struct image_bytes){ NULL, &i->blob, i->blob.len };
	return true;
}

void image_for_each(void (*fn)(const char *name, u64 len, void *arg), void *arg)
{
	char name[VM_NAME_LEN + 8];
	const struct image *image;

	for (u32 i = 0; i < boot_images.n_vms; i++) {
		const struct vm_config *c = &boot_images.vm[i].config;

		snprintf(name, sizeof(name), "%s/kernel", c->name);
		fn(name, c->kernel_len, arg);
		snprintf(name, sizeof(name), "%s/initrd", c->name);
		if (c->initrd_len != 0)
			fn(name, c->initrd_len, arg);
	}
	TAILQ_FOREACH (image, &images, link)
		fn(image->name, image->blob.len, arg);
}
