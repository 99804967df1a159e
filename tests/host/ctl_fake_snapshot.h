/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of templates for tests of control: part of ctl_fake.h.  A file is FAKE_FILE_LEN bytes, each its place times 7. */
#ifndef CTL_FAKE_SNAPSHOT_H
#define CTL_FAKE_SNAPSHOT_H

#include "unit.h"
#include "fake_arch/fake.h"
#include "vm/snapshot.h"

#define FAKE_FILE_LEN 10000U

struct snapshot_save {
	struct vm *vm;
	u32 at, n_looks;
};

struct snapshot_load {
	char name[VM_NAME_LEN];
	u32 at;
	enum err failed;
};

static u32 fake_n_files;          /* open: saved or loaded */
static u32 fake_n_looks_more = 5; /* until all of a template is counted */
static u64 fake_load_ticks;       /* what a part of a file takes to load */

enum err snapshot_save_begin(struct vm *template, struct snapshot_save **out)
{
	if (atomic_load(&template->state) != VM_TEMPLATE)
		return ERR_STATE;
	*out = calloc(1, sizeof(**out));
	(*out)->vm = template;
	vm_get(template);
	fake_n_files++;
	return ERR_OK;
}

bool snapshot_save_count(struct snapshot_save *s)
{
	return s->n_looks++ < fake_n_looks_more;
}

u64 snapshot_save_len(const struct snapshot_save *s)
{
	assert_int_equal(s->n_looks, fake_n_looks_more + 1);
	return FAKE_FILE_LEN;
}

u64 snapshot_save_n_pages(const struct snapshot_save *s)
{
	(void)s;
	return 2;
}

u32 snapshot_save_pull(struct snapshot_save *s, u8 *bytes, u32 len)
{
	u32 n = (u32)u64_min(len, FAKE_FILE_LEN - s->at);

	for (u32 i = 0; i < n; i++)
		bytes[i] = (u8)(s->at++ * 7);
	return n;
}

void snapshot_save_end(struct snapshot_save *s)
{
	vm_put(s->vm);
	fake_n_files--;
	free(s);
}

enum err snapshot_load_begin(const char *name, u64 len, struct snapshot_load **out,
                             const char **why)
{
	*why = "broken: header: the file is too short for it";
	if (len < 100)
		return ERR_BROKEN;
	*out = calloc(1, sizeof(**out));
	snprintf((*out)->name, VM_NAME_LEN, "%s", name);
	fake_n_files++;
	return ERR_OK;
}

u32 snapshot_load_due(const struct snapshot_load *l)
{
	return 100 - l->at % 100;
}

enum err snapshot_load_feed(struct snapshot_load *l, const u8 *bytes, u32 len)
{
	fake_time += fake_load_ticks;
	for (u32 i = 0; i < len && l->failed == ERR_OK; i++)
		if (l->at == FAKE_FILE_LEN || bytes[i] != (u8)(l->at++ * 7))
			l->failed = ERR_BROKEN;
	return l->failed;
}

enum err snapshot_load_finish(struct snapshot_load *l, struct vm **out)
{
	const char *why;
	struct vm_config c = { .n_vcpus = 1 };

	if (l->failed == ERR_OK && l->at != FAKE_FILE_LEN)
		l->failed = ERR_BROKEN;
	if (l->failed != ERR_OK)
		return l->failed;
	memcpy(c.name, l->name, VM_NAME_LEN);
	assert_int_equal(vm_create(&c, out, &why), ERR_OK);
	atomic_store(&(*out)->state, VM_TEMPLATE);
	return ERR_OK;
}

const char *snapshot_load_why(const struct snapshot_load *l)
{
	return l->failed != ERR_OK ? "broken: memory at 0x80000000: wrong checksum" : "";
}

void snapshot_load_end(struct snapshot_load *l)
{
	fake_n_files--;
	free(l);
}

#endif
