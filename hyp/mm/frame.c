// SPDX-License-Identifier: BSD-2-Clause
/*
 * The frame table and the free memory behind it.
 *
 * Frames are known by their index from the lowest RAM address (rounded down to
 * 2 MiB, so that an index is as aligned as its address).  Free memory is a buddy
 * system under one lock: the first record of a free run of 2^k frames has
 * head = k + 1 and is linked in list k; the others have head 0.
 *
 * In front of it each hart keeps two small stacks of single frames, plain and
 * zeroed, which only it touches.  An allocation takes the lock once per BATCH
 * frames.  Idle harts fill their zeroed stack, so that a first touch of a page
 * need not wait for 4 KiB of stores.
 *
 * The lists never hold less than what has been promised to some VM (mm/promise.h),
 * and guests leave a reserve beyond that: pages all of it, their tables half, so
 * that tables can still be had when pages have eaten everything else.  What lies in a
 * hart's stacks counts as taken: while memory is short it goes back to the lists, and
 * each frame is asked for there.
 */
#include "mm/frame.h"

#include <string.h>
#include "arch/hart.h"
#include "arch/lock.h"
#include "arch/page.h"
#include "arch/phys.h"
#include "lib/assert.h"
#include "mm/range.h"

#define MAX_ORDER         9U /* 2 MiB */
#define N_ORDERS          (MAX_ORDER + 1)
#define NONE              UINT32_MAX
#define CACHE_LEN         64U
#define RUN_WORTH_LOCKING 4U
#define BATCH_ORDER       5U
#define BATCH             (1U << BATCH_ORDER) /* half a stack */
#define MIN_FRAMES        (16UL << 20 >> PAGE_SHIFT)

struct frame_cache {
	u32 n_plain, n_zeroed; /* read by other harts for statistics only */
	u32 plain[CACHE_LEN];
	u32 zeroed[CACHE_LEN];
} __attribute__((aligned(64)));

static struct frame *records;
static struct frame_map map;
static hpa_t base;
static u32 n_records;
static u64 n_usable;
static u64 reserve;        /* frames that FRAME_FOR_GUEST must leave */
static _Atomic u64 n_kept; /* reserve + what is promised: grows under `lock`, shrinks without it */

static struct spinlock lock = LOCK_INIT(LOCK_FRAMES);
static u32 head_of[N_ORDERS]; /* lock: first free run of each order */
static u64 n_buddy;           /* lock: frames in the lists; read without it by is_short() */

static struct frame_cache cache[HART_MAX];
static struct frame_want refused[HART_MAX]; /* each hart's own */
static _Atomic u64 n_pooled;                /* frames that root.c keeps ready, zeroed */
static _Atomic u64 fail_countdown;          /* 1: the next allocation fails; 0: none does */
static bool fail_goes_on;

struct frame *frame_of(hpa_t hpa)
{
	u64 i = (hpa.v - base.v) >> PAGE_SHIFT;

	assert(i < n_records);
	return &records[i];
}

struct frame_map frame_map(void)
{
	return map;
}

static u32 index_of(const struct frame *f)
{
	return (u32)(f - records);
}

hpa_t frame_hpa(const struct frame *f)
{
	return HPA(((u64)f - map.origin) / sizeof(*f) << PAGE_SHIFT);
}

/* ---- buddy lists, all under `lock` ---- */

static void list_push(u32 i, u32 order)
{
	struct frame *f = &records[i];

	f->head = (u8)(order + 1);
	f->link.list.prev = NONE;
	f->link.list.next = head_of[order];
	if (head_of[order] != NONE)
		records[head_of[order]].link.list.prev = i;
	head_of[order] = i;
}

static void list_remove(u32 i, u32 order)
{
	struct frame *f = &records[i];

	if (f->link.list.prev != NONE)
		records[f->link.list.prev].link.list.next = f->link.list.next;
	else
		head_of[order] = f->link.list.next;
	if (f->link.list.next != NONE)
		records[f->link.list.next].link.list.prev = f->link.list.prev;
	f->head = 0;
}

static void buddy_free(u32 i, u32 order)
{
	n_buddy += 1UL << order;
	while (order < MAX_ORDER) {
		u32 buddy = i ^ (1U << order);

		if (buddy >= n_records || records[buddy].class != FRAME_FREE ||
		    records[buddy].head != order + 1)
			break;
		list_remove(buddy, order);
		i &= ~(1U << order);
		order++;
	}
	list_push(i, order);
}

static u32 buddy_alloc(u32 order)
{
	u32 have = order, i;

	while (have < N_ORDERS && head_of[have] == NONE)
		have++;
	if (have == N_ORDERS)
		return NONE;
	i = head_of[have];
	list_remove(i, have);
	while (have > order) {
		have--;
		list_push(i + (1U << have), have);
	}
	n_buddy -= 1UL << order;
	return i;
}

/* How many frames must be left in the lists after `use` has had its own. */
static u64 must_leave(enum frame_use use)
{
	u64 kept = atomic_load_explicit(&n_kept, memory_order_relaxed);

	switch (use) {
	case FRAME_FOR_GUEST: return kept;
	case FRAME_FOR_TABLE: return kept - reserve / 2;
	case FRAME_FOR_PANDO: return kept - reserve;
	case FRAME_PROMISED: break;
	}
	return 0;
}

static bool may_take(u64 n, enum frame_use use)
{
	return n_buddy >= n + must_leave(use);
}

/* Have guests nothing left?  May be stale, which costs one visit to the lists, or spares it. */
static bool is_short(void)
{
	return __atomic_load_n(&n_buddy, __ATOMIC_RELAXED) <=
	       atomic_load_explicit(&n_kept, memory_order_relaxed);
}

bool frame_is_short(void)
{
	return is_short();
}

/* ---- boot ---- */

/* The frame table itself goes to the end of the first run that has room for it. */
static bool place_records(u64 begin, u64 end)
{
	u64 len = ALIGN_UP((u64)n_records * sizeof(*records), PAGE_SIZE);

	if (records || end - begin < len)
		return !records;
	records = hpa_ptr(HPA(end - len));
	return false;
}

/* Frames [i, stop), in pieces as large as their place allows. */
static void free_range(u32 i, u32 stop)
{
	while (i < stop) {
		u32 order = 0;

		while (order < MAX_ORDER && i + (2U << order) <= stop &&
		       IS_ALIGNED(i, 2UL << order))
			order++;
		for (u32 k = 0; k < 1U << order; k++)
			records[i + k].class = FRAME_FREE;
		buddy_free(i, order);
		i += 1U << order;
	}
}

static bool release_run(u64 begin, u64 end)
{
	u32 i = (u32)((begin - base.v) >> PAGE_SHIFT), stop = (u32)((end - base.v) >> PAGE_SHIFT);

	n_usable += stop - i;
	free_range(i, stop);
	return true;
}

enum err frame_init(const struct mem_range *ram, u32 n_ram, const struct mem_range *reserved,
                    u32 n_reserved)
{
	struct mem_range taken[2 * FRAME_RANGES_MAX + 1];
	u64 low = UINT64_MAX, high = 0, len;

	for (u32 k = 0; k < n_ram; k++) {
		low = u64_min(low, ram[k].base.v);
		high = u64_max(high, range_end(&ram[k]));
	}
	base = HPA(ALIGN_DOWN(low, BLOCK_SIZE));
	if (low >= high || (high - base.v) >> PAGE_SHIFT >= NONE || n_ram > FRAME_RANGES_MAX ||
	    n_reserved > FRAME_RANGES_MAX)
		return ERR_NOMEM;
	n_records = (u32)((high - base.v) >> PAGE_SHIFT);
	records = NULL;
	for (u32 k = 0; k < n_ram && !records; k++)
		range_for_each_run(&ram[k], reserved, n_reserved, place_records);
	if (!records)
		return ERR_NOMEM;
	map.origin = (u64)records - (base.v >> PAGE_SHIFT) * sizeof(*records);
	len = ALIGN_UP((u64)n_records * sizeof(*records), PAGE_SIZE);
	for (u64 at = 0; at < len; at += PAGE_SIZE)
		page_zero((u8 *)records + at); /* class FRAME_OWN, head 0 */
	for (u32 k = 0; k < n_reserved; k++)
		taken[k] = reserved[k];
	taken[n_reserved++] = (struct mem_range){ ptr_hpa(records), len };
	for (u32 order = 0; order < N_ORDERS; order++)
		head_of[order] = NONE;
	memset(cache, 0, sizeof(cache));
	n_buddy = n_usable = 0;
	atomic_store(&n_pooled, 0);
	for (u32 k = 0; k < n_ram; k++) {
		range_for_each_run(&ram[k], taken, n_reserved, release_run);
		taken[n_reserved++] = ram[k]; /* memory that is named twice is there once */
	}
	reserve = u64_min(n_usable / 64, 4096);
	atomic_store(&n_kept, reserve);
	return n_usable < MIN_FRAMES ? ERR_NOMEM : ERR_OK;
}

/* ---- allocation ---- */

static inline bool fails_by_order_of_a_test(void)
{
	if (__builtin_expect(atomic_load_explicit(&fail_countdown, memory_order_relaxed) == 0, 1))
		return false;
	if (fail_goes_on && atomic_load(&fail_countdown) == 1)
		return true;
	return atomic_fetch_sub(&fail_countdown, 1) == 1;
}

/* NULL, and what would have helped is kept for frame_wanted(). */
static COLD struct frame *refuse(enum frame_use use, u32 order)
{
	refused[hart_index()] = (struct frame_want){ use, order };
	return NULL;
}

/* Single frames to the hart's stack, as guests may: a batch in one piece, else as far as it goes. */
static COLD bool cache_refill(struct frame_cache *c)
{
	u32 run = NONE;

	lock_acquire(&lock);
	if (may_take(BATCH, FRAME_FOR_GUEST))
		run = buddy_alloc(BATCH_ORDER);
	for (u32 k = 0; run != NONE && k < BATCH; k++)
		c->plain[c->n_plain++] =
			run + BATCH - 1 - k; /* rising addresses as they are popped */
	while (c->n_plain < BATCH && may_take(1, FRAME_FOR_GUEST)) {
		u32 i = buddy_alloc(0);

		if (i == NONE)
			break;
		c->plain[c->n_plain++] = i;
	}
	lock_release(&lock);
	return c->n_plain > 0;
}

static struct frame *alloc_run(u32 order, enum frame_use use)
{
	u32 i = NONE;

	lock_acquire(&lock);
	if (may_take(1UL << order, use))
		i = buddy_alloc(order);
	lock_release(&lock);
	return i == NONE ? refuse(use, order) : &records[i];
}

static COLD struct frame *alloc_when_short(enum frame_use use)
{
	frame_flush_cache();
	return alloc_run(0, use);
}

static struct frame *alloc_from(struct frame_cache *c, enum frame_use use)
{
	if (is_short())
		return alloc_when_short(use);
	if (c->n_plain > 0 || cache_refill(c))
		return &records[c->plain[--c->n_plain]];
	return alloc_when_short(use);
}

/* Is there more to be asked than this hart's stacks? */
static inline bool must_look(void)
{
	return atomic_load_explicit(&fail_countdown, memory_order_relaxed) != 0 || is_short();
}

static COLD struct frame *alloc_carefully(struct frame_cache *c, enum frame_use use)
{
	return fails_by_order_of_a_test() ? refuse(use, 0) : alloc_from(c, use);
}

struct frame *frame_alloc(enum frame_use use)
{
	struct frame_cache *c = &cache[hart_index()];

	if (__builtin_expect(c->n_plain == 0 || must_look(), 0))
		return alloc_carefully(c, use);
	return &records[c->plain[--c->n_plain]];
}

struct frame *frame_take_zeroed(void)
{
	struct frame_cache *c = &cache[hart_index()];

	if (c->n_zeroed == 0 || must_look())
		return NULL;
	return &records[c->zeroed[--c->n_zeroed]];
}

struct frame *frame_alloc_zeroed(enum frame_use use)
{
	struct frame *f = frame_take_zeroed();

	if (f)
		return f;
	f = frame_alloc(use);
	if (f)
		page_zero(hpa_ptr(frame_hpa(f)));
	return f;
}

bool frame_zero_ahead(void)
{
	struct frame_cache *c = &cache[hart_index()];

	if (is_short()) {
		frame_flush_cache(); /* others need it more */
		return false;
	}
	if (c->n_zeroed >= CACHE_LEN || (c->n_plain == 0 && !cache_refill(c)))
		return false;
	u32 i = c->plain[--c->n_plain];

	page_zero(hpa_ptr(frame_hpa(&records[i])));
	records[i].link.merge = (struct merge_note){ 0 };
	c->zeroed[c->n_zeroed++] = i;
	return c->n_zeroed < CACHE_LEN;
}

/* Takes the top of the stack, and with it what lies next to that in memory, as far as `keep` allows. */
static void spill_run(struct frame_cache *c, u32 keep)
{
	u32 first = c->plain[--c->n_plain], stop = first + 1;

	while (c->n_plain > keep) {
		u32 i = c->plain[c->n_plain - 1];

		if (i != stop && i + 1 != first)
			break;
		first = (u32)u64_min(first, i);
		stop = (u32)u64_max(stop, i + 1);
		c->n_plain--;
	}
	free_range(first, stop);
}

/* A full stack keeps half of itself, and nothing while others wait for frames. */
static COLD void cache_spill(struct frame_cache *c)
{
	u32 keep;

	lock_acquire(&lock);
	while (c->n_plain > (keep = is_short() ? 0 : BATCH))
		spill_run(c, keep);
	lock_release(&lock);
}

void frame_free(struct frame *f)
{
	struct frame_cache *c = &cache[hart_index()];

	f->class = FRAME_FREE;
	f->head = 0;
	c->plain[c->n_plain++] = index_of(f);
	if (__builtin_expect(c->n_plain == CACHE_LEN || is_short(), 0))
		cache_spill(c);
}

struct frame *frame_alloc_order(u32 order, enum frame_use use)
{
	assert(order <= MAX_ORDER);
	if (fails_by_order_of_a_test())
		return refuse(use, order);
	return alloc_run(order, use);
}

void frame_free_order(struct frame *f, u32 order)
{
	for (u32 k = 0; k < 1U << order; k++) {
		f[k].class = FRAME_FREE;
		f[k].head = 0;
	}
	lock_acquire(&lock);
	buddy_free(index_of(f), order);
	lock_release(&lock);
}

static COLD void free_long_run(u32 i, u32 stop)
{
	lock_acquire(&lock);
	free_range(i, stop);
	lock_release(&lock);
}

void frame_free_run(struct frame_run *run)
{
	struct frame *f = run->first;

	/* A few are better kept in the hart's stock. */
	if (run->n < RUN_WORTH_LOCKING)
		for (; run->n > 0; run->n--)
			frame_free(f++);
	else
		free_long_run(index_of(f), index_of(f) + run->n);
	*run = (struct frame_run){ 0 };
}

void frame_put(struct frame *f)
{
	if (frame_drop(f))
		frame_free(f);
}

void frame_flush_cache(void)
{
	struct frame_cache *c = &cache[hart_index()];

	lock_acquire(&lock);
	while (c->n_plain > 0)
		buddy_free(c->plain[--c->n_plain], 0);
	while (c->n_zeroed > 0)
		buddy_free(c->zeroed[--c->n_zeroed], 0);
	lock_release(&lock);
}

/* ---- promises ---- */

bool frame_promise(u64 n)
{
	bool fits;

	if (fails_by_order_of_a_test())
		return false;
	lock_acquire(&lock);
	fits = n == 0 || may_take(n, FRAME_FOR_GUEST);
	if (fits)
		atomic_fetch_add(&n_kept, n);
	lock_release(&lock);
	return fits;
}

void frame_unpromise(u64 n)
{
	atomic_fetch_sub_explicit(&n_kept, n, memory_order_relaxed);
}

u64 frame_n_promised(void)
{
	return atomic_load(&n_kept) - reserve;
}

struct frame_want frame_wanted(void)
{
	return refused[hart_index()];
}

bool frame_can_have(struct frame_want want, u64 n_before)
{
	u32 order = want.order;
	bool can;

	lock_acquire(&lock);
	while (order < N_ORDERS && head_of[order] == NONE)
		order++;
	can = order < N_ORDERS && may_take(n_before + (1UL << want.order), want.use);
	lock_release(&lock);
	return can;
}

/* ---- figures ---- */

void frame_note_pooled(s64 delta)
{
	atomic_fetch_add(&n_pooled, (u64)delta);
}

u64 frame_n_pooled(void)
{
	return atomic_load(&n_pooled);
}

u64 frame_n_free(void)
{
	u64 n;

	lock_acquire(&lock);
	n = n_buddy + atomic_load(&n_pooled);
	for (u32 h = 0; h < HART_MAX; h++)
		n += cache[h].n_plain + cache[h].n_zeroed;
	lock_release(&lock);
	return n;
}

u64 frame_n_for_guests(void)
{
	u64 n = frame_n_listed() + frame_n_pooled(), kept = atomic_load(&n_kept);

	return n > kept ? n - kept : 0;
}

u64 frame_n_listed(void)
{
	return __atomic_load_n(&n_buddy, __ATOMIC_RELAXED);
}

u64 frame_n_cached(u32 hart)
{
	const struct frame_cache *c = &cache[hart];

	return __atomic_load_n(&c->n_plain, __ATOMIC_RELAXED) +
	       __atomic_load_n(&c->n_zeroed, __ATOMIC_RELAXED);
}

u64 frame_n_total(void)
{
	return n_usable;
}

void frame_for_each(void (*fn)(struct frame *f, void *arg), void *arg)
{
	for (u32 i = 0; i < n_records; i++)
		fn(&records[i], arg);
}

static void count_class(struct frame *f, void *arg)
{
	((u64 *)arg)[f->class]++;
}

void frame_count_classes(u64 n[FRAME_N_CLASSES])
{
	memset(n, 0, FRAME_N_CLASSES * sizeof(n[0]));
	frame_for_each(count_class, n);
}

void frame_fail_after(u64 n)
{
	fail_goes_on = false;
	atomic_store(&fail_countdown, n);
}

void frame_fail_from(u64 n)
{
	fail_goes_on = true;
	atomic_store(&fail_countdown, n);
}
