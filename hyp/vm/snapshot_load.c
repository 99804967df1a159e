/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a file to a template.
 *
 * The file has one order, so at each moment one part of known length is due: it is gathered
 * in `buf` (a page: in `page`), looked at when it is complete, and says what comes next.
 * No length in a file ever becomes the size of something: parts are as long as this build
 * has them, or the file is refused.
 *
 * Pages get into the new VM as its guest's stores would, and then the VM is frozen as any
 * other: so its tables and blocks are what its clones would find after a freeze.
 */
#include <stdio.h>
#include <string.h>
#include "lib/assert.h"
#include "mm/copy.h"
#include "mm/pool.h"
#include "vm/device.h"
#include "vm/snapshot.h"
#include "vm/snapshot_format.h"

#define LOAD_ORDER 2U

enum due { HEADER, HEAD, BODY, SLOT, PAGE, SLOT_HASH, NOTHING };

struct snapshot_load {
	char name[VM_NAME_LEN];
	struct vm *vm;   /* in the making; NULL: not yet, or it has been listed */
	enum err failed; /* then `why` says of what */
	char domain[DEDUP_NAME_LEN];
	u32 generation;
	u64 left; /* bytes of the file after what is due */
	u64 n_sections, file_hash;
	enum due due;
	u8 *into; /* where what is due goes: `need` bytes, `have` of them are there */
	u32 have, need;
	/* the section that is due, or being looked at */
	enum snapshot_kind kind;
	u32 number;
	struct snapshot_head head;
	/* the slot that comes, and its pages that are still to come */
	struct snapshot_slot slot;
	u64 after; /* the last slot ended there; GPA */
	u32 page;
	u64 hash;
	char why[96];
	u8 page_bytes[PAGE_SIZE] __attribute__((aligned(8)));
	u8 buf[SNAPSHOT_PIECE_MAX] __attribute__((aligned(8)));
};
_Static_assert(sizeof(struct snapshot_load) <= PAGE_SIZE << LOAD_ORDER, "");

/* ---- complaints ---- */

static void describe_section(const struct snapshot_load *l, char *text, size_t len)
{
	switch (l->kind) {
	case SNAPSHOT_MACHINE: snprintf(text, len, "machine"); break;
	case SNAPSHOT_CONFIG: snprintf(text, len, "configuration"); break;
	case SNAPSHOT_VCPU: snprintf(text, len, "vCPU %u", l->number); break;
	case SNAPSHOT_DEVICE:
		snprintf(text, len, "device %s", device_ops->types[l->number]->name);
		break;
	case SNAPSHOT_SLOT: snprintf(text, len, "memory at 0x%lx", l->slot.gpa); break;
	case SNAPSHOT_LAST: snprintf(text, len, "end"); break;
	}
}

static enum err fail(struct snapshot_load *l, enum err e, const char *what)
{
	char section[40] = "header";

	if (l->due != HEADER)
		describe_section(l, section, sizeof(section));
	l->failed = e;
	snprintf(l->why, sizeof(l->why), "%s%s: %s", e == ERR_BROKEN ? "broken: " : "", section,
	         what);
	return e;
}

static enum err broken(struct snapshot_load *l, const char *what)
{
	return fail(l, ERR_BROKEN, what);
}

/* ---- what comes next ---- */

static enum err want(struct snapshot_load *l, enum due due, void *into, u64 len)
{
	if (len > l->left)
		return broken(l, "the file is too short for it");
	l->due = due;
	l->into = into;
	l->need = (u32)len;
	l->have = 0;
	l->left -= len;
	return ERR_OK;
}

static void expect(struct snapshot_load *l, enum snapshot_kind kind, u32 number)
{
	l->kind = kind;
	l->number = number;
	l->slot.gpa = l->after; /* or above, if it is memory */
}

/* The section after this one; where slots are due it may be the last one, too. */
static void expect_next(struct snapshot_load *l)
{
	u32 device = 0;

	switch (l->kind) {
	case SNAPSHOT_MACHINE: expect(l, SNAPSHOT_CONFIG, 0); return;
	case SNAPSHOT_CONFIG: expect(l, SNAPSHOT_VCPU, 0); return;
	case SNAPSHOT_VCPU:
		if (l->number + 1 < l->vm->n_vcpus) {
			expect(l, SNAPSHOT_VCPU, l->number + 1);
			return;
		}
		break;
	case SNAPSHOT_DEVICE: device = l->number + 1; break;
	case SNAPSHOT_SLOT:
	case SNAPSHOT_LAST: return;
	}
	if (device < device_n_copied())
		expect(l, SNAPSHOT_DEVICE, device);
	else
		expect(l, SNAPSHOT_SLOT, 0);
}

/* ---- parts ---- */

static enum err take_header(struct snapshot_load *l)
{
	const struct snapshot_header *h = (const void *)l->buf;

	if (memcmp(h->magic, SNAPSHOT_MAGIC, sizeof(h->magic)) != 0)
		return broken(l, "this is no template's file");
	if (h->version != SNAPSHOT_VERSION || h->header_len != sizeof(*h))
		return broken(l, "another version");
	if (h->hash != hash_words(HASH_START, h, offsetof(struct snapshot_header, hash)))
		return broken(l, "wrong checksum");
	if (h->len != sizeof(*h) + l->left)
		return broken(l, "another length");
	expect(l, SNAPSHOT_MACHINE, 0);
	return want(l, HEAD, &l->head, sizeof(l->head));
}

static enum err take_head(struct snapshot_load *l)
{
	u64 max = sizeof(l->buf) - SNAPSHOT_HASH_LEN;

	if (l->kind == SNAPSHOT_SLOT && l->head.kind == SNAPSHOT_LAST)
		l->kind = SNAPSHOT_LAST;
	if (l->head.kind != (u32)l->kind || l->head.number != l->number)
		return broken(l, "another section is in its place");
	if (l->kind == SNAPSHOT_SLOT)
		return want(l, SLOT, &l->slot, sizeof(l->slot));
	if (l->head.body_len > max || !IS_ALIGNED(l->head.body_len, 8))
		return broken(l, "length");
	return want(l, BODY, l->buf, l->head.body_len + SNAPSHOT_HASH_LEN);
}

/* The section is as it was written.  Goes on to the next. */
static enum err section_done(struct snapshot_load *l, u64 hash)
{
	l->n_sections++;
	l->file_hash = hash_words(l->file_hash, &hash, sizeof(hash));
	expect_next(l);
	return want(l, HEAD, &l->head, sizeof(l->head));
}

static enum err build(struct snapshot_load *l, struct fields *f)
{
	struct snapshot_config config = { 0 };

	snapshot_config(f, &config);
	if (!fields_are_good(f))
		return ERR_OK; /* the caller sees */
	l->vm = snapshot_config_build(&config);
	if (l->vm == NULL)
		return fail(l, ERR_NOMEM, "no memory");
	memcpy(l->vm->name, l->name, VM_NAME_LEN);
	l->vm->name_len = (u32)strlen(l->name);
	memcpy(l->domain, config.domain, sizeof(l->domain));
	l->generation = config.generation;
	return ERR_OK;
}

/* The policy that says who else may have its pages: not before they are there. */
static enum err apply_policy(struct snapshot_load *l)
{
	struct vm *vm = l->vm;

	if (vm->policy.dedup == DEDUP_WITH_DOMAIN) {
		enum err e = dedup_domain(l->domain, &vm->policy.domain);

		if (e != ERR_OK)
			return fail(l, e == ERR_INVAL ? ERR_BROKEN : e, "domain");
	}
	dedup_apply(&vm->space, &vm->policy);
	return ERR_OK;
}

/* From here on it is a template like any other. */
static enum err freeze(struct snapshot_load *l)
{
	struct vm *vm = l->vm;
	enum err e = apply_policy(l);

	if (e != ERR_OK)
		return e;
	vm_generations_from(l->generation);
	snapshot_settle(vm);
	if (vm->is_compact)
		scan_compact(&vm->space);
	space_freeze(&vm->space);
	lock_acquire(&vm->lock);
	atomic_store(&vm->state, VM_TEMPLATE);
	lock_release(&vm->lock);
	l->due = NOTHING;
	l->need = 0;
	return ERR_OK;
}

static enum err read_last(struct snapshot_load *l, struct fields *f)
{
	u64 n_sections = 0, hash = 0;

	fields_u64(f, &n_sections, UINT64_MAX);
	fields_u64(f, &hash, UINT64_MAX);
	fields_check(f, "number of sections", n_sections == l->n_sections);
	fields_check(f, "checksum of all", hash == l->file_hash);
	fields_check(f, "more follows", l->left == 0);
	return ERR_OK;
}

static enum err read_body(struct snapshot_load *l, struct fields *f)
{
	switch (l->kind) {
	case SNAPSHOT_MACHINE: snapshot_machine(f); break;
	case SNAPSHOT_CONFIG: return build(l, f);
	case SNAPSHOT_VCPU: snapshot_vcpu(f, l->vm->vcpu[l->number]); break;
	case SNAPSHOT_DEVICE: snapshot_device(f, l->vm, l->number); break;
	case SNAPSHOT_LAST: return read_last(l, f);
	case SNAPSHOT_SLOT: break;
	}
	return ERR_OK;
}

static enum err take_body(struct snapshot_load *l)
{
	struct fields f = { .at = l->buf, .end = l->buf + l->head.body_len, .is_reading = true };
	u64 hash = hash_words(HASH_START, &l->head, sizeof(l->head)), said;
	enum err e;

	hash = hash_words(hash, l->buf, l->head.body_len);
	memcpy(&said, f.end, sizeof(said));
	if (said != hash)
		return broken(l, "wrong checksum");
	e = read_body(l, &f);
	if (e != ERR_OK)
		return e;
	if (!fields_are_good(&f))
		return broken(l, f.bad);
	return l->kind == SNAPSHOT_LAST ? freeze(l) : section_done(l, hash);
}

/* ---- memory ---- */

static const char *slot_fault(const struct snapshot_load *l)
{
	const struct snapshot_slot *slot = &l->slot;
	u64 any = slot->flags, twice = 0, zero = 0;

	for (u32 i = 0; i < SLOT_WORDS; i++) {
		any |= slot->full[i] | slot->zero[i];
		twice |= slot->full[i] & slot->zero[i];
		zero |= slot->zero[i];
	}
	if (!IS_ALIGNED(slot->gpa, BLOCK_SIZE) ||
	    !space_has(&l->vm->space, GPA(slot->gpa), BLOCK_SIZE))
		return "no memory of the VM";
	if (slot->gpa < l->after)
		return "comes too late";
	if ((slot->flags & ~SNAPSHOT_IS_BLOCK) != 0 || any == 0 || twice != 0 ||
	    (slot->flags != 0 && zero != 0))
		return "makes no sense";
	if (l->head.body_len != sizeof(*slot) + slot_count(slot->full) * PAGE_SIZE)
		return "length";
	return NULL;
}

/* What reads as zeroes is mapped so that a load finds it, as before. */
static enum err add_zeroes(struct snapshot_load *l)
{
	enum err e = ERR_OK;

	for (u32 i = 0; i < N_ENTRIES && e == ERR_OK; i++)
		if (slot_has(l->slot.zero, i))
			e = space_touch(&l->vm->space, GPA(l->slot.gpa + i * PAGE_SIZE),
			                ACCESS_READ);
	return e;
}

/* A block's pages of zeroes have no bit in the file: where there is no block, they are mapped one by one. */
static void spread_block(struct snapshot_slot *slot)
{
	for (u32 i = 0; i < SLOT_WORDS; i++)
		slot->zero[i] = ~slot->full[i];
}

static enum err want_page(struct snapshot_load *l)
{
	while (l->page < N_ENTRIES && !slot_has(l->slot.full, l->page))
		l->page++;
	if (l->page < N_ENTRIES)
		return want(l, PAGE, l->page_bytes, PAGE_SIZE);
	return want(l, SLOT_HASH, l->buf, SNAPSHOT_HASH_LEN);
}

static enum err take_slot(struct snapshot_load *l)
{
	const char *fault = slot_fault(l);
	enum err e;

	if (fault != NULL)
		return broken(l, fault);
	l->hash = hash_words(HASH_START, &l->head, sizeof(l->head));
	l->hash = hash_words(l->hash, &l->slot, sizeof(l->slot));
	l->after = l->slot.gpa + BLOCK_SIZE;
	l->page = 0;
	if (l->slot.flags & SNAPSHOT_IS_BLOCK &&
	    space_add_block(&l->vm->space, GPA(l->slot.gpa)) != ERR_OK)
		spread_block(&l->slot);
	e = add_zeroes(l);
	return e == ERR_OK ? want_page(l) : fail(l, e, err_name(e));
}

static enum err take_page(struct snapshot_load *l)
{
	gpa_t gpa = GPA(l->slot.gpa + l->page * PAGE_SIZE);
	enum err e = copy_to_guest(&l->vm->space, gpa, l->page_bytes, PAGE_SIZE);

	if (e != ERR_OK)
		return fail(l, e, err_name(e));
	l->hash = hash_words(l->hash, l->page_bytes, PAGE_SIZE);
	l->page++;
	return want_page(l);
}

static enum err take_slot_hash(struct snapshot_load *l)
{
	if (memcmp(l->buf, &l->hash, sizeof(l->hash)) != 0)
		return broken(l, "wrong checksum");
	return section_done(l, l->hash);
}

/* ---- the file ---- */

static enum err take_part(struct snapshot_load *l)
{
	switch (l->due) {
	case HEADER: return take_header(l);
	case HEAD: return take_head(l);
	case BODY: return take_body(l);
	case SLOT: return take_slot(l);
	case PAGE: return take_page(l);
	case SLOT_HASH: return take_slot_hash(l);
	case NOTHING: break;
	}
	return broken(l, "more follows");
}

enum err snapshot_load_begin(const char *name, u64 len, struct snapshot_load **out,
                             const char **why)
{
	struct snapshot_load *l;
	enum err e = vm_check_name(name, why);

	if (e != ERR_OK)
		return e;
	if (len < sizeof(struct snapshot_header))
		return vm_refuse(ERR_BROKEN, why, "broken: header: the file is too short for it");
	l = pages_alloc(LOAD_ORDER, FRAME_FOR_GUEST);
	if (l == NULL && space_relieve())
		l = pages_alloc(LOAD_ORDER, FRAME_FOR_GUEST);
	if (l == NULL)
		return vm_refuse(ERR_NOMEM, why, "no memory");
	strcpy(l->name, name);
	l->left = len;
	l->file_hash = HASH_START;
	e = want(l, HEADER, l->buf, sizeof(struct snapshot_header));
	assert(e == ERR_OK);
	*out = l;
	return ERR_OK;
}

u32 snapshot_load_due(const struct snapshot_load *l)
{
	return l->need > l->have ? l->need - l->have : UINT32_MAX;
}

enum err snapshot_load_feed(struct snapshot_load *l, const u8 *bytes, u32 len)
{
	while (l->failed == ERR_OK && len != 0) {
		u32 n = (u32)u64_min(len, l->need - l->have);

		memcpy(l->into + l->have, bytes, n);
		l->have += n;
		bytes += n;
		len -= n;
		if (l->have == l->need)
			(void)take_part(l);
	}
	return l->failed;
}

enum err snapshot_load_finish(struct snapshot_load *l, struct vm **out)
{
	if (l->failed != ERR_OK)
		return l->failed;
	if (l->due != NOTHING)
		return broken(l, "cut off");
	if (vm_list(l->vm, true) != ERR_OK) {
		l->failed = ERR_EXISTS;
		snprintf(l->why, sizeof(l->why), "name: there is a VM \"%s\" already", l->name);
		return l->failed;
	}
	*out = l->vm;
	l->vm = NULL;
	return ERR_OK;
}

const char *snapshot_load_why(const struct snapshot_load *l)
{
	return l->why;
}

void snapshot_load_end(struct snapshot_load *l)
{
	if (l->vm != NULL)
		vm_free(l->vm);
	pages_free(l, LOAD_ORDER);
}
