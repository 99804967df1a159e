/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blobs.  A piece is as large as what is still expected, as memory has, and as its place in the blob is
 * aligned to: so none crosses a 2 MiB boundary, and an image that is loaded block by block comes out of
 * as few pieces as can be.
 */
#include "mm/blob.h"
#include <string.h>
#include "lib/assert.h"
#include "mm/pool.h"
#include "mm/space.h"

#define ORDER_MAX 9U

static struct pool records = POOL_INIT("blob pieces", struct blob_piece, FRAME_FOR_GUEST);

void blob_init(struct blob *b, u64 expected, enum frame_use use)
{
	TAILQ_INIT(&b->pieces);
	b->len = b->room = 0;
	b->expected = expected;
	b->use = use;
}

void blob_free(struct blob *b)
{
	struct blob_piece *p;

	while ((p = TAILQ_FIRST(&b->pieces)) != NULL) {
		TAILQ_REMOVE(&b->pieces, p, next);
		pages_free(p->bytes, p->order);
		pool_free(&records, p);
	}
	b->len = b->room = 0;
}

/* The largest piece that may come next. */
static u32 choose_order(const struct blob *b)
{
	u64 rest = b->expected > b->room ? b->expected - b->room : 0;
	u32 order = 0;

	while (order < ORDER_MAX && PAGE_SIZE << (order + 1) <= rest &&
	       IS_ALIGNED(b->room, PAGE_SIZE << (order + 1)))
		order++;
	return order;
}

static u8 *alloc_bytes(const struct blob *b, u32 *order)
{
	u8 *bytes = NULL;

	for (*order = choose_order(b);; (*order)--) {
		bytes = pages_alloc_raw(*order, b->use);
		if (bytes != NULL || *order == 0)
			return bytes;
	}
}

static bool add_piece(struct blob *b)
{
	struct blob_piece *p = pool_alloc_raw(&records);

	if (p == NULL)
		return false;
	p->bytes = alloc_bytes(b, &p->order);
	if (p->bytes == NULL && space_relieve())
		p->bytes = alloc_bytes(b, &p->order);
	if (p->bytes == NULL) {
		pool_free(&records, p);
		return false;
	}
	TAILQ_INSERT_TAIL(&b->pieces, p, next);
	b->room += PAGE_SIZE << p->order;
	return true;
}

u8 *blob_extend(struct blob *b, u64 len, u64 *n)
{
	struct blob_piece *p;
	u64 used;

	assert(len > 0);
	if (b->len == b->room && !add_piece(b))
		return NULL;
	p = TAILQ_LAST(&b->pieces, blob_pieces);
	used = (PAGE_SIZE << p->order) - (b->room - b->len);
	*n = u64_min(len, b->room - b->len);
	b->len += *n;
	return p->bytes + used;
}

enum err blob_append(struct blob *b, const void *bytes, u64 len)
{
	const u8 *from = bytes;
	u64 n;

	for (; len > 0; len -= n, from += n) {
		u8 *to = blob_extend(b, len, &n);

		if (to == NULL)
			return ERR_NOMEM;
		memcpy(to, from, n);
	}
	return ERR_OK;
}

const u8 *blob_at(const struct blob *b, u64 offset, u64 *n)
{
	const struct blob_piece *p;
	u64 rest = b->len - offset;

	assert(offset < b->len);
	TAILQ_FOREACH (p, &b->pieces, next) {
		u64 len = PAGE_SIZE << p->order;

		if (offset < len) {
			*n = u64_min(rest, len - offset);
			return p->bytes + offset;
		}
		offset -= len;
	}
	panic("a blob is shorter than its pieces");
}

void blob_read(const struct blob *b, u64 offset, void *to, u64 len)
{
	u8 *at = to;

	assert(range_holds(0, b->len, offset, len));
	while (len > 0) {
		u64 n;
		const u8 *from = blob_at(b, offset, &n);

		n = u64_min(n, len);
		memcpy(at, from, n);
		at += n;
		offset += n;
		len -= n;
	}
}
