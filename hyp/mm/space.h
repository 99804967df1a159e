/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A space: one guest-physical address space.  A root table, a VMID, a lock.
 *
 * What has more than one reference is immutable; see docs/memory.md.  A space
 * starts with an empty root (space_init) or as one more reference to a frozen
 * root (space_clone); it grows private tables and frames only where it writes.
 *
 * Every fault, and every access by Pando on the guest's behalf, comes through
 * here; what harts may have cached of the result is mm/tlb.h's business.
 */
#ifndef MM_SPACE_H
#define MM_SPACE_H

#include "arch/hart.h"
#include "arch/lock.h"
#include "lib/err.h"
#include "lib/types.h"
#include "mm/promise.h"
#include "mm/merge.h"
#include "mm/tlb.h"
#include <sys/queue.h>

struct table;

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH };

/* A range of guest-physical addresses that is memory; all else is MMIO or nothing. */
struct region {
	gpa_t base; /* 2 MiB aligned */
	u64 len;    /* bytes, multiple of 2 MiB */
};
#define SPACE_REGIONS_MAX 2

enum break_class {
	BREAK_ZERO_FILL, /* first store to an absent page: a zeroed frame */
	BREAK_ZERO_MAP,  /* first load of an absent page: the zero frame */
	BREAK_COPY,      /* one frame copied */
	BREAK_OWN,       /* last owner: W set, nothing copied */
	BREAK_SPURIOUS,  /* somebody had done it before: fence and retry */
	BREAK_ROOT,      /* root derived */
	BREAK_DERIVE,    /* level-1 or level-0 table derived */
	BREAK_SPLIT,     /* shared 2 MiB leaf split */
	BREAK_N_CLASSES,
};

struct space {
	struct spinlock lock;                    /*   guards what is marked s */
	struct table *root;                      /* s */
	struct region region[SPACE_REGIONS_MAX]; /* I: RAM first */
	u32 n_regions;                           /* I: one at least */
	u64 family;                              /* I: whose ancestor by space_init() is the same */
	bool frozen;                             /* s: a template; never written again */
	bool is_marked;         /* s: a clone; its tables mark all that it has written */
	u32 n_tables;           /* s: made since it stood on the root of another */
	u64 n_breaks_before;    /* s: at the last reset: rewind.c */
	u8 n_tables_when_short; /* s: what it has had of the tables' reserve */
	enum frame_use use;     /* s: FRAME_PROMISED: it is reserved */
	struct promise promise; /* s: what it may still take then */
	struct table *
		recent; /* s: level-0 table of the last break, path and all ours alone; NULL: none */
	gpa_t recent_gpa;          /* s: where what it maps begins */
	struct merge_policy merge; /* s: what the merge scanner may do; a child's is its parent's */
	struct tlb tlb;            /*   what harts may have cached of it: mm/tlb.h */
	u64 breaks[BREAK_N_CLASSES]; /* s */
	LIST_ENTRY(space) link;      /*   list of all spaces, under its own lock */
};

/* Once at boot, after frame_init: the zero frame, VMIDs. */
void space_init_all(void);

/* Its part that break.c has to do: the zero frame. */
void space_zero_init(void);

/* An empty space over `n` regions, RAM first.  ERR_NOMEM, ERR_RANGE (none or too many, unaligned, or beyond
 * Sv39x4's 2^41). */
enum err must_check space_init(struct space *s, const struct region *regions, u32 n);

/* One more space over the root of `template`, which must be frozen.  Constant time, cannot fail:
 * allocates nothing.  Initialises all of `child`. */
void space_clone(struct space *child, struct space *template);

/* Makes a template of the space: disarms and seals what was written since the last freeze.  No
 * vCPU of the space may be running.  Afterwards space_clone() may be called. */
void space_freeze(struct space *s);

/* Running parent -> child over the same root: disarms and seals as above, then one more
 * reference; the parent goes on.  Cannot fail, but a reserved parent wants promise_renew() first; its child is
 * reserved then. */
void space_fork(struct space *child, struct space *parent);

/* What it has written becomes the template's again: a few pages one by one, in tables that stay; else the root
 * is the template's again, and private tables are queued for the reaper.
 * No vCPU of the space may be running.  A reserved space wants promise_renew() first. */
void space_reset(struct space *s, struct space *template);

/* The first of these ways; false: it is not possible, and nothing has changed.  Space lock held. */
bool must_check space_rewind_locked(struct space *s, const struct space *template);

/* Drops the root; what reaches zero is freed later by space_reap().  The caller does not wait. */
void space_fini(struct space *s);

/* Frees at most `budget` tables of destroyed spaces; returns whether work is left. */
bool space_reap(u32 budget);

/* Do tables wait that the last look could not free, since some hart might still walk them? */
bool space_reap_is_wanted(void);

/* One piece of work for a hart that has nothing else to do: frees tables, keeps zeroed frames and
 * roots ready, dissolves blocks.  Returns whether there is more that can be done now. */
bool space_idle_work(void);

/* A space has let go of its tables: some block may now have one user, and unused slots. */
void space_dissolve_soon(void);

/* Around a piece of work that an audit must not see half done.  False: an audit looks; do nothing. */
bool must_check space_begin_work(void);
void space_end_work(void);

/* For whoever counts: no such work is done from the return of the first call to the last one. */
void space_hold_off_work(void);
/* The same, when what waits to be freed has been, if harts let go of it soon. */
void space_settle_work(void);
void space_allow_work(void);

/* Memory is short: frees what waits to be freed, gives up what is kept ready, dissolves blocks.
 * Returns whether there is more to be had than before.  No space lock held. */
bool space_relieve(void);

/* What this hart and this floor keep ready, to whoever waits for it.  Less than space_relieve(), and cheap. */
void space_give_back(void);

/* Is [gpa, gpa + len) memory of this space? */
bool space_has(const struct space *s, gpa_t gpa, u64 len);

/*
 * Guest page fault at `gpa`: makes that page accessible for `access`, doing at most one
 * break.  ERR_OK: re-enter the guest.  ERR_RANGE: not memory (MMIO or nothing).
 * ERR_NOMEM: nothing changed that matters; retry when frames return.  ERR_STATE: the space is a
 * template, and the page would have to change.
 */
enum err must_check space_fault(struct space *s, gpa_t gpa, enum access access);

/* As a guest's access to memory of this space would do, for whoever has no guest at hand: so space_fault() has one
 * caller, and is compiled into it. */
enum err must_check space_touch(struct space *s, gpa_t gpa, enum access access);

/* As stores to `n` pages would do, one after the other under one hold of the lock, until one fails; returns how many were
 * done.  Pages of one table are best in a row. */
u32 space_own_pages(struct space *s, const u64 *gpa, u32 n);

/* The same for Pando's own access on the guest's behalf, and the address of the byte: *ptr is valid,
 * to the end of its page, while the caller holds s->lock.  A read of an absent page gives zeroes and
 * changes nothing.  ERR_STATE: a write to a template. */
enum err must_check space_pin_locked(struct space *s, gpa_t gpa, enum access access, u8 **ptr);

/* Where the bytes of an image come from. */
struct image_reader {
	void (*read)(const void *arg, u64 offset, void *to, u64 len);
	const void *arg;
};

/* Loads an image into whole 2 MiB blocks at a 2 MiB aligned gpa (rest of the last
 * block zeroed).  Only before the first entry. ERR_NOMEM, ERR_RANGE, ERR_STATE (a template). */
enum err must_check space_load_from(struct space *s, gpa_t gpa, const struct image_reader *from,
                                    u64 len);

/* The same for one that lies in one piece. */
enum err must_check space_load(struct space *s, gpa_t gpa, const void *image, u64 len);

/* Backs the 2 MiB at `gpa` with one block of zeroes.  ERR_NOMEM: there is none, or something is there already; pages
 * may do.  ERR_STATE: a template. */
enum err must_check space_add_block(struct space *s, gpa_t gpa);

/* When a hart takes on a vCPU of the space: see tlb_load(). */
static inline void space_attach(struct space *s, u32 vcpu_id, bool moved)
{
	tlb_load(&s->tlb, vcpu_id, moved);
}

/* Before guest entry or an HLVX fetch, and right after it: see tlb_open().  Entering is a full fence. */
static inline void space_enter(struct space *s)
{
	tlb_open(&s->tlb);
}

static inline void space_leave(void)
{
	tlb_close();
}

/* The hart has no vCPU any more. */
static inline void space_unload(void)
{
	tlb_unload();
}

/* The first run of private pages at or after `from`; it crosses no 2 MiB boundary.  False: none is
 * left. */
bool must_check space_next_private(struct space *s, gpa_t from, struct region *run);

/* A place in the list of spaces, for work that visits them one by one and never holds the list meanwhile; each has one
 * user at a time.  A space that it has got does not end before it is put back, with or without going on to the
 * next.  get: NULL if there is none; put: false at the end of the list. */
enum space_cursor { CURSOR_SCAN, CURSOR_DISSOLVE, N_CURSORS };
struct space *space_cursor_get(enum space_cursor c);
bool space_cursor_put(enum space_cursor c, bool next);
void space_cursor_rewind(enum space_cursor c);

/* What stands for a page of zeroes in a level-0 table. */
u64 space_zero_entry(void);

/* Visits every space of the machine under the list lock. */
void space_for_each(void (*fn)(struct space *s, void *arg), void *arg);

#endif
