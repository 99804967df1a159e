/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "ctl/chain.h"
#include "lib/assert.h"
#include "mm/pool.h"

#define DATA_LEN (PAGE_SIZE - 16U)

struct chain_page {
	struct chain_page *next;
	u32 start, end; /* of what is there, in data */
	u8 data[DATA_LEN];
};
_Static_assert(sizeof(struct chain_page) == PAGE_SIZE, "a page");

/* The last page has room: makes it so. */
static bool make_room(struct chain *c)
{
	struct chain_page *page;

	if (c->last && c->last->end < DATA_LEN)
		return true;
	page = page_alloc_raw(FRAME_FOR_PANDO);
	if (!page)
		return false;
	page->next = NULL;
	page->start = page->end = 0;
	if (c->last)
		c->last->next = page;
	else
		c->first = page;
	c->last = page;
	return true;
}

void chain_put(struct chain *c, const void *bytes, size_t len)
{
	const u8 *from = bytes;

	while (len > 0 && !c->is_spoilt) {
		size_t n;

		if (!make_room(c)) {
			c->is_spoilt = true;
			return;
		}
		n = u64_min(len, DATA_LEN - c->last->end);
		memcpy(c->last->data + c->last->end, from, n);
		c->last->end += (u32)n;
		c->len += n;
		from += n;
		len -= n;
	}
}

void chain_move(struct chain *to, struct chain *from)
{
	to->is_spoilt = to->is_spoilt || from->is_spoilt;
	if (from->len == 0 || to->is_spoilt) {
		chain_clear(from);
		return;
	}
	if (to->last)
		to->last->next = from->first;
	else
		to->first = from->first;
	to->last = from->last;
	to->len += from->len;
	*from = (struct chain){ 0 };
}

const u8 *chain_peek(const struct chain *c, u32 *len)
{
	const struct chain_page *page = c->first;

	while (page && page->start == page->end)
		page = page->next;
	*len = page ? page->end - page->start : 0;
	return page ? page->data + page->start : NULL;
}

static void free_first(struct chain *c)
{
	struct chain_page *page = c->first;

	c->first = page->next;
	if (!c->first)
		c->last = NULL;
	page_free(page);
}

void chain_drop(struct chain *c, u32 len)
{
	assert(len <= c->len);
	c->len -= len;
	while (len > 0) {
		u32 n = (u32)u64_min(len, c->first->end - c->first->start);

		c->first->start += n;
		len -= n;
		if (c->first->start == c->first->end)
			free_first(c);
	}
}

void chain_clear(struct chain *c)
{
	while (c->first)
		free_first(c);
	*c = (struct chain){ 0 };
}

void spill_begin(struct spill *s)
{
	s->n_near = 0;
	chain_clear(&s->far);
}

static void leave_near(struct spill *s)
{
	if (s->n_near > 0)
		chain_put(&s->far, s->near, s->n_near);
	s->n_near = 0;
}

void spill_put(struct spill *s, const void *bytes, size_t len)
{
	if (s->far.len == 0 && !s->far.is_spoilt && len <= sizeof(s->near) - s->n_near) {
		memcpy(s->near + s->n_near, bytes, len);
		s->n_near += (u32)len;
		return;
	}
	leave_near(s);
	chain_put(&s->far, bytes, len);
}

void spill_sink(void *spill, const char *bytes, size_t len)
{
	spill_put(spill, bytes, len);
}

void spill_move(struct spill *to, struct spill *from)
{
	if (from->far.len == 0 && !from->far.is_spoilt) {
		spill_put(to, from->near, from->n_near);
	} else {
		leave_near(to);
		chain_move(&to->far, &from->far);
	}
	spill_begin(from);
}
