// SPDX-License-Identifier: BSD-2-Clause
/*
 * Spaces: birth, freeze, clone, fork, reset, end; the list of all.
 *
 * A space that shares its root with others is immutable, whoever they are; see
 * break.c for what happens at a write.
 */
#include "mm/space.h"

#include <string.h>
#include "arch/phys.h"
#include "lib/assert.h"
#include "mm/table.h"

static struct spinlock list_lock = LOCK_INIT(LOCK_SPACES);
static LIST_HEAD(, space) spaces = LIST_HEAD_INITIALIZER(spaces);
static struct {
	struct space *next;         /* list_lock; NULL: the first */
	_Atomic(struct space *) at; /* what is being visited; set under list_lock */
} cursors[N_CURSORS];
static _Atomic u64 last_family;

void space_init_all(void)
{
	tlb_init_all();
	LIST_INIT(&spaces);
	space_zero_init();
}

/* ---- life ---- */

static void list_add(struct space *s)
{
	lock_acquire(&list_lock);
	LIST_INSERT_HEAD(&spaces, s, link);
	lock_release(&list_lock);
}

static void start_over(struct space *s, struct table *root)
{
	lock_init(&s->lock, LOCK_SPACE);
	s->root = root;
	s->frozen = s->is_marked = false;
	s->n_tables = 0;
	s->n_breaks_before = 0;
	s->n_tables_when_short = 0;
	s->use = FRAME_FOR_GUEST;
	s->promise = (struct promise){ 0 };
	s->recent = NULL;
	ZERO_WORDS(s->breaks);
	tlb_init(&s->tlb, ptr_hpa(root->pte));
	list_add(s);
}

enum err space_init(struct space *s, const struct region *regions, u32 n)
{
	struct table *root;

	if (n == 0 || n > SPACE_REGIONS_MAX)
		return ERR_RANGE;
	for (u32 k = 0; k < n; k++) {
		if (!IS_ALIGNED(regions[k].base.v | regions[k].len, BLOCK_SIZE) ||
		    !range_holds(0, GPA_LIMIT, regions[k].base.v, regions[k].len))
			return ERR_RANGE;
		s->region[k] = regions[k];
	}
	s->n_regions = n;
	s->family = atomic_fetch_add_explicit(&last_family, 1, memory_order_relaxed) + 1;
	s->merge = (struct merge_policy){ .dedup = DEDUP_OFF };
	root = table_alloc(2, FRAME_FOR_PANDO);
	if (!root && space_relieve())
		root = table_alloc(2, FRAME_FOR_PANDO);
	if (!root)
		return ERR_NOMEM;
	start_over(s, root);
	return ERR_OK;
}

/* `child` takes over one count on `root`, which is disarmed and belongs to `s` too. */
static void stand_on(struct space *child, const struct space *s, struct table *root)
{
	COPY_WORDS(child->region, s->region);
	child->n_regions = s->n_regions;
	child->family = s->family;
	child->merge = s->merge;
	start_over(child, root);
}

void space_clone(struct space *child, struct space *template)
{
	assert(template->frozen);
	table_get(template->root);
	stand_on(child, template, template->root);
	child->is_marked = true;
}

/* Space lock held: whoever else changes the tables of `s` (dissolve_space) finds it shared. */
static void share_locked(struct space *s)
{
	table_disarm(s->root);
	s->recent = NULL;
	s->is_marked = false;
	tlb_fence_all(&s->tlb, HPA(0)); /* pairs with the W bits cleared by table_disarm() */
}

void space_freeze(struct space *s)
{
	lock_acquire(&s->lock);
	share_locked(s);
	promise_end_locked(s); /* a template is never written */
	s->frozen = true;
	lock_release(&s->lock);
}

void space_fork(struct space *child, struct space *parent)
{
	struct table *root;

	lock_acquire(&parent->lock);
	share_locked(parent);
	root = parent->root;
	table_get(root);
	lock_release(&parent->lock);
	stand_on(child, parent, root);
	lock_acquire(&parent->lock);
	promise_share(child, parent);
	lock_release(&parent->lock);
}

/* Returns the root that it had. */
static struct table *change_root(struct space *s, struct table *root)
{
	struct table *old = s->root;

	table_get(root);
	s->root = root;
	s->recent = NULL;
	s->n_tables = 0;
	s->is_marked = true;
	tlb_fence_all(&s->tlb, ptr_hpa(root->pte));
	return old;
}

void space_reset(struct space *s, struct space *template)
{
	struct table *old = NULL;

	assert(template->frozen && !s->frozen);
	lock_acquire(&s->lock);
	if (!space_rewind_locked(s, template))
		old = change_root(s, template->root);
	lock_release(&s->lock);
	if (!old)
		return;
	table_put(old);
	space_dissolve_soon();
}

void space_fini(struct space *s)
{
	lock_acquire(&list_lock);
	for (u32 c = 0; c < N_CURSORS; c++)
		if (cursors[c].next == s)
			cursors[c].next = LIST_NEXT(s, link);
	LIST_REMOVE(s, link);
	lock_release(&list_lock);
	promise_end(s);
	for (u32 c = 0; c < N_CURSORS; c++)
		while (atomic_load(&cursors[c].at) == s)
			hart_relax(); /* one visit, and nothing that we could hold is waited for in it */
	table_put(s->root);
	s->root = NULL;
	space_dissolve_soon();
}

void space_for_each(void (*fn)(struct space *s, void *arg), void *arg)
{
	struct space *s;

	lock_acquire(&list_lock);
	LIST_FOREACH (s, &spaces, link)
		fn(s, arg);
	lock_release(&list_lock);
}

struct space *space_cursor_get(enum space_cursor c)
{
	struct space *s;

	lock_acquire(&list_lock);
	if (!cursors[c].next)
		cursors[c].next = LIST_FIRST(&spaces);
	s = cursors[c].next;
	atomic_store(&cursors[c].at, s);
	lock_release(&list_lock);
	return s;
}

bool space_cursor_put(enum space_cursor c, bool next)
{
	struct space *s;

	lock_acquire(&list_lock);
	s = cursors[c].next;
	/* If that space is about to end, the cursor has gone on already. */
	if (next && s && s == atomic_load(&cursors[c].at))
		s = cursors[c].next = LIST_NEXT(s, link);
	atomic_store(&cursors[c].at, NULL);
	lock_release(&list_lock);
	return s != NULL;
}

void space_cursor_rewind(enum space_cursor c)
{
	lock_acquire(&list_lock);
	cursors[c].next = NULL;
	lock_release(&list_lock);
}

bool space_has(const struct space *s, gpa_t gpa, u64 len)
{
	for (u32 k = 0; k < s->n_regions; k++)
		if (range_holds(s->region[k].base.v, s->region[k].len, gpa.v, len))
			return true;
	return false;
}
