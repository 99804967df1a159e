// SPDX-License-Identifier: BSD-2-Clause
/*
 * Going round: which space, which table, and how fast.
 *
 * One hart scans at a time, under the scan lock.  A step is one batch in one table; between
 * two steps nothing is held, and the place is remembered as a space and an address.
 * The list of spaces moves the place on when that space ends (space_cursor_get()).
 *
 * A pass takes at least PASS_NS: a page that has not been written for a moment only is not
 * worth a merge.  While passes find nothing the pause doubles, up to QUIET_NS, so that
 * a machine at rest comes to rest.  A busy hart earns time for the scanner at the rate that is set, and
 * spends it in steps.
 */
#include "mm/merge.h"

#include "arch/phys.h"
#include "arch/time.h"
#include "mm/hide.h"
#include "mm/index.h"
#include "mm/space.h"
#include "mm/table.h"
#include "mm/twin.h"

#define PASS_NS        200000000UL
#define QUIET_NS       5000000000UL
#define CREDIT_NS      1000000UL /* a busy hart scans when it has earned this much */
#define DIRTY_NS       400UL     /* what a cleared D bit may cost the guest: a trap */
#define RATE_DEFAULT   10U
#define SPLIT_FREE_MIN 64U /* frames: no table is made for a split when fewer are left */

static struct spinlock scan_lock = LOCK_INIT(LOCK_SCAN);
static _Atomic bool is_off, splits_always;
static _Atomic u32 rate = RATE_DEFAULT;
static bool has_secure;          /* scan_lock: this pass has met a space of that mode */
static struct merge_stats stats; /* scan_lock */
static struct space *place_of;   /* scan_lock: the space that was visited last, and */
static gpa_t place;              /* scan_lock: where in it the next visit begins */
static u64 changed_before;       /* scan_lock: n_changed() when this pass began */
static u64 pause;                /* scan_lock: ns between this pass and the next */
static _Atomic u64 next_pass;    /* host ticks */
static _Atomic u64 earned_at;    /* host ticks: since when busy harts earn time */
static _Atomic u64 earn_ticks;   /* how long they earn for one turn; TIME_NEVER: they get none */

/* ---- one step ---- */

/* The next thing at or above *gpa that this space alone reaches: a level-0 table, or else the level-1 leaf
 * of a block.  False: there is none. */
static bool next_private(struct space *s, gpa_t *gpa, struct table **t, struct table **above)
{
	struct table *root = s->root;

	if (table_is_shared(root))
		return false;
	for (u64 at = gpa->v; pte_index(GPA(at), 2) < root->hi && at < GPA_LIMIT;) {
		u64 pte = root->pte[pte_index(GPA(at), 2)];
		struct table *middle = pte ? table_below(pte) : NULL;
		u64 end = ALIGN_DOWN(at, BIT(30)) + BIT(30);

		for (; middle && !table_is_shared(middle) && at < end; at += BLOCK_SIZE) {
			u64 entry = middle->pte[pte_index(GPA(at), 1)];

			*above = middle;
			*t = entry && pte_is_table(entry) ? table_below(entry) : NULL;
			if (*t ? table_is_shared(*t)
			       : !entry || block_is_shared(block_behind(entry)))
				continue;
			*gpa = GPA(at);
			return true;
		}
		at = end;
	}
	return false;
}

/* A block of this space's own becomes a table of leaves, if it is cold and enough of it would merge. */
static void visit_block(struct space *s, struct table *above, u32 i, bool cold)
{
	u64 pte = above->pte[i], used = s->merge.is_secure ? PTE_A : PTE_W | PTE_D;
	struct frame *first = frame_of(pte_hpa(pte));
	struct table *t;

	if ((pte & used) == used) {
		__atomic_fetch_and(&above->pte[i], ~(PTE_D | (used & PTE_A)), __ATOMIC_RELAXED);
		tlb_fence_all(&s->tlb, HPA(0));
		stats.dirty += N_ENTRIES;
		if (!cold)
			return;
	}
	stats.visited += N_ENTRIES;
	if (frame_n_for_guests() < SPLIT_FREE_MIN ||
	    !(s->merge.is_secure || scan_splits_always() || merge_wants_split(s, first)))
		return; /* in secure mode it says nothing about what the block holds */
	t = table_split(first->link.block, FRAME_FOR_GUEST);
	if (!t)
		return;
	table_set(above, i, pte_make(ptr_hpa(t->pte), PTE_TABLE));
	tlb_fence_all(&s->tlb, HPA(0)); /* pairs with the new pointer; nothing below has W */
	stats.split++;
}

/* One batch at *gpa or above; moves *gpa on.  False: this space is done. */
static bool visit_space(struct space *s, gpa_t *gpa, bool cold)
{
	struct merge_visit v = { .s = s, .cold = cold };
	struct table *above;
	u64 from = gpa->v;
	bool found;

	lock_acquire(&s->lock);
	/* What a reserved space gives up it might have to take again, beyond its promise. */
	found = s->merge.dedup != DEDUP_OFF && s->use != FRAME_PROMISED && (!s->frozen || cold) &&
	        next_private(s, gpa, &v.t, &above);
	if (found) {
		bool has_more = false; /* entries of this table */

		if (gpa->v == from)
			v.i = pte_index(GPA(from), 0);
		if (!v.t) {
			visit_block(s, above, pte_index(*gpa, 1), cold);
		} else {
			table_dissolve(v.t);
			if (s->merge.is_secure)
				has_secure = hide_prepare() || has_secure;
			has_more = merge_table(&v, &stats);
		}
		gpa->v = ALIGN_DOWN(gpa->v, BLOCK_SIZE) +
		         (has_more ? (u64)v.i << PAGE_SHIFT : BLOCK_SIZE);
	}
	lock_release(&s->lock);
	return found;
}

static u64 n_changed(void)
{
	return stats.zero + stats.back + stats.kept + stats.merged + stats.hidden + stats.split;
}

/* Whatever is due between two passes. */
static void end_pass(void)
{
	stats.passes++;
	index_tidy();
	if (!has_secure)
		hide_drain();
	has_secure = false;
	pause = n_changed() != changed_before ? PASS_NS
	                                      : u64_min(2 * u64_max(pause, PASS_NS), QUIET_NS);
	changed_before = n_changed();
	atomic_store(&next_pass, time_now() + time_ns_to_ticks(pause));
}

/* scan_lock held.  False: the pass has ended. */
static bool step_now(void)
{
	u64 ticks = time_now(), instret = time_instret();
	struct space *s = space_cursor_get(CURSOR_SCAN);
	bool more = false;

	if (s != place_of)
		place = GPA(0);
	place_of = s;
	if (s) {
		bool is_done = !visit_space(s, &place, false);

		more = space_cursor_put(CURSOR_SCAN, is_done);
		if (is_done)
			place_of = NULL;
	}
	if (has_secure)
		hide_settle(); /* where no hart is idle nobody else does */
	if (!more)
		end_pass();
	stats.ticks += time_now() - ticks;
	stats.instret += time_instret() - instret;
	return more;
}

/* The same, but not while an audit looks. */
static bool step(void)
{
	bool more;

	if (!space_begin_work())
		return false;
	more = step_now();
	space_end_work();
	return more;
}

/* ---- pace ---- */

/* A division that is not done at each guest entry. */
static void note_pace(void)
{
	u32 r = atomic_load(&rate);
	u64 ticks = TIME_NEVER;

	if (!atomic_load(&is_off) && r != 0)
		ticks = (time_ns_to_ticks(CREDIT_NS) * 1000 + r - 1) / r;
	atomic_store(&earn_ticks, ticks);
}

void scan_init(u64 seed)
{
	twin_init(seed);
	hide_init(seed);
	index_init();
	has_secure = false;
	stats = (struct merge_stats){ 0 };
	place_of = NULL;
	changed_before = pause = 0;
	atomic_store(&next_pass, 0);
	atomic_store(&earned_at, 0);
	atomic_store(&is_off, false);
	scan_split_always(false);
	atomic_store(&rate, RATE_DEFAULT);
	note_pace();
}

void scan_switch(bool on)
{
	atomic_store(&is_off, !on);
	note_pace();
}

bool scan_is_on(void)
{
	return !atomic_load(&is_off);
}

void scan_set_rate(u32 permille)
{
	atomic_store(&rate, (u32)u64_min(permille, 1000));
	note_pace();
}

u32 scan_rate(void)
{
	return atomic_load(&rate);
}

void scan_split_always(bool always)
{
	atomic_store(&splits_always, always);
}

bool scan_splits_always(void)
{
	return atomic_load_explicit(&splits_always, memory_order_relaxed);
}

void scan_stats(struct merge_stats *st)
{
	lock_acquire(&scan_lock);
	*st = stats;
	lock_release(&scan_lock);
}

static bool is_due(void)
{
	return !atomic_load(&is_off) && time_now() >= atomic_load(&next_pass);
}

bool scan_idle(void)
{
	bool more;

	if (!is_due() || !lock_try(&scan_lock))
		return false;
	more = step();
	lock_release(&scan_lock);
	return more;
}

/* What the busy harts have earned since earned_at, in ticks. */
static u64 credit(u64 now)
{
	if (now < atomic_load(&earned_at))
		return 0;
	return (now - atomic_load(&earned_at)) * atomic_load(&rate) / 1000;
}

u64 scan_deadline(void)
{
	u64 ticks = atomic_load_explicit(&earn_ticks, memory_order_relaxed);

	if (ticks == TIME_NEVER)
		return TIME_NEVER;
	return u64_max(atomic_load_explicit(&earned_at, memory_order_relaxed) + ticks,
	               atomic_load_explicit(&next_pass, memory_order_relaxed));
}

void scan_busy(void)
{
	u64 start = time_now(), budget = time_ns_to_ticks(CREDIT_NS), n_dirty;

	if (!is_due() || credit(start) < budget)
		return;
	/* What was not spent in time is gone; and while one hart scans, the others need not ask. */
	atomic_store(&earned_at, start);
	if (!lock_try(&scan_lock))
		return;
	n_dirty = stats.dirty;
	while (time_now() - start < budget && step())
		continue;
	/* What guests have to pay for it comes off what may be spent. */
	n_dirty = (stats.dirty - n_dirty) * 1000 / u64_max(atomic_load(&rate), 1);
	atomic_store(&earned_at, time_now() + time_ns_to_ticks(n_dirty * DIRTY_NS));
	lock_release(&scan_lock);
}

void scan_once(void)
{
	lock_acquire(&scan_lock);
	space_cursor_rewind(CURSOR_SCAN);
	place_of = NULL;
	while (step()) {
		lock_release(&scan_lock);
		lock_acquire(&scan_lock);
	}
	lock_release(&scan_lock);
}

/* Of its first frame the record names the block. */
static void forget_block(struct frame *first)
{
	for (u32 i = 1; i < N_ENTRIES; i++)
		first[i].link.merge.hash = 0;
}

/* Index entries are hints, and those of frames without a hash are wrong.  What is counted below a table that the space
 * reaches does not end while its lock is held; and only who has the scan lock reads or writes hashes of pages
 * that nobody can write. */
static void forget_region(const struct space *s, gpa_t gpa)
{
	u64 high = s->root->pte[pte_index(gpa, 2)];
	u64 pte = high ? table_below(high)->pte[pte_index(gpa, 1)] : 0;
	struct table *t = pte && pte_is_table(pte) ? table_below(pte) : NULL;

	if (pte && !t)
		forget_block(frame_of(pte_hpa(pte)));
	if (t && t->block && t->block->is_contiguous)
		forget_block(t->block->first);
	for (u32 i = 0; t && i < N_ENTRIES; i++)
		if (t->pte[i] & PTE_V && pte_kind(t->pte[i]) == KIND_LEAF)
			frame_of(pte_hpa(t->pte[i]))->link.merge.hash = 0;
}

static void forget(struct space *s)
{
	for (u32 k = 0; k < s->n_regions; k++) {
		const struct region *r = &s->region[k];

		for (u64 at = 0; at < r->len; at += BLOCK_SIZE) {
			lock_acquire(&s->lock);
			forget_region(s, GPA(r->base.v + at));
			lock_release(&s->lock);
		}
	}
}

/* A region at a time: with the scan lock held nothing that is forgotten comes back, and a break waits for one region. */
void scan_set_policy(struct space *s, struct merge_policy p)
{
	lock_acquire(&scan_lock);
	if (s->merge.dedup == DEDUP_MERGE &&
	    (p.dedup != DEDUP_MERGE || p.domain != s->merge.domain))
		forget(s);
	lock_acquire(&s->lock);
	s->merge = p;
	lock_release(&s->lock);
	lock_release(&scan_lock);
}

void scan_spare(struct space *s)
{
	lock_acquire(&s->lock);
	s->merge.dedup = DEDUP_OFF;
	lock_release(&s->lock);
}

void scan_relieve(void)
{
	if (!lock_try(&scan_lock))
		return; /* that hart's own work is in it */
	index_drop();
	lock_release(&scan_lock);
}

#define COMPACT_ROUNDS 8U

/* Round after round, since one makes room for the next: an index, blocks split, the second of two equal pages a
 * keeper that the first finds.  After the first two, as long as something changes. */
void scan_compact(struct space *s)
{
	u64 before = 0;

	if (s->merge.is_secure)
		return; /* clones would have to copy what they only read */
	lock_acquire(&scan_lock);
	for (u32 k = 0; k < COMPACT_ROUNDS && (k < 2 || n_changed() > before); k++) {
		gpa_t at = GPA(0);

		before = n_changed();
		index_tidy();
		while (visit_space(s, &at, true))
			continue;
	}
	lock_release(&scan_lock);
}

/* ---- unmerge ---- */

/* Has the scanner taken away page i, which is not the space's own again, or shown it to others? */
static bool is_given(const struct table *t, u32 i)
{
	u64 pte = t->pte[i];

	if (!(pte & PTE_V) || pte & PTE_W)
		return false;
	return bit_test(t->given, i) ||
	       (pte_kind(pte) == KIND_LEAF && frame_is_keeper(frame_of(pte_hpa(pte))));
}

/* The next such page at or above *gpa. */
static bool next_given(struct space *s, gpa_t *gpa)
{
	struct table *t, *above;
	u32 i;

	for (; next_private(s, gpa, &t, &above);
	     gpa->v = ALIGN_DOWN(gpa->v, BLOCK_SIZE) + BLOCK_SIZE) {
		if (!t)
			continue;
		for (i = pte_index(*gpa, 0); i < N_ENTRIES; i++) {
			if (!is_given(t, i))
				continue;
			gpa->v = ALIGN_DOWN(gpa->v, BLOCK_SIZE) + ((u64)i << PAGE_SHIFT);
			return true;
		}
	}
	return false;
}

/* A break waits for one region of it. */
u64 scan_n_given(struct space *s)
{
	struct table *t, *above;
	gpa_t gpa = GPA(0);
	bool more = true;
	u64 n = 0;

	for (; more; gpa.v = ALIGN_DOWN(gpa.v, BLOCK_SIZE) + BLOCK_SIZE) {
		lock_acquire(&s->lock);
		more = next_private(s, &gpa, &t, &above);
		for (u32 i = 0; more && t && i < N_ENTRIES; i++)
			n += is_given(t, i);
		lock_release(&s->lock);
	}
	return n;
}

enum err scan_unmerge(struct space *s)
{
	gpa_t gpa = GPA(0);
	enum err e = ERR_OK;
	bool more = true;

	/* What was promised to it is there for just this. */
	if (s->use != FRAME_PROMISED && scan_n_given(s) > frame_n_for_guests())
		return ERR_NOMEM;
	while (e == ERR_OK && more) {
		lock_acquire(&s->lock);
		more = next_given(s, &gpa);
		lock_release(&s->lock);
		if (more)
			e = space_touch(s, gpa, ACCESS_WRITE);
		gpa.v += PAGE_SIZE;
	}
	return e;
}
