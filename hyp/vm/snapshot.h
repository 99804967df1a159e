/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A template as a file, and back: docs/template-format.md.
 *
 * A template never changes, so saving one is a walk over it that may take as long as it
 * likes: the length is counted first, then whoever wants the bytes pulls them, in pieces
 * of any size.  Loading is fed pieces of any size.  Either needs four frames and no more.
 *
 * A file is not to be trusted, whoever made it.  What it says of a vCPU or a device is what
 * a guest could have brought about itself, or it is refused; a VM is listed when all of its
 * file has been seen and was right, and before that nothing but this loader knows of it.
 *
 * One caller at a time, but any number of files between the calls.
 */
#ifndef VM_SNAPSHOT_H
#define VM_SNAPSHOT_H

#include "lib/err.h"
#include "vm/vm.h"

struct snapshot_save;
struct snapshot_load;

/* Takes a reference to the template.  ERR_STATE: it is none; ERR_NOMEM. */
enum err must_check snapshot_save_begin(struct vm *template, struct snapshot_save **out);

/* Looks at the next 2 MiB; true: there is more to look at. */
bool must_check snapshot_save_count(struct snapshot_save *s);

/* The file's bytes, and the pages that it has; once all has been looked at. */
u64 snapshot_save_len(const struct snapshot_save *s);
u64 snapshot_save_n_pages(const struct snapshot_save *s);

/* The next `len` bytes; fewer are there only at the end of the file. */
u32 snapshot_save_pull(struct snapshot_save *s, u8 *bytes, u32 len);

/* At any moment. */
void snapshot_save_end(struct snapshot_save *s);

/* A template called `name` is to come, from a file of `len` bytes.  ERR_INVAL, ERR_EXISTS, ERR_NOMEM; `*why` as for
 * vm_create(). */
enum err must_check snapshot_load_begin(const char *name, u64 len, struct snapshot_load **out,
                                        const char **why);

/* How many bytes are missing until something is done with them, which may take as long as zeroing 2 MiB;
 * with the last one, as long as a freeze. */
u32 snapshot_load_due(const struct snapshot_load *l);

/* The next bytes.  ERR_BROKEN: this is no such file, or not for this machine; ERR_NOMEM.  It says so from then on. */
enum err must_check snapshot_load_feed(struct snapshot_load *l, const u8 *bytes, u32 len);

/* All bytes have come: lists the template.  As snapshot_load_feed(), and ERR_EXISTS. */
enum err must_check snapshot_load_finish(struct snapshot_load *l, struct vm **out);

/* "broken: vCPU 1: wrong checksum" */
const char *snapshot_load_why(const struct snapshot_load *l);

/* At any moment; what has not been listed is gone. */
void snapshot_load_end(struct snapshot_load *l);

#endif
