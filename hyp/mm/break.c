// SPDX-License-Identifier: BSD-2-Clause
/*
 * The break: a guest, or Pando for it, is about to write.
 *
 * One sentence governs this file: what has more than one reference is immutable.
 * A break therefore has two halves.  The first makes the path to the page ours
 * alone, from the root down: a shared table on it is derived, a shared 2 MiB
 * leaf is split, a missing table is made.  The second replaces the page: a shared
 * frame is copied, one that is ours alone just gets its W bit back.
 *
 * Other harts may run this space meanwhile.  Nothing is writable before they
 * have been fenced: they read old tables or new ones, and both show the same
 * bytes.  So a break stores new entries without W, fences once for all of them,
 * drops what was replaced, and sets W last.
 *
 * Writes come in crowds, so the level-0 table of the last break is remembered; the
 * first half is then nothing, and the way of such a break is kept short.
 */
#include "mm/space.h"

#include <string.h>
#include "arch/fence.h"
#include "arch/page.h"
#include "arch/phys.h"
#include "lib/assert.h"
#include "mm/hide.h"
#include "mm/table.h"

#define TABLES_WHEN_SHORT 16U /* that one space may have for loads while pages have run out */

static struct frame *zero_frame;

/* A walk to one page by its writer, under the space's lock. */
struct walk {
	struct space *s;
	gpa_t gpa;
	bool is_load;          /* wants no page of its own */
	struct table *path[3]; /* by level: ours alone */
	u64 *block_leaf;       /* level-1 leaf of a block that is ours alone; path ends there */
	struct table *old[3];  /* derived from; put after the fence */
	u32 n_old;
	bool new_root, new_pointer;
};

void space_zero_init(void)
{
	zero_frame = frame_alloc(FRAME_FOR_PANDO);
	assert(zero_frame);
	zero_frame->class = FRAME_ZERO;
	page_zero(hpa_ptr(frame_hpa(zero_frame)));
}

u64 space_zero_entry(void)
{
	return pte_make(frame_hpa(zero_frame), PTE_READ_ONLY | KIND_ZERO);
}

/* ---- the path: ours alone, from the root down ---- */

static void arm(struct table *t, u32 i)
{
	t->armed = true;
	if (t->level < 2)
		bit_set(t->armed_at, i);
}

/* A store needs a page as well, and is not worth the tables' reserve if there is none.  A load gets a few
 * tables out of it, so that no guest can drain it. */
static enum frame_use use_for_table(struct walk *w)
{
	struct space *s = w->s;

	if (s->use == FRAME_PROMISED)
		return FRAME_PROMISED;
	if (!frame_is_short())
		s->n_tables_when_short = 0;
	else if (!w->is_load || s->n_tables_when_short == TABLES_WHEN_SHORT)
		return FRAME_FOR_GUEST;
	else
		s->n_tables_when_short++;
	return FRAME_FOR_TABLE;
}

static void note_table(struct space *s, u32 level)
{
	s->n_tables++;
	if (s->use == FRAME_PROMISED)
		promise_spend_table(s, level);
}

static enum err own_root(struct walk *w)
{
	struct space *s = w->s;

	if (table_is_shared(s->root)) {
		struct table *copy = table_derive(s->root, use_for_table(w));

		if (!copy)
			return ERR_NOMEM;
		note_table(s, 2);
		w->old[w->n_old++] = s->root;
		s->root = copy;
		w->new_root = w->new_pointer = true;
		s->breaks[BREAK_ROOT]++;
	}
	w->path[2] = s->root;
	return ERR_OK;
}

/* What stands in the slot of `parent`, made ours alone; NULL: no memory. */
static struct table *own_below(struct walk *w, struct table *parent, u32 i)
{
	u64 pte = parent->pte[i];
	struct table *below, *t;

	if (!pte) {
		t = table_alloc(parent->level - 1U, use_for_table(w));
	} else if (!pte_is_table(pte)) {
		t = table_split(block_behind(pte), use_for_table(w));
		w->s->breaks[BREAK_SPLIT] += t != NULL;
	} else {
		below = table_below(pte);
		if (!table_is_shared(below))
			return below;
		t = table_derive(below, use_for_table(w));
		if (t)
			w->old[w->n_old++] = below;
		w->s->breaks[BREAK_DERIVE] += t != NULL;
	}
	if (t) {
		note_table(w->s, t->level);
		table_set(parent, i, pte_make(ptr_hpa(t->pte), PTE_TABLE));
		w->new_pointer = true;
	}
	return t;
}

/* From the root down to `level` (0 or 1), or to a block that is ours alone. */
static enum err walk_down(struct walk *w, u32 level)
{
	enum err e = w->s->frozen ? ERR_STATE : own_root(w);

	for (u32 l = 2; e == ERR_OK && l > level; l--) {
		struct table *t = w->path[l];
		u32 i = pte_index(w->gpa, l);
		u64 pte = t->pte[i];

		arm(t, i);
		if (l == 1 && pte && !pte_is_table(pte) && !block_is_shared(block_behind(pte))) {
			w->block_leaf = &t->pte[i];
			return ERR_OK;
		}
		w->path[l - 1] = own_below(w, t, i);
		if (!w->path[l - 1])
			e = ERR_NOMEM;
	}
	if (e == ERR_OK && level == 0) {
		w->s->recent = w->path[0];
		w->s->recent_gpa = GPA(ALIGN_DOWN(w->gpa.v, BLOCK_SIZE));
	}
	return e;
}

/* If tables have been made or replaced: their parents' pointers, and perhaps the root, are new. */
static void commit_tables(struct walk *w)
{
	if (!w->new_pointer)
		return;
	w->new_pointer = false;
	tlb_fence_all(&w->s->tlb, w->new_root ? ptr_hpa(w->s->root->pte) : HPA(0));
	for (u32 k = 0; k < w->n_old; k++)
		table_put(w->old[k]);
}

/* Writes come in crowds: the level-0 table of the last one, which only share, fork and reset take away
 * from us.  NULL: gpa is not below it. */
static inline struct table *recent_table(const struct space *s, gpa_t gpa)
{
	return s->recent_gpa.v == ALIGN_DOWN(gpa.v, BLOCK_SIZE) ? s->recent : NULL;
}

/* ---- the page ---- */

/* May the page behind a valid leaf of `t`, which is ours alone, be written where it is? */
static inline bool page_is_ours(const struct table *t, u64 pte)
{
	struct frame *f = frame_in(frame_map(), pte_ppn(pte));

	if (pte_kind(pte) == KIND_PIECE)
		return !block_is_shared(t->block);
	if (pte_kind(pte) != KIND_LEAF)
		return false;
	return atomic_load_explicit(&f->count, memory_order_acquire) == 1 || frame_take_keeper(f);
}

static struct frame *new_frame(struct space *s, u64 old, enum break_class class)
{
	struct frame *f;

	if (class == BREAK_ZERO_FILL)
		return frame_alloc_zeroed(s->use);
	f = frame_alloc(s->use);
	if (f)
		page_copy(hpa_ptr(frame_hpa(f)), hpa_ptr(pte_hpa(old)));
	return f;
}

/* Leaf i of a level-0 table gets W: what it names is ours alone. */
static inline void make_writable(struct space *s, struct table *t, u32 i, u64 pte, gpa_t gpa)
{
	t->armed = true;
	bit_set(t->armed_at, i);
	pte_write(&t->pte[i], pte | PTE_W | PTE_A | PTE_D);
	tlb_fence_local(&s->tlb, gpa);
}

/* `f` becomes a page of the space's own.  Returns its entry, without W. */
static inline u64 own_frame(struct space *s, struct frame *f)
{
	if (s->use == FRAME_PROMISED)
		promise_spend_frames(s, 1);
	f->class = FRAME_COUNTED;
	atomic_store_explicit(&f->count, 1, memory_order_relaxed);
	fence_i(); /* the frame may have been code of another VM; other harts: tlb_open() */
	return frame_pte(f) | PTE_READ_ONLY | KIND_LEAF;
}

/* The page gets a frame of its own: entered without W and X, then the fence, then what was there is dropped,
 * then W and X: no hart executes what its instruction cache has of the frame's past.  `w` as in break_page(). */
static NOINLINE enum err replace_page(struct space *s, struct table *t, gpa_t gpa, struct walk *w)
{
	u32 i = pte_index(gpa, 0);
	u64 old = t->pte[i], pte;
	enum break_class class = !old || pte_kind(old) == KIND_ZERO ? BREAK_ZERO_FILL : BREAK_COPY;
	struct frame *f = new_frame(s, old, class);

	if (!f)
		return ERR_NOMEM;
	f->link.merge = (struct merge_note){ 0 };
	pte = own_frame(s, f);
	table_set_leaf(t, i, pte & ~PTE_X);
	if (w && w->new_pointer)
		commit_tables(w);
	else if (old)
		tlb_fence_leaf(&s->tlb);
	if (class == BREAK_COPY && pte_kind(old) == KIND_LEAF)
		frame_put(frame_in(frame_map(), pte_ppn(old)));
	make_writable(s, t, i, pte, gpa);
	s->breaks[class]++;
	return ERR_OK;
}

/* The same for an absent page, with a frame that an idle hart has zeroed: nobody can know of either. */
static FLATTEN enum err fill_page(struct space *s, struct table *t, gpa_t gpa)
{
	struct frame *f = frame_take_zeroed();
	u32 i = pte_index(gpa, 0);

	if (!f)
		return replace_page(s, t, gpa, NULL);
	s->breaks[BREAK_ZERO_FILL]++;
	bit_set(t->counted, i);
	make_writable(s, t, i, own_frame(s, f), gpa);
	return ERR_OK;
}

/* A page that the merge scanner has hidden (mm/hide.h).  All that it may be takes this way.  No hart can know its old
 * entry, nor read it in a table that has been replaced: the fence is for the frame's past alone. */
static NOINLINE enum err reveal_page(struct space *s, struct table *t, gpa_t gpa)
{
	struct frame *f = hide_draw(s->use);
	u32 i = pte_index(gpa, 0);
	u64 old = t->pte[i], entry;

	if (!f)
		return ERR_NOMEM;
	page_copy(hpa_ptr(frame_hpa(f)), hpa_ptr(pte_hpa(old)));
	f->link.merge = (struct merge_note){ 0 };
	entry = own_frame(s, f);
	table_set_leaf(t, i, entry & ~PTE_X);
	tlb_fence_leaf(&s->tlb);
	hide_put_later(old);
	make_writable(s, t, i, entry, gpa);
	s->breaks[BREAK_COPY]++;
	return ERR_OK;
}

/* One store to gpa, below the level-0 table `t` that is ours alone; `w`: how we came to it, if its path
 * may have changed.  In a guest's fault it costs no call. */
static ALWAYS_INLINE enum err break_page(struct space *s, struct table *t, gpa_t gpa,
                                         struct walk *w)
{
	u32 i = pte_index(gpa, 0);
	u64 pte = t->pte[i];

	if (!pte)
		return w ? replace_page(s, t, gpa, w) : fill_page(s, t, gpa);
	if (pte & PTE_W)
		s->breaks[BREAK_SPURIOUS]++;
	else if (__builtin_expect(pte_is_hidden(pte), 0))
		return reveal_page(s, t, gpa);
	else if (page_is_ours(t, pte))
		s->breaks[BREAK_OWN]++;
	else
		return replace_page(s, t, gpa, w);
	make_writable(s, t, i, pte, gpa); /* the same frame, whatever tables others still walk */
	return ERR_OK;
}

/* The page is of a block that is ours alone: all of it gets W. */
static enum err break_block(struct walk *w)
{
	struct space *s = w->s;

	s->breaks[*w->block_leaf & PTE_W ? BREAK_SPURIOUS : BREAK_OWN]++;
	pte_write(w->block_leaf, *w->block_leaf | PTE_W | PTE_A | PTE_D);
	tlb_fence_local(&s->tlb, w->gpa);
	return ERR_OK;
}

static NOINLINE enum err break_from_root(struct space *s, gpa_t gpa)
{
	struct walk w = { .s = s, .gpa = gpa };
	enum err e = walk_down(&w, 0);

	if (e == ERR_OK)
		e = w.block_leaf ? break_block(&w) : break_page(s, w.path[0], gpa, &w);
	commit_tables(&w); /* of a page that has kept its frame, was hidden, or could not be had */
	return e;
}

/* One store to gpa, memory of this space, may go ahead afterwards.  Space lock held. */
static ALWAYS_INLINE enum err break_locked(struct space *s, gpa_t gpa)
{
	struct table *t = recent_table(s, gpa);

	return t ? break_page(s, t, gpa, NULL) : break_from_root(s, gpa);
}

/* ---- lookups and faults ---- */

/* The valid leaf that maps gpa, NULL if none; *hpa is where the byte lies. */
static u64 *lookup(const struct space *s, gpa_t gpa, hpa_t *hpa)
{
	const struct table *t = s->root;

	for (;;) {
		u64 *pte = &t->pte[pte_index(gpa, t->level)];
		u64 span = PAGE_SIZE << (9 * t->level);

		if (!(*pte & PTE_V))
			return NULL;
		if (!pte_is_table(*pte)) {
			*hpa = HPA(pte_hpa(*pte).v + (gpa.v & (span - 1)));
			return pte;
		}
		t = table_below(*pte);
	}
}

/* There is a page: it is hidden, or wants its A bit, or somebody else has mapped it meanwhile.  A shared table's
 * entry may get its A as well: it says nothing, and the machine would set it. */
static NOINLINE enum err load_again(struct space *s, gpa_t gpa, u64 *pte)
{
	if (pte_is_hidden(*pte))
		return break_locked(s, gpa);
	__atomic_fetch_or(pte, PTE_A, __ATOMIC_RELAXED);
	s->breaks[BREAK_SPURIOUS]++;
	tlb_fence_local(&s->tlb, gpa);
	return ERR_OK;
}

/* A load or fetch faulted: the page is absent, most often. */
static enum err map_zero_locked(struct space *s, gpa_t gpa)
{
	struct walk w = { .s = s, .gpa = gpa, .is_load = true };
	struct table *t = recent_table(s, gpa);
	enum err e = ERR_OK;
	hpa_t hpa;
	u64 *pte = lookup(s, gpa, &hpa);

	if (pte)
		return load_again(s, gpa, pte);
	if (!t) {
		e = walk_down(&w, 0);
		commit_tables(&w);
		t = w.path[0];
	}
	if (e != ERR_OK)
		return e;
	table_set(t, pte_index(gpa, 0), space_zero_entry());
	tlb_fence_local(&s->tlb, gpa);
	s->breaks[BREAK_ZERO_MAP]++;
	return ERR_OK;
}

static ALWAYS_INLINE enum err try_fault(struct space *s, gpa_t gpa, enum access access)
{
	enum err e;

	lock_acquire(&s->lock);
	e = access == ACCESS_WRITE ? break_locked(s, gpa) : map_zero_locked(s, gpa);
	lock_release(&s->lock);
	return e;
}

static COLD enum err fault_again(struct space *s, gpa_t gpa, enum access access)
{
	return space_relieve() ? try_fault(s, gpa, access) : ERR_NOMEM;
}

static inline enum err fault(struct space *s, gpa_t gpa, enum access access)
{
	enum err e = try_fault(s, gpa, access);

	return e == ERR_NOMEM ? fault_again(s, gpa, access) : e;
}

enum err space_fault(struct space *s, gpa_t gpa, enum access access)
{
	/* RAM comes first, and is what nearly every fault is about. */
	if (gpa.v - s->region[0].base.v >= s->region[0].len && !space_has(s, gpa, 1))
		return ERR_RANGE;
	return fault(s, gpa, access);
}

enum err space_touch(struct space *s, gpa_t gpa, enum access access)
{
	return fault(s, gpa, access);
}

u32 space_own_pages(struct space *s, const u64 *gpa, u32 n)
{
	u32 i = 0;

	lock_acquire(&s->lock);
	while (i < n && space_has(s, GPA(gpa[i]), 1) && break_locked(s, GPA(gpa[i])) == ERR_OK)
		i++;
	lock_release(&s->lock);
	return i;
}

enum err space_pin_locked(struct space *s, gpa_t gpa, enum access access, u8 **ptr)
{
	hpa_t hpa = frame_hpa(zero_frame);
	enum err e;
	u64 *pte;

	assert(lock_is_held(&s->lock));
	if (!space_has(s, gpa, 1))
		return ERR_RANGE;
	hpa.v += gpa.v & (PAGE_SIZE - 1);
	pte = lookup(s, gpa, &hpa);
	/* Without D the merge scanner would not learn of the write. */
	if (access == ACCESS_WRITE && (!pte || (*pte & (PTE_W | PTE_D)) != (PTE_W | PTE_D))) {
		e = break_locked(s, gpa);
		if (e != ERR_OK)
			return e;
		pte = lookup(s, gpa, &hpa);
		assert(pte && *pte & PTE_W);
	}
	*ptr = hpa_ptr(hpa);
	return ERR_OK;
}

/* ---- images ---- */

/* A block with `len` bytes of the image, the rest zeroed, at a slot that is still absent. */
static enum err load_block(struct space *s, gpa_t gpa, const struct image_reader *from, u64 offset,
                           u64 len)
{
	struct walk w = { .s = s, .gpa = gpa };
	enum err e = walk_down(&w, 1);
	struct table *t = w.path[1];
	u32 i = pte_index(gpa, 1);
	struct frame *f;
	u8 *bytes;

	commit_tables(&w);
	if (e != ERR_OK)
		return e;
	f = t->pte[i] ? NULL : frame_alloc_order(9, s->use);
	if (!f)
		return ERR_NOMEM;
	if (!block_new_contiguous(f)) {
		frame_free_order(f, 9);
		return ERR_NOMEM;
	}
	if (s->use == FRAME_PROMISED)
		promise_spend_frames(s, N_ENTRIES);
	bytes = hpa_ptr(frame_hpa(f));
	if (len)
		from->read(from->arg, offset, bytes, len);
	memset(bytes + len, 0, BLOCK_SIZE - len);
	table_set(t, i, pte_make(frame_hpa(f), PTE_READ_ONLY | PTE_W | KIND_LEAF));
	arm(t, i);
	tlb_fence_local(&s->tlb, gpa);
	return ERR_OK;
}

enum err space_add_block(struct space *s, gpa_t gpa)
{
	enum err e;

	lock_acquire(&s->lock);
	e = load_block(s, gpa, NULL, 0, 0);
	lock_release(&s->lock);
	return e;
}

static enum err load_page(struct space *s, gpa_t gpa, const struct image_reader *from, u64 offset,
                          u64 len)
{
	enum err e;
	u8 *page;

	lock_acquire(&s->lock);
	e = space_pin_locked(s, gpa, ACCESS_WRITE, &page);
	if (e == ERR_OK)
		from->read(from->arg, offset, page, len);
	lock_release(&s->lock);
	return e;
}

/* Page by page, where no whole block can be had. */
static enum err load_pages(struct space *s, gpa_t gpa, const struct image_reader *from, u64 offset,
                           u64 len)
{
	enum err e = ERR_OK;

	for (u64 at = 0; at < len && e == ERR_OK; at += PAGE_SIZE) {
		u64 n = u64_min(len - at, PAGE_SIZE);

		e = load_page(s, GPA(gpa.v + at), from, offset + at, n);
		if (e == ERR_NOMEM && space_relieve())
			e = load_page(s, GPA(gpa.v + at), from, offset + at, n);
	}
	return e;
}

enum err space_load_from(struct space *s, gpa_t gpa, const struct image_reader *from, u64 len)
{
	enum err e = ERR_OK;

	if (!IS_ALIGNED(gpa.v, BLOCK_SIZE) || !space_has(s, gpa, len))
		return ERR_RANGE;
	for (u64 at = 0; at < len && e == ERR_OK; at += BLOCK_SIZE) {
		u64 n = u64_min(len - at, BLOCK_SIZE);

		lock_acquire(&s->lock);
		e = load_block(s, GPA(gpa.v + at), from, at, n);
		lock_release(&s->lock);
		if (e == ERR_NOMEM)
			e = load_pages(s, GPA(gpa.v + at), from, at, n);
	}
	return e;
}

static void read_memory(const void *arg, u64 offset, void *to, u64 len)
{
	memcpy(to, (const u8 *)arg + offset, len);
}

enum err space_load(struct space *s, gpa_t gpa, const void *image, u64 len)
{
	const struct image_reader from = { read_memory, image };

	return space_load_from(s, gpa, &from, len);
}
