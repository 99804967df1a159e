/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may still use a translation.
 *
 * A hart uses translations of a space only inside a window, tlb_open() to
 * tlb_close(): while it runs a guest, or fetches a guest's instruction.  Three
 * mechanisms rest on that:
 *
 *   fences   Whoever changes what others may have cached bumps the space's
 *            fence generation, then waits for the harts inside a window of that
 *            space to leave it.  A hart outside compares generations when it
 *            opens its next window, and flushes.  Either the changer sees the
 *            open window, or the opener sees the new generation: both sides store,
 *            then load, sequentially consistent.
 *   VMIDs    A space gets a VMID for one generation of VMIDs.  When they run out
 *            the generation is bumped and every hart flushes everything before
 *            its next window.  A machine without VMID bits rolls over at every
 *            change of space, which is correct, and slow.  HFENCE.GVMA does not reach
 *            VS-stage entries: a hart flushes those when it first uses a VMID.
 *   epochs   A retired table is stamped; it may be freed when every hart has
 *            opened a window, or unloaded, since then.  The comparison is with the
 *            oldest hart, not with the current epoch.
 *
 * No lock is taken inside a window, and a window has no wait in it: whoever waits
 * for one to close, even with a space's lock held, waits for a bounded time.
 */
#ifndef MM_TLB_H
#define MM_TLB_H

#include <stdatomic.h>
#include "arch/hart.h"
#include "lib/types.h"

/* The part of a space that translations depend on. Legend: a atomic, o hart owns its slot. */
struct tlb {
	_Atomic u64 root;       /* a: HPA of the root table; changes under the space's lock */
	_Atomic u64 vmid_tag;   /* a: VMID generation << 16 | VMID; 0 = none yet */
	_Atomic u64 fence_gen;  /* a: bumped under the space's lock */
	u64 seen_gen[HART_MAX]; /* o: fence_gen that this hart has honoured */
	u64 seen_tag[HART_MAX]; /* o: vmid_tag that this hart has flushed VS-stage entries for */
	u8 last_vcpu[HART_MAX]; /* o: vCPU of this space that ran here last, + 1 */
};

void tlb_init_all(void); /* once at boot, after machine.vmid_bits is known */
void tlb_init(struct tlb *t, hpa_t root);

/* This hart is going to run vCPU `vcpu_id` of the space: loads hgatp, and flushes VS-stage entries when
 * another vCPU of the space ran here last or this one `moved` here from another hart.  No lock may
 * be held. */
void tlb_load(struct tlb *t, u32 vcpu_id, bool moved);

/* Opens the window on the space that is loaded: honours owed fences, a new root, a new VMID.  No lock
 * may be held. */
void tlb_open(struct tlb *t);
void tlb_close(void);

/* This hart lets go of all tables: hgatp = an empty root. */
void tlb_unload(void);

/* After a store to a leaf of gpa that only adds rights or maps what was absent: this hart alone.
 * Another hart may still fault on its old entry; that fault is spurious. */
void tlb_fence_local(struct tlb *t, gpa_t gpa);

/* After a change of frame in one leaf: on return no *other* hart can use the old translation.  This
 * hart still can: tlb_fence_local() must follow before it runs a guest.  Space lock held. */
void tlb_fence_leaf(struct tlb *t);

/* After a change of a pointer, or of many leaves, or of the root (`new_root` != 0: stored here). */
void tlb_fence_all(struct tlb *t, hpa_t new_root);

/* Stamp for something that walkers may still see. */
u64 tlb_retire(void);

/* Has every hart that could walk what was retired at `stamp` passed since?  Kicks those that have
 * not, so that a later call says yes. */
bool tlb_is_past(u64 stamp);

#endif
