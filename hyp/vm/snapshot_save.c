/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a template to a file.
 *
 * The file comes out as a string of pieces: a section in one piece, made in `buf` when it
 * is its turn; but a slot as its beginning, its pages where they lie, and its checksum.
 * What has been counted is what will be sent: neither the state of a template nor a byte of
 * its memory changes.
 */
#include <string.h>
#include "lib/assert.h"
#include "mm/pool.h"
#include "vm/device.h"
#include "vm/snapshot.h"
#include "vm/snapshot_format.h"

#define SAVE_ORDER 2U

enum part { HEADER, MACHINE, CONFIG, VCPUS, DEVICES, SLOTS, LAST, NOTHING };

struct snapshot_save {
	struct vm *vm; /* with a reference */
	u64 len, n_pages;
	/* what comes next */
	enum part part;
	u32 index; /* of the vCPU or device */
	gpa_t at;  /* of the slot, at least */
	u64 n_sections, file_hash;
	/* the slot that is being sent */
	struct slot slot;
	u32 page;     /* the next one to look at; N_ENTRIES: none is left */
	bool in_slot; /* its checksum is still to come */
	u64 hash;     /* of the section so far */
	/* what is being sent: `left` bytes in buf from `done` on, or of the page at `gpa` */
	bool is_page;
	u32 done, left;
	gpa_t gpa;
	u8 buf[SNAPSHOT_PIECE_MAX] __attribute__((aligned(8)));
};
_Static_assert(sizeof(struct snapshot_save) <= PAGE_SIZE << SAVE_ORDER, "");

/* ---- sections in one piece ---- */

static void send_buf(struct snapshot_save *s, u64 len)
{
	s->is_page = false;
	s->done = 0;
	s->left = (u32)len;
}

static void note_section(struct snapshot_save *s, u64 hash)
{
	s->n_sections++;
	s->file_hash = hash_words(s->file_hash, &hash, sizeof(hash));
}

static void fill_body(struct snapshot_save *s, enum snapshot_kind kind, struct fields *f)
{
	struct snapshot_config config;

	switch (kind) {
	case SNAPSHOT_MACHINE: snapshot_machine(f); break;
	case SNAPSHOT_CONFIG:
		snapshot_config_of(&config, s->vm);
		snapshot_config(f, &config);
		break;
	case SNAPSHOT_VCPU: snapshot_vcpu(f, s->vm->vcpu[s->index]); break;
	case SNAPSHOT_DEVICE: snapshot_device(f, s->vm, s->index); break;
	case SNAPSHOT_SLOT: break;
	case SNAPSHOT_LAST:
		fields_u64(f, &s->n_sections, UINT64_MAX);
		fields_u64(f, &s->file_hash, UINT64_MAX);
		break;
	}
}

/* Into buf; returns its bytes. */
static u64 make_section(struct snapshot_save *s, enum snapshot_kind kind)
{
	struct snapshot_head head = { .kind = kind, .number = s->index };
	struct fields f = { .at = s->buf + sizeof(head),
		            .end = s->buf + sizeof(s->buf) - SNAPSHOT_HASH_LEN };
	u64 len, hash;

	fill_body(s, kind, &f);
	len = (u64)(f.at - s->buf);
	head.body_len = len - sizeof(head);
	memcpy(s->buf, &head, sizeof(head));
	hash = hash_words(HASH_START, s->buf, len);
	memcpy(s->buf + len, &hash, sizeof(hash));
	note_section(s, hash);
	return len + sizeof(hash);
}

static u64 make_header(struct snapshot_save *s)
{
	struct snapshot_header h = {
		.magic = SNAPSHOT_MAGIC,
		.version = SNAPSHOT_VERSION,
		.header_len = sizeof(h),
		.len = s->len,
		.ram_len = s->vm->ram.len,
		.n_pages = s->n_pages,
	};

	memcpy(h.name, s->vm->name, sizeof(h.name));
	h.hash = hash_words(HASH_START, &h, offsetof(struct snapshot_header, hash));
	memcpy(s->buf, &h, sizeof(h));
	return sizeof(h);
}

static void go_on_to(struct snapshot_save *s, enum part part)
{
	s->part = part;
	s->index = 0;
}

/* The next piece before the slots, or after them, into buf.  Returns its bytes; 0: it is the slots' turn, or nobody's. */
static u64 make_next(struct snapshot_save *s)
{
	u64 len = 0;

	switch (s->part) {
	case HEADER:
		len = make_header(s);
		go_on_to(s, MACHINE);
		break;
	case MACHINE:
		len = make_section(s, SNAPSHOT_MACHINE);
		go_on_to(s, CONFIG);
		break;
	case CONFIG:
		len = make_section(s, SNAPSHOT_CONFIG);
		go_on_to(s, VCPUS);
		break;
	case VCPUS:
		len = make_section(s, SNAPSHOT_VCPU);
		if (++s->index == s->vm->n_vcpus)
			go_on_to(s, DEVICES);
		break;
	case DEVICES:
		len = make_section(s, SNAPSHOT_DEVICE);
		if (++s->index == device_n_copied())
			go_on_to(s, SLOTS);
		break;
	case LAST:
		len = make_section(s, SNAPSHOT_LAST);
		go_on_to(s, NOTHING);
		break;
	case SLOTS:
	case NOTHING: break;
	}
	return len;
}

/* ---- slots ---- */

static bool find_slot(struct snapshot_save *s)
{
	if (!slot_next(&s->vm->space, s->at, &s->slot))
		return false;
	s->at = GPA(s->slot.gpa.v + BLOCK_SIZE);
	return true;
}

static u64 slot_body_len(u32 n_pages)
{
	return sizeof(struct snapshot_slot) + n_pages * PAGE_SIZE;
}

static void begin_slot(struct snapshot_save *s)
{
	struct snapshot_slot body = { .gpa = s->slot.gpa.v,
		                      .flags = s->slot.is_block ? SNAPSHOT_IS_BLOCK : 0 };
	struct snapshot_head head = { .kind = SNAPSHOT_SLOT,
		                      .body_len = slot_body_len(slot_count(s->slot.full)) };

	memcpy(body.full, s->slot.full, sizeof(body.full));
	memcpy(body.zero, s->slot.zero, sizeof(body.zero));
	memcpy(s->buf, &head, sizeof(head));
	memcpy(s->buf + sizeof(head), &body, sizeof(body));
	s->hash = hash_words(HASH_START, s->buf, sizeof(head) + sizeof(body));
	s->page = 0;
	s->in_slot = true;
	send_buf(s, sizeof(head) + sizeof(body));
}

static void end_slot(struct snapshot_save *s)
{
	memcpy(s->buf, &s->hash, sizeof(s->hash));
	note_section(s, s->hash);
	s->in_slot = false;
	send_buf(s, sizeof(s->hash));
}

/* [gpa, gpa + len), which lies in one page, is copied; or, `bytes` NULL, goes into the checksum. */
static void read_page(struct snapshot_save *s, gpa_t gpa, u8 *bytes, u32 len)
{
	struct space *space = &s->vm->space;
	enum err e;
	u8 *page;

	lock_acquire(&space->lock);
	e = space_pin_locked(space, gpa, ACCESS_READ, &page);
	assert(e == ERR_OK); /* slot_next() has found it */
	if (bytes != NULL)
		memcpy(bytes, page, len);
	else
		s->hash = hash_words(s->hash, page, len);
	lock_release(&space->lock);
}

/* The next page of the slot is to be sent.  False: none is left. */
static bool begin_page(struct snapshot_save *s)
{
	while (s->page < N_ENTRIES && !slot_has(s->slot.full, s->page))
		s->page++;
	if (s->page == N_ENTRIES)
		return false;
	s->gpa = GPA(s->slot.gpa.v + s->page * PAGE_SIZE);
	s->page++;
	read_page(s, s->gpa, NULL, PAGE_SIZE);
	s->is_page = true;
	s->done = 0;
	s->left = PAGE_SIZE;
	return true;
}

/* ---- the file ---- */

/* False: that was all. */
static bool next_piece(struct snapshot_save *s)
{
	u64 len;

	if (s->in_slot) {
		if (!begin_page(s))
			end_slot(s);
		return true;
	}
	if (s->part == SLOTS) {
		if (find_slot(s)) {
			begin_slot(s);
			return true;
		}
		go_on_to(s, LAST);
	}
	len = make_next(s);
	send_buf(s, len);
	return len != 0;
}

static void start_over(struct snapshot_save *s)
{
	go_on_to(s, HEADER);
	s->at = GPA(0);
	s->n_sections = 0;
	s->file_hash = HASH_START;
}

enum err snapshot_save_begin(struct vm *template, struct snapshot_save **out)
{
	struct snapshot_save *s;
	u64 len;

	if (atomic_load(&template->state) != VM_TEMPLATE)
		return ERR_STATE;
	s = pages_alloc(SAVE_ORDER, FRAME_FOR_GUEST);
	if (s == NULL && space_relieve())
		s = pages_alloc(SAVE_ORDER, FRAME_FOR_GUEST);
	if (s == NULL)
		return ERR_NOMEM;
	vm_get(template);
	s->vm = template;
	start_over(s);
	while ((len = make_next(s)) != 0)
		s->len += len;
	*out = s;
	return ERR_OK;
}

bool snapshot_save_count(struct snapshot_save *s)
{
	if (find_slot(s)) {
		u32 n = slot_count(s->slot.full);

		s->n_pages += n;
		s->len += sizeof(struct snapshot_head) + slot_body_len(n) + SNAPSHOT_HASH_LEN;
		return true;
	}
	go_on_to(s, LAST);
	s->len += make_next(s);
	start_over(s);
	return false;
}

u64 snapshot_save_len(const struct snapshot_save *s)
{
	return s->len;
}

u64 snapshot_save_n_pages(const struct snapshot_save *s)
{
	return s->n_pages;
}

u32 snapshot_save_pull(struct snapshot_save *s, u8 *bytes, u32 len)
{
	u32 n_pulled = 0;

	while (n_pulled < len && (s->left != 0 || next_piece(s))) {
		u32 n = (u32)u64_min(len - n_pulled, s->left);

		if (s->is_page)
			read_page(s, GPA(s->gpa.v + s->done), bytes + n_pulled, n);
		else
			memcpy(bytes + n_pulled, s->buf + s->done, n);
		s->done += n;
		s->left -= n;
		n_pulled += n;
	}
	return n_pulled;
}

void snapshot_save_end(struct snapshot_save *s)
{
	vm_put(s->vm);
	pages_free(s, SAVE_ORDER);
}
