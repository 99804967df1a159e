/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the files that write and read a template's file (docs/template-format.md).
 *
 *   header
 *   sections, each: kind, number, length; body; checksum
 *     machine, configuration, vCPU 0.., device 0.., slot (2 MiB).., last
 *
 * All parts are multiples of 8 bytes.
 */
#ifndef VM_SNAPSHOT_FORMAT_H
#define VM_SNAPSHOT_FORMAT_H

#include "lib/fields.h"
#include "lib/hash.h"
#include "mm/slot.h"
#include "vm/dedup.h"
#include "vm/vm.h"

#define SNAPSHOT_MAGIC   "PandoTpl" /* without its NUL */
#define SNAPSHOT_VERSION 1U

struct snapshot_header {
	char magic[8];
	u32 version;
	u32 header_len;         /* bytes */
	u64 len;                /* of the whole file */
	u64 ram_len;            /* for who looks at a file */
	u64 n_pages;            /* that the file has; likewise */
	char name[VM_NAME_LEN]; /* of the template; likewise */
	u64 hash;               /* of what stands before it */
};
_Static_assert(sizeof(struct snapshot_header) == 80, "as in the file");

enum snapshot_kind { /* four letters */
	             SNAPSHOT_MACHINE = 0x4843414d,
	             SNAPSHOT_CONFIG = 0x464e4f43,
	             SNAPSHOT_VCPU = 0x55504356,
	             SNAPSHOT_DEVICE = 0x49564544,
	             SNAPSHOT_SLOT = 0x544f4c53,
	             SNAPSHOT_LAST = 0x5453414c,
};

struct snapshot_head {
	u32 kind; /* enum snapshot_kind */
	u32 number;
	u64 body_len; /* bytes, without the checksum behind it */
};

#define SNAPSHOT_HASH_LEN 8U

/* The beginning of a slot's body; the pages of `full` follow. */
struct snapshot_slot {
	u64 gpa, flags;
	u64 full[SLOT_WORDS], zero[SLOT_WORDS]; /* struct slot */
};
#define SNAPSHOT_IS_BLOCK 1UL

struct snapshot_last {
	u64 n_sections; /* before this one */
	u64 hash;       /* of their checksums, in this order */
};

/* All but a slot is written and read in one piece, with head and checksum: a vCPU with registers of 128 bytes is the
 * largest. */
#define SNAPSHOT_PIECE_MAX 6144U

/* The fields of each section.  While reading, `vm` is being built. */
void snapshot_machine(struct fields *f);
void snapshot_vcpu(struct fields *f, struct vcpu *v);
void snapshot_device(struct fields *f, struct vm *vm, u32 type_index);

/* All have been read: vCPUs see the interrupts that the devices have for them. */
void snapshot_settle(struct vm *vm);

/* What a VM is, beside its state. */
struct snapshot_config {
	u64 ram_len;
	u32 n_vcpus;
	struct vm_policy policy;     /* without the domain's number */
	char domain[DEDUP_NAME_LEN]; /* its name */
	u64 frozen_time;             /* guest ticks */
	u64 time;                    /* guest ticks when it was saved, with the policy time=jump */
	u64 wall_s;                  /* seconds since 1970 then; 0: unknown */
	u32 wall_ns;
	u32 generation;
	bool is_compact; /* so its equal pages are to be merged again */
};
void snapshot_config(struct fields *f, struct snapshot_config *c);
void snapshot_config_of(struct snapshot_config *c, const struct vm *vm);

/* A new VM of that kind: nothing in its memory, its vCPUs and devices as at birth, not a name, not part of a domain
 * yet.  NULL: no memory. */
struct vm *must_check snapshot_config_build(const struct snapshot_config *c);

#endif
