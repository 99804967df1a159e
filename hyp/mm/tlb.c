// SPDX-License-Identifier: BSD-2-Clause
/* Windows, fence generations, VMIDs and epochs: see tlb.h. */
#include "mm/tlb.h"

#include "arch/csr_bits.h"
#include "arch/fence.h"
#include "arch/guest.h"
#include "arch/lock.h"
#include "arch/phys.h"
#include "lib/assert.h"
#include "mm/pte.h"

#define VMID_BITS  16
#define EPOCH_IDLE UINT64_MAX

struct window {
	_Atomic(struct tlb *) open; /* whose translations the hart may use; NULL: none */
	_Atomic u64 n_closed;       /* windows closed so far: tells one from the next */
	_Atomic u64 epoch; /* global epoch at its last tlb_open; EPOCH_IDLE: nothing is loaded */
	u64 hgatp;         /* what the hart has loaded */
	u64 tag;           /* vmid_tag of the space that is loaded; 0: none */
	u64 vmid_gen;      /* VMID generation this hart has flushed for */
} __attribute__((aligned(64)));

/* The root of a hart that has let go.  hgatp = Bare would translate a GPA to itself, and leave entries
 * that say so ([priv spec, hgatp]: a change of MODE needs a fence). */
static u64 nowhere[ROOT_ENTRIES] __attribute__((aligned(ROOT_ENTRIES * 8)));

static struct window window[HART_MAX];
static _Atomic u64 epoch;

static struct spinlock vmid_lock = LOCK_INIT(LOCK_VMID); /* the generation changes under it */
static _Atomic u64 vmid_gen;
static _Atomic u64 vmid_last; /* the newest tag, or one beyond the last VMID */

void tlb_init_all(void)
{
	atomic_store(&epoch, 1);
	atomic_store(&vmid_gen, 1);
	atomic_store(&vmid_last, 1UL << VMID_BITS);
	for (u32 h = 0; h < HART_MAX; h++) {
		atomic_store(&window[h].open, NULL);
		atomic_store(&window[h].epoch, EPOCH_IDLE);
		window[h].hgatp = 0;
		window[h].tag = 0;
		window[h].vmid_gen = 0;
	}
}

void tlb_init(struct tlb *t, hpa_t root)
{
	atomic_init(&t->root, root.v);
	atomic_init(&t->vmid_tag, 0);
	atomic_init(&t->fence_gen, 1); /* seen_gen 0: every hart flushes first */
	ZERO_WORDS(t->seen_gen);
	ZERO_WORDS(t->seen_tag);
	ZERO_WORDS(t->last_vcpu);
}

/* ---- VMIDs ---- */

static u64 vmid_in(u64 tag)
{
	return tag & (BIT(VMID_BITS) - 1);
}

/* One addition takes a VMID.  It may come out one too high, and then does for all others, until somebody has begun
 * the next generation. */
static u64 vmid_take(void)
{
	return atomic_fetch_add(&vmid_last, 1) + 1;
}

static bool is_beyond(u64 tag)
{
	return vmid_in(tag) >> machine.vmid_bits != 0;
}

static COLD u64 vmid_roll_over(void)
{
	u64 tag, gen;

	lock_acquire(&vmid_lock);
	tag = vmid_take(); /* another hart may have been first */
	if (is_beyond(tag)) {
		gen = (tag >> VMID_BITS) + 1;
		tag = gen << VMID_BITS | (machine.vmid_bits ? 1 : 0);
		atomic_store(&vmid_gen, gen);
		atomic_store(&vmid_last, tag);
	}
	lock_release(&vmid_lock);
	return tag;
}

static COLD u64 vmid_assign(struct tlb *t)
{
	u64 was = atomic_load(&t->vmid_tag), tag;

	do {
		if (was >> VMID_BITS == atomic_load(&vmid_gen))
			return was;
		tag = vmid_take();
		if (is_beyond(tag))
			tag = vmid_roll_over();
		/* A sibling on another hart may have got one: the same for both, unless it is one of an
		 * earlier generation, which somebody else may have by now. */
	} while (!atomic_compare_exchange_strong(&t->vmid_tag, &was, tag));
	return tag;
}

static u64 vmid_of(const struct tlb *t)
{
	return vmid_in(atomic_load_explicit(&t->vmid_tag, memory_order_relaxed));
}

/* ---- windows ---- */

/* What was retired before now is not in this hart's reach. */
static inline void pass_epoch(struct window *w)
{
	atomic_store_explicit(&w->epoch, atomic_load_explicit(&epoch, memory_order_acquire),
	                      memory_order_release);
}

/* Drops what this hart still remembers by the VMID, and may not. */
static void flush_owed(struct window *w, struct tlb *t, u64 tag, u64 gen)
{
	u32 h = hart_index();

	if (w->vmid_gen != tag >> VMID_BITS) {
		hfence_gvma_all(); /* pairs with vmid_roll_over() */
		w->vmid_gen = tag >> VMID_BITS;
	}
	if (t->seen_gen[h] != gen) {
		hfence_gvma_vmid(vmid_in(tag)); /* pairs with the stores before fence_others() */
		fence_i();                      /* new frames may have been code of others */
		t->seen_gen[h] = gen;
	}
}

/*
 * Loads what this hart has not loaded, flushes what it has not flushed.  The window is open.
 *
 * Hardware may walk as soon as hgatp names the VMID, and what the hart remembers by it may lead into
 * tables that were freed while another VMID was loaded: flush first.  Where the VMID is loaded these tables
 * still stand, since the hart's epoch is old, and its walks go on until hgatp has changed: flush last.
 */
static COLD void catch_up(struct window *w, struct tlb *t, u64 tag, u64 gen)
{
	u64 hgatp = HGATP_MODE_SV39X4 | vmid_in(tag) << HGATP_VMID_SHIFT |
	            atomic_load(&t->root) >> PAGE_SHIFT;
	bool is_loaded = vmid_in(w->hgatp >> HGATP_VMID_SHIFT) == vmid_in(tag);
	bool has_rolled_over = w->vmid_gen != tag >> VMID_BITS;
	u32 h = hart_index();

	if (!is_loaded)
		flush_owed(w, t, tag, gen);
	if (w->hgatp != hgatp) {
		guest_set_hgatp(hgatp);
		w->hgatp = hgatp;
	}
	if (is_loaded)
		flush_owed(w, t, tag, gen);
	else if (has_rolled_over)
		hfence_gvma_all(); /* of what was loaded until now, too: its VMID is anybody's */
	if (w->tag != tag)
		fence_i(); /* what ran here meanwhile may have been in frames that are ours since */
	w->tag = tag;
	if (t->seen_tag[h] != tag) {
		hfence_vvma_all(); /* the VMID was another's before the roll-over */
		t->seen_tag[h] = tag;
	}
	pass_epoch(w);
}

static inline void open_as(struct tlb *t, u64 tag)
{
	u32 h = hart_index();
	struct window *w = &window[h];
	u64 gen;

	/* Pairs with fence_others(): we store the window, then load the generation; the changer
	 * stores the generation, then loads the window. */
	atomic_store_explicit(&w->open, t, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	gen = atomic_load_explicit(&t->fence_gen, memory_order_acquire);
	if (__builtin_expect(w->tag != tag || t->seen_gen[h] != gen, 0))
		catch_up(w, t, tag, gen);
	else
		pass_epoch(w);
}

static COLD void open_with_new_vmid(struct tlb *t)
{
	open_as(t, vmid_assign(t));
}

void tlb_open(struct tlb *t)
{
	u64 tag = atomic_load_explicit(&t->vmid_tag, memory_order_relaxed);

	if (tag >> VMID_BITS != atomic_load_explicit(&vmid_gen, memory_order_relaxed))
		open_with_new_vmid(t);
	else
		open_as(t, tag);
}

void tlb_load(struct tlb *t, u32 vcpu_id, bool moved)
{
	u32 h = hart_index();

	tlb_open(t);
	if (t->last_vcpu[h] != vcpu_id + 1 || moved) {
		hfence_vvma_all(); /* vCPUs of one VM share VMID and ASIDs */
		t->last_vcpu[h] = (u8)(vcpu_id + 1);
	}
	tlb_close();
}

void tlb_close(void)
{
	struct window *w = &window[hart_index()];

	atomic_thread_fence(
		memory_order_release); /* whoever sees one of these sees our accesses done */
	atomic_store_explicit(&w->open, NULL, memory_order_relaxed);
	atomic_store_explicit(&w->n_closed,
	                      atomic_load_explicit(&w->n_closed, memory_order_relaxed) + 1,
	                      memory_order_relaxed);
}

void tlb_unload(void)
{
	struct window *w = &window[hart_index()];

	if (w->tag == 0)
		return;
	w->hgatp = HGATP_MODE_SV39X4 | (ptr_hpa(nowhere).v >> PAGE_SHIFT & HGATP_PPN);
	guest_set_hgatp(w->hgatp);
	w->tag = 0;
	if (machine.vmid_bits == 0) {
		hfence_gvma_all(); /* the next space has the same VMID, and our tables may go */
		w->vmid_gen = 0;   /* that there was nothing here must go, too, before it runs */
	}
	atomic_store_explicit(&w->epoch, EPOCH_IDLE, memory_order_release);
}

/* ---- fences ---- */

/* Waits until no other hart is inside a window on `t` that it opened before now. */
static void fence_others(struct tlb *t)
{
	u32 self = hart_index();

	for (u32 h = 0; h < hart_count(); h++) {
		struct window *w = &window[h];
		u64 n_closed;

		if (h == self)
			continue;
		n_closed = atomic_load(&w->n_closed);
		if (atomic_load(&w->open) != t)
			continue;
		hart_kick(h);
		while (atomic_load(&w->open) == t && atomic_load(&w->n_closed) == n_closed)
			hart_relax();
	}
}

void tlb_fence_local(struct tlb *t, gpa_t gpa)
{
	hfence_gvma_gpa(gpa, vmid_of(t)); /* pairs with the caller's store to the leaf */
}

void tlb_fence_leaf(struct tlb *t)
{
	u32 h = hart_index();
	u64 before = atomic_fetch_add(&t->fence_gen, 1);

	if (t->seen_gen[h] == before)
		t->seen_gen[h] = before + 1; /* the caller's tlb_fence_local() honours it */
	fence_others(t);
}

void tlb_fence_all(struct tlb *t, hpa_t new_root)
{
	if (new_root.v)
		atomic_store(&t->root, new_root.v);
	atomic_fetch_add(&t->fence_gen, 1); /* this hart flushes at its own next tlb_open() */
	fence_others(t);
}

/* ---- epochs ---- */

u64 tlb_retire(void)
{
	return atomic_fetch_add(&epoch, 1);
}

/* Hart `h` has not passed.  May it be taken to have, since it is this one? */
static COLD bool is_past_now(u32 h)
{
	if (h == hart_index()) {
		tlb_unload(); /* nobody's guest runs here now */
		return true;
	}
	if (atomic_load(&window[h].open))
		hart_kick(h);
	return false;
}

bool tlb_is_past(u64 stamp)
{
	bool past = true;

	for (u32 h = 0; h < hart_count(); h++)
		if (atomic_load_explicit(&window[h].epoch, memory_order_acquire) <= stamp)
			past &= is_past_now(h);
	return past;
}
