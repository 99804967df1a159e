// SPDX-License-Identifier: BSD-2-Clause
#include "fake.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arch/csr.h"
#include "arch/fence.h"
#include "arch/guest.h"
#include "arch/log.h"
#include "arch/phys.h"
#include "arch/time.h"
#include "lib/assert.h"
#include "mm/pte.h"
#include "mm/frame.h"
#include "mm/space.h"

u32 fake_hart, fake_n_harts = 1, fake_events;
u32 fake_n_logged;
u64 fake_time, fake_time_step, fake_timer[HART_MAX];
u8 *fake_ram;
struct machine machine;
void (*fake_on_kick)(u32 hart);
void (*fake_on_release)(const struct spinlock *l);
void (*fake_on_wait)(void);
void (*fake_on_step)(void);
void (*fake_on_blocked)(void);
void (*fake_on_walk)(hpa_t table);
u32 fake_rank_without_effect;
void (*fake_on_compare)(void);
void (*fake_on_clock)(void);
bool fake_traps_on_d;
u32 fake_n_kicks[HART_MAX], fake_n_fences[HART_MAX][FAKE_N_FENCES];
u64 fake_fence_addr, fake_fence_id, fake_fence_hgatp;

static bool in_guest[HART_MAX];
static u64 ram_len, n_relaxed; /* in a row, with nothing that others could notice between */

static void step(void)
{
	n_relaxed = 0;
	if (fake_on_step)
		fake_on_step();
}

_Noreturn void panic(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "panic: ");
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	va_end(args);
	abort();
}

void log_at(enum log_level level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
	fake_n_logged++;
}

void log_set_sink(log_sink_fn sink)
{
	(void)sink;
}

void log_for_each(void (*line)(enum log_level, u64, const char *, void *), void *arg)
{
	(void)line;
	(void)arg;
}

/* ---- harts, time ---- */

u32 hart_index(void)
{
	return fake_hart;
}

u32 hart_count(void)
{
	return fake_n_harts;
}

u64 hart_id(u32 index)
{
	return index;
}

void hart_relax(void)
{
	if (fake_on_blocked)
		fake_on_blocked();
	else if (++n_relaxed > 1000000)
		panic("nobody ends this wait");
}

void hart_wait(void)
{
	if (fake_on_wait)
		fake_on_wait();
}

u32 hart_events(void)
{
	u32 e = fake_events;

	fake_events = 0;
	return e;
}

void hart_kick(u32 index)
{
	step();
	fake_n_kicks[index]++;
	if (fake_on_kick)
		fake_on_kick(index);
	else if (in_guest[index])
		fake_leave(index);
}

u64 time_now(void)
{
	fake_time += fake_time_step;
	if (fake_on_clock)
		fake_on_clock();
	return fake_time;
}

u64 time_instret(void)
{
	return fake_time;
}

void timer_set(u64 deadline)
{
	fake_timer[fake_hart] = deadline;
}

u64 time_ticks_to_ns(u64 ticks)
{
	return ticks * 100;
}

u64 time_ns_to_ticks(u64 ns)
{
	return ns / 100;
}

/* ---- locks: order and pairing are checked; who finds one taken lets the others run ---- */

#define HELD_MAX 8
static const struct spinlock *held[HART_MAX][HELD_MAX];
static u32 n_held[HART_MAX];

static void hold(struct spinlock *l, bool twin)
{
	u32 n = n_held[fake_hart];

	assert(n < HELD_MAX && l->rank_bit != 0);
	step();
	while (atomic_load(&l->next) != atomic_load(&l->owner) &&
	       lock_rank(l) != fake_rank_without_effect) {
		assert(fake_on_blocked && !lock_is_held(l));
		fake_on_blocked();
	}
	if (n > 0)
		assert(held[fake_hart][n - 1]->rank_bit < l->rank_bit ||
		       (twin && held[fake_hart][n - 1]->rank_bit == l->rank_bit));
	atomic_fetch_add(&l->next, 1);
	held[fake_hart][n_held[fake_hart]++] = l;
}

void lock_acquire(struct spinlock *l)
{
	hold(l, false);
}

bool lock_try(struct spinlock *l)
{
	if (atomic_load(&l->next) != atomic_load(&l->owner))
		return false;
	hold(l, false);
	return true;
}

void lock_release(struct spinlock *l)
{
	u32 n = n_held[fake_hart], k = 0;

	step();
	while (k < n && held[fake_hart][k] != l)
		k++;
	assert(k < n);
	memmove(&held[fake_hart][k], &held[fake_hart][k + 1], (n - k - 1) * sizeof(held[0][0]));
	n_held[fake_hart]--;
	atomic_fetch_add(&l->owner, 1);
	if (fake_on_release)
		fake_on_release(l);
}

void lock_pair(struct spinlock *a, struct spinlock *b)
{
	hold(a < b ? a : b, false);
	if (a != b)
		hold(a < b ? b : a, true);
}

void unlock_pair(struct spinlock *a, struct spinlock *b)
{
	lock_release(a);
	if (a != b)
		lock_release(b);
}

bool lock_is_held(const struct spinlock *l)
{
	for (u32 k = 0; k < n_held[fake_hart]; k++)
		if (held[fake_hart][k] == l)
			return true;
	return false;
}

u64 fake_locks_held(void)
{
	u64 bits = 0;

	for (u32 k = 0; k < n_held[fake_hart]; k++)
		bits |= BIT((u64)held[fake_hart][k] * 0x9e3779b97f4a7c15UL >> 58);
	return bits;
}

u64 lock_contended(enum lock_rank rank)
{
	(void)rank;
	return 0;
}

const char *lock_rank_name(enum lock_rank rank)
{
	(void)rank;
	return "lock";
}

/* ---- CSRs ---- */

#define CSRS_MAX 64
static struct {
	const char *name;
	u64 value[HART_MAX];
} csr[CSRS_MAX];

u64 *fake_csr(const char *name)
{
	u32 k = 0;

	while (k < CSRS_MAX && csr[k].name && strcmp(csr[k].name, name) != 0)
		k++;
	assert(k < CSRS_MAX);
	csr[k].name = name;
	return &csr[k].value[fake_hart];
}

/* ---- the TLB: every walk is remembered, level by level ---- */

#define TLB_LEN     4096U
#define TLB_BUCKETS 1024U
struct tlb_entry {
	bool live;
	u8 level; /* what it maps: 0, 1 a leaf; with is_table: the table below that level */
	bool is_table;
	u32 next;      /* in its bucket: index + 1 */
	u64 vmid, gpa; /* gpa rounded down to the span of the level */
	u64 pte;       /* also one that was invalid: hardware without Svvptc may remember that */
	const u64 *where;
};
static struct tlb_entry tlb_of[HART_MAX][TLB_LEN];
static u32 n_tlb[HART_MAX], tlb_bucket[HART_MAX][TLB_BUCKETS];

/* A fence by address covers leaf entries, and absent ones where a leaf stands now. */
static bool is_pointer(const struct tlb_entry *e)
{
	return e->is_table || (!(e->pte & PTE_V) && pte_is_table(*e->where));
}

static void tlb_drop(u32 h, bool any_vmid, u64 vmid, bool any_gpa, u64 gpa)
{
	for (u32 k = 0; k < n_tlb[h]; k++) {
		struct tlb_entry *e = &tlb_of[h][k];
		u64 span = PAGE_SIZE << (9 * e->level);

		if (!any_vmid && e->vmid != vmid)
			continue;
		if (!any_gpa && (is_pointer(e) || e->gpa != ALIGN_DOWN(gpa, span)))
			continue;
		e->live = false;
	}
}

static u32 *bucket_of(u32 h, u64 vmid, u64 gpa, u32 level)
{
	u64 page = ALIGN_DOWN(gpa, PAGE_SIZE << (9 * level)) >> PAGE_SHIFT;

	return &tlb_bucket[h][(page ^ page >> 9 ^ vmid << 3 ^ level) % TLB_BUCKETS];
}

/* The entry for this part of a walk, dead or alive; NULL: there was never one. */
static struct tlb_entry *tlb_find(u32 h, u64 vmid, u64 gpa, u32 level)
{
	for (u32 k = *bucket_of(h, vmid, gpa, level); k; k = tlb_of[h][k - 1].next) {
		struct tlb_entry *e = &tlb_of[h][k - 1];

		if (e->vmid == vmid && e->level == level &&
		    e->gpa == ALIGN_DOWN(gpa, PAGE_SIZE << (9 * level)))
			return e;
	}
	return NULL;
}

static void tlb_empty(u32 h)
{
	n_tlb[h] = 0;
	memset(tlb_bucket[h], 0, sizeof(tlb_bucket[h]));
}

static struct tlb_entry *tlb_keep(u32 h, u64 vmid, u64 gpa, u32 level, const u64 *where)
{
	struct tlb_entry *e = tlb_find(h, vmid, gpa, level);
	u32 *bucket = bucket_of(h, vmid, gpa, level);

	if (!e) {
		if (n_tlb[h] == TLB_LEN)
			tlb_empty(h);
		e = &tlb_of[h][n_tlb[h]++];
		*e = (struct tlb_entry){ .level = (u8)level,
			                 .next = *bucket,
			                 .vmid = vmid,
			                 .gpa = ALIGN_DOWN(gpa, PAGE_SIZE << (9 * level)) };
		*bucket = n_tlb[h];
	}
	e->live = true;
	e->pte = *where;
	e->where = where;
	e->is_table = pte_is_table(e->pte);
	return e;
}

static void note(enum fake_fence kind, u64 addr, u64 id)
{
	step();
	fake_n_fences[fake_hart][kind]++;
	fake_fence_addr = addr;
	fake_fence_id = id;
	fake_fence_hgatp = csr_read(hgatp);
}

void hfence_gvma_all(void)
{
	note(FAKE_GVMA_ALL, 0, 0);
	tlb_drop(fake_hart, true, 0, true, 0);
}

void hfence_gvma_vmid(u64 vmid)
{
	note(FAKE_GVMA_VMID, 0, vmid);
	tlb_drop(fake_hart, false, vmid, true, 0);
}

void hfence_gvma_gpa(gpa_t gpa, u64 vmid)
{
	note(FAKE_GVMA_GPA, gpa.v, vmid);
	tlb_drop(fake_hart, false, vmid, false, gpa.v);
}

void hfence_vvma_all(void)
{
	note(FAKE_VVMA_ALL, 0, 0);
}

void hfence_vvma_asid(u64 asid)
{
	note(FAKE_VVMA_ASID, 0, asid);
}

void hfence_vvma_gva(gva_t gva)
{
	note(FAKE_VVMA_GVA, gva.v, 0);
}

void hfence_vvma_gva_asid(gva_t gva, u64 asid)
{
	note(FAKE_VVMA_GVA_ASID, gva.v, asid);
}

void fence_i(void)
{
	note(FAKE_FENCE_I, 0, 0);
}

/* ---- the guest ---- */

void guest_set_hgatp(u64 hgatp)
{
	step();
	csr_write(hgatp, hgatp);
}

void guest_drop_reservation(void) {}

void fake_enter(u32 h, struct space *s, u32 vcpu_id)
{
	u32 was = fake_hart;

	fake_hart = h;
	space_attach(s, vcpu_id, false);
	fake_hart = was;
	fake_enter_again(h, s);
}

void fake_enter_again(u32 h, struct space *s)
{
	u32 was = fake_hart;

	assert(!in_guest[h]);
	fake_hart = h;
	space_enter(s);
	fake_hart = was;
	in_guest[h] = true;
}

void fake_leave(u32 h)
{
	u32 was = fake_hart;

	assert(in_guest[h]);
	in_guest[h] = false;
	fake_hart = h;
	space_leave();
	fake_hart = was;
}

bool fake_is_in_guest(u32 h)
{
	return in_guest[h];
}

/* What hart `h` finds for gpa, in its TLB or else in memory: the last entry, and where it leads.  NULL: nothing. */
static struct tlb_entry *walk(u32 h, u64 gpa, u32 *level, u64 *hpa)
{
	u32 was = fake_hart;
	u64 hgatp, vmid;

	fake_hart = h;
	hgatp = csr_read(hgatp);
	fake_hart = was;
	vmid = hgatp >> HGATP_VMID_SHIFT & 0xffff;
	*hpa = (hgatp & HGATP_PPN) << PAGE_SHIFT;
	for (*level = 2;; (*level)--) {
		struct tlb_entry *e = tlb_find(h, vmid, gpa, *level);

		if (!e || !e->live) {
			u64 *pte = hpa_ptr(HPA(*hpa));

			if (fake_on_walk)
				fake_on_walk(HPA(*hpa));
			assert(frame_of(HPA(*hpa))->class == FRAME_TABLE);
			e = tlb_keep(h, vmid, gpa, *level, &pte[pte_index(GPA(gpa), *level)]);
		}
		if (!(e->pte & PTE_V))
			return NULL;
		*hpa = pte_hpa(e->pte).v;
		if (!pte_is_table(e->pte))
			return e;
	}
}

/* An access that wants `bits` of a leaf: the first one since A or D was cleared walks again to set it.  False: it
 * faults. */
static bool use(struct tlb_entry *e, u64 bits, u64 mark)
{
	if ((e->pte & bits) != bits || e->pte & mark)
		return (e->pte & bits) == bits;
	assert(frame_of(ptr_hpa(e->where))->class == FRAME_TABLE);
	e->pte = *e->where;
	if ((e->pte & bits) != bits || (!(e->pte & mark) && fake_traps_on_d))
		return false;
	__atomic_fetch_or((u64 *)e->where, mark, __ATOMIC_RELAXED);
	e->pte |= mark;
	return true;
}

static u8 *access_as(u32 h, u64 gpa, u64 bits, u64 mark)
{
	struct tlb_entry *e;
	u32 level;
	u64 hpa;

	assert(in_guest[h]);
	e = walk(h, gpa, &level, &hpa);
	if (!e || !use(e, bits, PTE_A) || !use(e, bits, mark))
		return NULL;
	hpa = pte_hpa(e->pte).v;
	return (u8 *)hpa_ptr(HPA(hpa)) + (gpa & ((PAGE_SIZE << (9 * level)) - 1));
}

u8 *fake_access(u32 h, u64 gpa, bool is_store)
{
	return is_store ? access_as(h, gpa, PTE_V | PTE_U | PTE_W, PTE_D)
	                : access_as(h, gpa, PTE_V | PTE_U | PTE_R, PTE_A);
}

u8 *fake_fetch(u32 h, u64 gpa)
{
	return access_as(h, gpa, PTE_V | PTE_U | PTE_X, PTE_A);
}

void fake_speculate(u32 h, u64 gpa)
{
	u32 was = fake_hart, level;
	u64 hpa;

	fake_hart = h;
	hpa = (csr_read(hgatp) & HGATP_PPN) << PAGE_SHIFT;
	fake_hart = was;
	if (hpa >= FAKE_RAM_BASE && hpa - FAKE_RAM_BASE < ram_len)
		walk(h, gpa, &level, &hpa);
}

u8 *fake_touch(u32 h, struct space *s, u64 gpa, bool is_store)
{
	u32 was = fake_hart;
	u8 *byte = NULL;

	for (u32 tries = 0; tries < 4 && !byte; tries++) {
		fake_enter(h, s, h);
		byte = fake_access(h, gpa, is_store);
		if (in_guest[h])
			fake_leave(h);
		if (byte)
			break;
		fake_hart = h;
		if (space_fault(s, GPA(gpa), is_store ? ACCESS_WRITE : ACCESS_READ) != ERR_OK)
			tries = 4;
		fake_hart = was;
	}
	return byte;
}

/* ---- set-up ---- */

void fake_machine(u32 mib, u32 n_harts)
{
	struct mem_range ram = { HPA(FAKE_RAM_BASE), (u64)mib << 20 };

	if (ram.len != ram_len) {
		free(fake_ram);
		fake_ram = aligned_alloc(BLOCK_SIZE, ram.len);
		assert(fake_ram);
		ram_len = ram.len;
	}
	memset(fake_ram, 0xa5, ram.len);
	memset(in_guest, 0, sizeof(in_guest));
	memset(csr, 0, sizeof(csr));
	for (u32 h = 0; h < HART_MAX; h++)
		tlb_empty(h);
	memset(n_held, 0, sizeof(n_held));
	memset(fake_n_fences, 0, sizeof(fake_n_fences));
	memset(fake_n_kicks, 0, sizeof(fake_n_kicks));
	memset(&machine, 0, sizeof(machine));
	machine.vmid_bits = 14;
	machine.has_sstc = true;
	machine.isolation_strong = true;
	machine.timebase_hz = 10000000;
	fake_hart = 0;
	fake_n_harts = n_harts;
	fake_on_kick = NULL;
	fake_on_release = NULL;
	fake_on_wait = fake_on_step = fake_on_blocked = fake_on_compare = NULL;
	fake_on_walk = NULL;
	fake_rank_without_effect = 0;
	fake_on_clock = NULL;
	fake_traps_on_d = false;
	assert(frame_init(&ram, 1, NULL, 0) == ERR_OK);
	space_init_all();
	scan_init(1);
}
