// SPDX-License-Identifier: BSD-2-Clause
/*
 * Tables and blocks: made, derived, split, put, freed.  seal.c: how they lose their W.
 *
 * A table whose count reaches zero is stamped and waits in the reap list until
 * every hart has passed a fence since (mm/tlb.h): a walker may still stand in it.
 * It is then freed entry by entry, which may put further tables on the list, so
 * that the depth of a family of VMs never becomes depth of the stack.
 */
#include "mm/table.h"

#include <string.h>
#include "arch/page.h"
#include "arch/phys.h"
#include "arch/time.h"
#include "lib/assert.h"
#include "mm/pool.h"
#include "mm/tlb.h"

static struct pool tables = POOL_INIT("table", struct table, FRAME_FOR_TABLE);
static struct pool blocks = POOL_INIT("block", struct block, FRAME_FOR_PANDO);

static struct spinlock reap_lock = LOCK_INIT(LOCK_REAP);
static struct table *reap_head, **reap_tail = &reap_head; /* reap_lock: oldest first */
static _Atomic u64 n_reaped, reap_instret;

/* ---- making ---- */

static struct frame *pages_for(u32 level, bool zeroed, enum frame_use use)
{
	if (level == 2)
		return root_get(use);
	return zeroed ? frame_alloc_zeroed(use) : frame_alloc(use);
}

static inline void pages_free_of(u32 level, struct frame *f)
{
	if (level == 2)
		root_put(f);
	else
		frame_free(f);
}

static struct table *table_new(u32 level, bool zeroed, enum frame_use use)
{
	struct frame *f = pages_for(level, zeroed, use);
	struct table *t;

	if (!f)
		return NULL;
	t = use == FRAME_PROMISED ? pool_alloc_promised(&tables) : pool_alloc(&tables);
	if (!t) {
		pages_free_of(level, f);
		return NULL;
	}
	for (u32 k = 0; k < (level == 2 ? BIT(ROOT_ORDER) : 1); k++) {
		f[k].class = FRAME_TABLE;
		f[k].link.table = t;
	}
	atomic_init(&t->count, 1);
	t->level = (u8)level;
	t->lo = ROOT_ENTRIES;
	t->pte = hpa_ptr(frame_hpa(f));
	return t;
}

struct table *table_alloc(u32 level, enum frame_use use)
{
	return table_new(level, true, use);
}

void table_set(struct table *t, u32 i, u64 pte)
{
	pte_write(&t->pte[i], pte);
	if (t->level == 2) {
		t->lo = (u16)u64_min(t->lo, i);
		t->hi = (u16)u64_max(t->hi, i + 1);
		return;
	}
	if (pte & PTE_V && (t->level == 1 || pte_kind(pte) == KIND_LEAF))
		bit_set(t->counted, i);
	else
		bit_clear(t->counted, i);
	if (pte & PTE_W)
		bit_set(t->armed_at, i);
}

/* ---- derive and split ---- */

/* One more reference to each frame that a marked entry names.  In tables that are written over and
 * over, whole words are marked. */
static void get_leaves(const u64 *pte, const u64 *marked)
{
	struct frame_map map = frame_map();

	for (u32 word = 0; word < BITMAP_WORDS; word++, pte += 64) {
		u64 left = marked[word];

		for (u32 k = 0; left == UINT64_MAX && k < 64; k += 4) {
			frame_get(frame_in(map, pte_ppn(pte[k])));
			frame_get(frame_in(map, pte_ppn(pte[k + 1])));
			frame_get(frame_in(map, pte_ppn(pte[k + 2])));
			frame_get(frame_in(map, pte_ppn(pte[k + 3])));
		}
		for (u32 k = 0; left != UINT64_MAX && left; left >>= 1, k++)
			if (left & 1)
				frame_get(frame_in(map, pte_ppn(pte[k])));
	}
}

static void derive_leaves(struct table *copy, const struct table *t)
{
	page_copy(copy->pte, t->pte);
	memcpy(copy->counted, t->counted, sizeof(copy->counted));
	get_leaves(t->pte, t->counted);
	copy->block = t->block;
	copy->has_keepers = t->has_keepers;
	if (t->block)
		atomic_fetch_add_explicit(&t->block->count, 1, memory_order_relaxed);
}

/* Few entries are live in most: into a zeroed table they are copied one by one, as each is looked at anyway. */
static void derive_middle(struct table *copy, const struct table *t)
{
	u32 i;

	memcpy(copy->counted, t->counted, sizeof(copy->counted));
	FOR_EACH_BIT (t->counted, i) {
		u64 pte = t->pte[i];

		if (pte_is_table(pte))
			table_get(table_below(pte));
		else
			atomic_fetch_add_explicit(&block_behind(pte)->count, 1,
			                          memory_order_relaxed);
		copy->pte[i] = pte;
	}
}

static void derive_root(struct table *copy, const struct table *t)
{
	copy->lo = t->lo;
	copy->hi = t->hi;
	for (u32 i = t->lo; i < t->hi; i++) {
		if (t->pte[i]) {
			table_get(table_below(t->pte[i]));
			copy->pte[i] = t->pte[i];
		}
	}
}

/* Harts that look at the same moment add less than what is left beyond FRAME_REFS_MAX. */
static NOINLINE bool has_room_for_copy(const struct table *t)
{
	struct frame_map map = frame_map();
	u32 i;

	FOR_EACH_BIT (t->counted, i) {
		u64 pte = t->pte[i];

		if (frame_refs(frame_in(map, pte_ppn(pte))) >= FRAME_REFS_MAX)
			return false;
	}
	return true;
}

struct table *table_derive(const struct table *t, enum frame_use use)
{
	struct table *copy;

	if (t->has_keepers && !has_room_for_copy(t))
		return NULL;
	copy = table_new(t->level, t->level == 1, use);
	if (!copy)
		return NULL;
	if (t->level == 0)
		derive_leaves(copy, t);
	else if (t->level == 1)
		derive_middle(copy, t);
	else
		derive_root(copy, t);
	return copy;
}

struct table *table_split(struct block *b, enum frame_use use)
{
	struct table *t = table_new(0, false, use);
	u64 pte = pte_make(frame_hpa(b->first), PTE_READ_ONLY | KIND_PIECE);

	if (!t)
		return NULL;
	t->block = b;
	for (u32 i = 0; i < N_ENTRIES; i += 4, pte += 4 * PTE_NEXT_PAGE) {
		t->pte[i] = pte;
		t->pte[i + 1] = pte + PTE_NEXT_PAGE;
		t->pte[i + 2] = pte + 2 * PTE_NEXT_PAGE;
		t->pte[i + 3] = pte + 3 * PTE_NEXT_PAGE;
	}
	return t;
}

/* ---- blocks ---- */

static struct block *block_new(struct frame *first, u16 n, bool is_contiguous)
{
	struct block *b = pool_alloc(&blocks);

	if (!b)
		return NULL;
	atomic_init(&b->count, 1);
	b->n = n;
	b->is_contiguous = is_contiguous;
	b->first = first;
	return b;
}

struct block *block_new_contiguous(struct frame *first)
{
	struct block *b = block_new(first, N_ENTRIES, true);

	for (u32 i = 0; b && i < N_ENTRIES; i++) {
		first[i].class = FRAME_BLOCK;
		first[i].slot = (u16)i;
		first[i].link.block = b;
	}
	return b;
}

struct block *block_new_listed(struct frame *first, u16 n)
{
	return block_new(first, n, false);
}

static COLD void block_free(struct block *b)
{
	if (b->is_contiguous) {
		frame_free_order(b->first, 9);
	} else {
		struct frame_run run = { 0 };

		for (struct frame *f = b->first, *next; f; f = next) {
			next = f->link.next;
			frame_free_into(&run, f);
		}
		frame_free_run(&run);
	}
	pool_free(&blocks, b);
}

void block_put(struct block *b)
{
	u32 before = atomic_fetch_sub_explicit(&b->count, 1, memory_order_acq_rel);

	assert(before > 0);
	if (before == 1)
		block_free(b);
}

u64 table_n_pieces(const struct table *t)
{
	u64 n = 0;

	for (u32 i = 0; i < N_ENTRIES; i++)
		n += (t->pte[i] & PTE_V) && pte_kind(t->pte[i]) == KIND_PIECE;
	return n;
}

/* Pieces of `t` become counted leaves; what is then still of class BLOCK in b is unused. */
static void pieces_to_leaves(struct table *t)
{
	for (u32 i = 0; i < N_ENTRIES; i++) {
		u64 pte = t->pte[i];
		struct frame *f;

		if (!(pte & PTE_V) || pte_kind(pte) != KIND_PIECE)
			continue;
		f = frame_of(pte_hpa(pte));
		f->class = FRAME_COUNTED;
		atomic_store_explicit(&f->count, 1, memory_order_relaxed);
		pte_write(&t->pte[i], (pte & ~PTE_KIND) | KIND_LEAF);
		bit_set(t->counted, i);
		bit_clear(t->given, i); /* it saves nothing any more */
	}
}

/* A slot that has become a leaf begins without a history; one that is unused is freed. */
static u32 leave_block(struct frame *f)
{
	if (f->class != FRAME_BLOCK) {
		f->link.merge = (struct merge_note){ 0 };
		return 0;
	}
	frame_free(f);
	return 1;
}

u32 table_dissolve(struct table *t)
{
	struct block *b = t->block;
	u32 n_freed = 0;

	if (t->level || !b || block_is_shared(b))
		return 0;
	/* A listed block is chained through the records that a leaf's count will reuse. */
	struct frame *next = b->is_contiguous ? NULL : b->first;

	pieces_to_leaves(t);
	t->block = NULL;
	for (u32 i = 0; b->is_contiguous && i < N_ENTRIES; i++)
		n_freed += leave_block(&b->first[i]);
	while (next) {
		struct frame *f = next;

		next = f->link.next;
		n_freed += leave_block(f);
	}
	pool_free(&blocks, b);
	return n_freed;
}

/* ---- the end of a table ---- */

/* Tables that nobody names any more, chained by reap_next. */
struct row {
	struct table *first, *last; /* NULL: none */
};

static inline void row_add(struct row *r, struct table *t)
{
	t->reap_next = NULL;
	if (r->first)
		r->last->reap_next = t;
	else
		r->first = t;
	r->last = t;
}

static inline struct table *row_pop(struct row *r)
{
	struct table *t = r->first;

	r->first = t->reap_next;
	return t;
}

/* Drops a count; the last one puts the table into `dead`. */
static inline void drop(struct row *dead, struct table *t)
{
	u32 before = atomic_fetch_sub_explicit(&t->count, 1, memory_order_acq_rel);

	assert(before > 0);
	if (before == 1)
		row_add(dead, t);
}

/* They leave `dead`, which is not empty, for the end of the reap list. */
static void retire(struct row *dead)
{
	u64 stamp;

	lock_acquire(&reap_lock);
	stamp = tlb_retire();
	for (struct table *t = dead->first; t; t = t->reap_next)
		t->retired = stamp;
	*reap_tail = dead->first;
	reap_tail = &dead->last->reap_next;
	lock_release(&reap_lock);
	dead->first = NULL;
}

void table_put(struct table *t)
{
	struct row dead = { NULL, NULL };

	drop(&dead, t);
	if (dead.first)
		retire(&dead);
}

/* The oldest of the reap list that every hart has passed, `max` at most. */
static void take_past(struct row *now, u32 max)
{
	lock_acquire(&reap_lock);
	while (max-- > 0 && reap_head && tlb_is_past(reap_head->retired)) {
		struct table *t = reap_head;

		reap_head = t->reap_next;
		if (!reap_head)
			reap_tail = &reap_head;
		row_add(now, t);
	}
	lock_release(&reap_lock);
}

/* As in get_leaves(): whole words are marked where much was written. */
static void put_leaves(struct table *t)
{
	struct frame_map map = frame_map();
	struct frame_run run = { 0 };
	u64 k;

	for (u32 word = 0; word < BITMAP_WORDS; word++) {
		const u64 *pte = &t->pte[word * 64];

		if (t->counted[word] == UINT64_MAX)
			for (k = 0; k < 64; k++)
				frame_put_into(&run, frame_in(map, pte_ppn(pte[k])));
		else
			FOR_EACH_BIT_OF (t->counted[word], 0, k)
				frame_put_into(&run, frame_in(map, pte_ppn(pte[k])));
	}
	frame_free_run(&run);
	if (t->block)
		block_put(t->block);
}

static void put_middle(struct table *t, struct row *dead)
{
	u64 i;

	FOR_EACH_BIT (t->counted, i) {
		u64 pte = t->pte[i];

		if (pte_is_table(pte))
			drop(dead, table_below(pte));
		else
			block_put(block_behind(pte));
	}
}

static void put_root(struct table *t, struct row *dead)
{
	for (u32 i = t->lo; i < t->hi; i++) {
		if (t->pte[i])
			drop(dead, table_below(t->pte[i]));
		t->pte[i] = 0;
	}
}

/* All but the record.  Tables that nobody else names come to `dead`. */
static void end(struct table *t, struct row *dead)
{
	struct frame *f = frame_in(frame_map(), ptr_hpa(t->pte).v >> PAGE_SHIFT);

	if (t->level == 0)
		put_leaves(t);
	else if (t->level == 1)
		put_middle(t, dead);
	else
		put_root(t, dead);
	pages_free_of(t->level, f);
}

static void note_reaped(u64 n, u64 instret)
{
	atomic_fetch_add_explicit(&n_reaped, n, memory_order_relaxed);
	atomic_fetch_add_explicit(&reap_instret, instret, memory_order_relaxed);
}

struct table_reaped table_reaped(void)
{
	return (struct table_reaped){ atomic_load(&n_reaped), atomic_load(&reap_instret) };
}

/* Up to `max` tables of the list, and of those that come to light on the way.  `ended` gets their records. */
static u32 reap(struct row *ended, u32 max)
{
	struct row now = { NULL, NULL }, dead = { NULL, NULL };
	u32 n = 0;

	take_past(&now, max);
	while (now.first) {
		struct table *t = row_pop(&now);

		end(t, &dead);
		row_add(ended, t);
		n++;
		/* If nobody walks anywhere now, these need not wait in the list.  That they were below a table
		 * that is past says nothing: a space may have let go of one since, and a hart outside of its
		 * windows walks there by what it remembers until it opens the next. */
		if (!now.first && dead.first && n < max && tlb_is_past(tlb_retire())) {
			now = dead;
			dead.first = NULL;
		}
		if (n == max && now.first)
			retire(&now);
	}
	if (dead.first)
		retire(&dead);
	return n;
}

u32 table_reap(u32 budget)
{
	u64 start = time_instret();
	struct row ended = { NULL, NULL };
	u32 n = reap_head ? reap(&ended, budget) : 0;

	if (n) {
		pool_free_chain(&tables, ended.first, offsetof(struct table, reap_next));
		note_reaped(n, time_instret() - start);
	}
	return n;
}

bool table_reap_is_wanted(void)
{
	return reap_head != NULL;
}

bool table_promise(u32 n_tables, u32 n_roots)
{
	u32 n = 0;

	while (n < n_roots && root_promise())
		n++;
	if (n == n_roots && pool_promise(&tables, n_tables))
		return true;
	while (n-- > 0)
		root_unpromise();
	return false;
}

void table_unpromise(u32 n_tables, u32 n_roots)
{
	pool_unpromise(&tables, n_tables);
	while (n_roots-- > 0)
		root_unpromise();
}

struct promise table_promised(void)
{
	return (struct promise){ .n_tables = (u32)tables.n_promised, .n_roots = root_n_promised() };
}

void table_for_each_dying(void (*fn)(struct table *t, void *arg), void *arg)
{
	lock_acquire(&reap_lock);
	for (struct table *t = reap_head; t; t = t->reap_next)
		fn(t, arg);
	lock_release(&reap_lock);
}

u64 table_n_records(void)
{
	return tables.n_objects;
}

u64 block_n_records(void)
{
	return blocks.n_objects;
}
