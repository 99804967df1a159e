/* SPDX-License-Identifier: BSD-2-Clause */
/* Templates with something of everything, their files, and what in a file can be changed. */
#ifndef SNAPSHOT_UNIT_H
#define SNAPSHOT_UNIT_H

#include "vm/snapshot.h"
#include "vm/snapshot_format.h"
#include "vm_life.h"

struct file {
	u8 *bytes;
	u64 len;
};

/* A machine with vector registers of `vlenb` bytes, 0: none. */
void snapshot_machine_with(u32 vlenb);

/* A frozen VM "t" whose vCPUs, devices and memory are as fake_random() has it. */
struct vm *snapshot_random_template(u32 n_vcpus, u32 n_pages);

/* Its file, pulled in pieces of random lengths; the caller frees the bytes. */
struct file snapshot_file_of(struct vm *vm);

/* Fed in pieces of random lengths; `why` of at least 160 bytes gets the complaint, or nothing. */
enum err snapshot_load_file(const char *name, struct file f, struct vm **vm, char *why);

/* That of a template of few pages, which is there as "t": two slots, the first of them a block. */
struct file snapshot_small_file(void);

/* Nothing is listed but so many VMs, no frame is missing. */
void snapshot_nothing_left(u64 n_free_before, u32 n_vms);

/* Where the body of that section begins; 0: there is none. */
u64 snapshot_body_at(struct file f, enum snapshot_kind kind, u32 number);

/* Makes all checksums true, as far as the lengths in the file lead. */
void snapshot_mend(struct file f);

/* Both are the same, all that a guest or its clones could notice. */
void snapshot_compare(struct vm *a, struct vm *b);

#endif
