// SPDX-License-Identifier: BSD-2-Clause
#include "mm/copy.h"

#include <string.h>
#include "lib/assert.h"

/* What to do with one piece of guest memory that does not cross a page. */
typedef void (*piece_fn)(u8 *guest, u64 done, u64 len, void *arg);

static enum err one_piece(struct space *s, gpa_t gpa, u64 done, u64 len, enum access access,
                          piece_fn fn, void *arg)
{
	enum err e;
	u8 *guest;

	lock_acquire(&s->lock);
	e = space_pin_locked(s, gpa, access, &guest);
	if (e == ERR_OK)
		fn(guest, done, len, arg);
	lock_release(&s->lock);
	return e;
}

static enum err for_each_piece(struct space *s, gpa_t gpa, u64 len, enum access access, piece_fn fn,
                               void *arg)
{
	u64 done = 0;

	if (!space_has(s, gpa, len))
		return ERR_RANGE;
	while (done < len) {
		gpa_t at = GPA(gpa.v + done);
		u64 n = u64_min(len - done, PAGE_SIZE - (at.v & (PAGE_SIZE - 1)));
		enum err e = one_piece(s, at, done, n, access, fn, arg);

		if (e == ERR_NOMEM && space_relieve())
			e = one_piece(s, at, done, n, access, fn, arg);
		if (e != ERR_OK)
			return e;
		done += n;
	}
	return ERR_OK;
}

static void piece_out(u8 *guest, u64 done, u64 len, void *arg)
{
	memcpy((u8 *)arg + done, guest, len);
}

static void piece_in(u8 *guest, u64 done, u64 len, void *arg)
{
	memcpy(guest, (const u8 *)arg + done, len);
}

static void piece_nothing(u8 *guest, u64 done, u64 len, void *arg)
{
	(void)guest;
	(void)done;
	(void)len;
	(void)arg;
}

enum err copy_prepare(struct space *s, gpa_t dst, u64 len)
{
	return for_each_piece(s, dst, len, ACCESS_WRITE, piece_nothing, NULL);
}

enum err copy_from_guest(struct space *s, void *dst, gpa_t src, u64 len)
{
	return for_each_piece(s, src, len, ACCESS_READ, piece_out, dst);
}

enum err copy_to_guest(struct space *s, gpa_t dst, const void *src, u64 len)
{
	return for_each_piece(s, dst, len, ACCESS_WRITE, piece_in, (void *)src);
}
