// SPDX-License-Identifier: BSD-2-Clause
/*
 * Fences and reuse with several harts in random interleavings (crew.h): the real memory core, compiled so that another
 * hart may go on at any access. Each hart runs vCPUs of some VM, takes their faults, copies for them, or controls: creates,
 * freezes, clones, forks, resets and kills VMs, merges equal pages, and does the idle work. Each word of guest memory has
 * one writer, and each stored value is new; so what a load must find is known. Pando makes pages equal while their VM stands still.
 *
 * Noticed are: a load that finds anything else; a store to a frame that the VM does not hold alone and writable; a fetch of
 * old code; a walk into what is no table any more; stores by several harts under no common lock (crew_witness.h); a wait that
 * nobody ends; frames or counts that do not add up in the end.
 *
 * PANDO_SEED=N replays one history, PANDO_INTERLEAVINGS=N runs as many; PANDO_NO_LOCK=N leaves out all locks of rank N
 * (a number of enum lock_rank, arch/lock.h), and then the test must fail: tests/mutate sees to that.
 */
#include "crew.h"
#include "crew_icache.h"
#include "crew_scan.h"
#include "crew_witness.h"
#include "mm_unit.h"
#include "arch/phys.h"

#define N_HARTS  4
#define N_SPACES 6
#define N_VCPUS  3
#define N_PAGES  10
#define N_PHASES 3
#define N_OPS    24 /* of each hart in a phase */
#define HIGH     0xc0000000UL

enum word { BY_VCPU0, BY_VCPU1, BY_VCPU2, BY_PANDO, CODE, N_WORDS };

/* A VM. Between two steps of the crew, nobody else looks: these need no lock. */
struct guest {
	struct space s;
	bool live, frozen;
	bool claimed;  /* some hart works on its life */
	u32 n_holders; /* of a template: it is being cloned, or reset to */
	bool stop;     /* its vCPUs are to leave their harts */
	int template;  /* what it may be reset to, -1 none */
	bool is_taken[N_VCPUS];
	u32 hart[N_VCPUS]; /* where the vCPU runs, or ran last */
	u64 want[N_PAGES][N_WORDS];
	u64 flux[N_PAGES]; /* what Pando is about to store to its word, 0 nothing */
};

static struct guest g[N_SPACES];
static bool kicked[N_HARTS];
static u64 serial;
static u32 n_checked, n_faults, n_lives;
static struct merge_stats merged; /* of all histories */
static u32 rank_left_out;         /* 0: none */

static bool chance(u32 one_in)
{
	return fake_random() % one_in == 0;
}

/* Three 2 MiB slots in two 1 GiB slots; the first slot has most of the pages. */
static u64 page_gpa(u32 page)
{
	static const u64 slot[] = { RAM, RAM + BLOCK_SIZE, HIGH };

	return slot[page < 6 ? 0 : page < 8 ? 1 : 2] + page * PAGE_SIZE;
}

/* Stands at `hart` while it is in the guest, and looks at no request. */
static void on_kick(u32 hart)
{
	kicked[hart] = true;
}

/* ---- the guest ---- */

/* Where the VM's page lies by its tables as they are at this instant. */
static void check_place(u32 k, u32 page, const u8 *at, bool is_store)
{
	u64 leaf = mm_leaf(&g[k].s, page_gpa(page)), span = BLOCK_SIZE;
	hpa_t hpa = ptr_hpa(at);
	struct frame *f = frame_of(hpa);

	if (f->class != FRAME_COUNTED && f->class != FRAME_BLOCK && f->class != FRAME_ZERO)
		crew_fail("vm %u page %u: reads a frame of class %u", k, page, f->class);
	if (!is_store)
		return;
	if (pte_hpa(leaf).v != ALIGN_DOWN(hpa.v, PAGE_SIZE) &&
	    pte_hpa(leaf).v != ALIGN_DOWN(hpa.v, span))
		crew_fail("vm %u page %u: writes a frame that it has no more", k, page);
	/* The scanner takes W away, and then fences. */
	if (!(leaf & PTE_W) && !crew_scan_is_on())
		crew_fail("vm %u page %u: writes a page that is not writable", k, page);
	if (f->class == FRAME_COUNTED && frame_refs(f) != 1 && !crew_scan_is_on())
		crew_fail("vm %u page %u: writes a shared frame", k, page);
}

static void check_word(u32 k, u32 page, u32 word, u64 found)
{
	u64 want = g[k].want[page][word];

	n_checked++;
	if (found != want && !(word == BY_PANDO && g[k].flux[page] && found == g[k].flux[page]))
		crew_fail("vm %u page %u word %u: finds %lu, not %lu", k, page, word,
		          (unsigned long)found, (unsigned long)want);
}

/* One access of vCPU `v` on this hart, which is in the guest. False: a guest page fault. */
static bool guest_access(u32 k, u32 v, u32 page, bool is_store)
{
	u8 *at = fake_access(fake_hart, page_gpa(page), is_store);
	u64 *words = (u64 *)(void *)at;

	if (!at)
		return false;
	if (chance(4))
		crew_step(); /* the translation is made; the access is still to come */
	check_place(k, page, at, is_store);
	if (is_store) {
		u32 word = v == 0 && chance(4) ? CODE : v;

		check_word(k, page, word, words[word]);
		words[word] = g[k].want[page][word] = ++serial;
		if (word == CODE)
			icache_drop(&words[CODE]);
	} else {
		for (u32 word = 0; word < N_WORDS; word++)
			check_word(k, page, word, words[word]);
		at = fake_fetch(fake_hart, page_gpa(page));
		if (!at)
			return false;
		words = (u64 *)(void *)at;
		check_word(k, page, CODE, icache_fetch(fake_hart, &words[CODE]));
	}
	return true;
}

/* The guest goes on, nearly without a use for memory: only a kick brings the hart back, and not at once. True: a fault. */
static bool compute(u32 k, u32 v, u32 *page)
{
	u32 n_left = (u32)(fake_random() % 4);
	bool faults = false;

	crew_rest(true);
	while (!faults && !crew_is_alone() && (!kicked[fake_hart] || n_left-- > 0)) {
		crew_step();
		if (!kicked[fake_hart] && !chance(16))
			continue;
		*page = (u32)(fake_random() % N_PAGES);
		faults = !guest_access(k, v, *page, false);
	}
	crew_rest(false);
	return faults;
}

/* In the guest until it faults, is kicked, or has done enough. True: the fault is at *page. */
static bool run_guest(u32 k, u32 v, u32 *page, bool *is_store)
{
	u32 n_left = (u32)(fake_random() % 12);

	while (!kicked[fake_hart] && n_left-- > 0) {
		*page = (u32)(fake_random() % N_PAGES);
		*is_store = chance(2);
		if (!guest_access(k, v, *page, *is_store))
			return true;
		crew_progress();
		crew_step();
	}
	*is_store = false;
	return chance(4) && compute(k, v, page);
}

/* What Pando does for a guest whose vCPU it has at hand. */
static void copy_in(u32 k, u32 page)
{
	u64 value = ++serial;

	if (g[k].flux[page])
		return;
	g[k].flux[page] = value;
	if (copy_to_guest(&g[k].s, GPA(page_gpa(page) + 8 * BY_PANDO), &value, 8) != ERR_OK)
		crew_fail("vm %u page %u: no copy", k, page);
	g[k].want[page][BY_PANDO] = value;
	g[k].flux[page] = 0;
}

/* Others may store meanwhile: what is found is at least as new as what was there at first. */
static void copy_out(u32 k, u32 page, u32 word)
{
	u64 before = g[k].want[page][word], found;

	if (copy_from_guest(&g[k].s, &found, GPA(page_gpa(page) + 8 * word), 8) != ERR_OK)
		crew_fail("vm %u page %u: no copy", k, page);
	if ((found < before || found > g[k].want[page][word]) &&
	    !(word == BY_PANDO && g[k].flux[page]))
		crew_fail("vm %u page %u word %u: Pando reads %lu, between %lu and %lu", k, page,
		          word, (unsigned long)found, (unsigned long)before,
		          (unsigned long)g[k].want[page][word]);
}

static void run_vcpu(u32 k, u32 v, bool moved)
{
	u32 page = 0;
	bool is_store = false;

	space_attach(&g[k].s, v, moved);
	for (u32 n = 0; n < 12 && !g[k].stop; n++) {
		bool faulted;

		kicked[fake_hart] = false;
		if (g[k].stop)
			break;
		fake_enter_again(fake_hart, &g[k].s);
		faulted = run_guest(k, v, &page, &is_store);
		fake_leave(fake_hart);
		n_faults += faulted;
		if (faulted && space_fault(&g[k].s, GPA(page_gpa(page)),
		                           is_store ? ACCESS_WRITE : ACCESS_READ) != ERR_OK)
			crew_fail("vm %u page %u: the fault is not resolved", k, page);
		if (chance(6))
			copy_in(k, (u32)(fake_random() % N_PAGES));
		if (chance(6))
			copy_out(k, (u32)(fake_random() % N_PAGES), (u32)(fake_random() % N_WORDS));
		crew_progress();
	}
}

static u32 n_taken(u32 k)
{
	u32 n = 0;

	for (u32 v = 0; v < N_VCPUS; v++)
		n += g[k].is_taken[v];
	return n;
}

/* Where another vCPU runs already, if there is such a VM: siblings are to meet. */
static u32 pick_guest(void)
{
	u32 k = (u32)(fake_random() % N_SPACES);

	for (u32 n = 0; n < N_SPACES && !chance(4); n++, k = (k + 1) % N_SPACES)
		if (g[k].live && n_taken(k) > 0 && n_taken(k) < N_VCPUS)
			break;
	return k;
}

static void op_run(void)
{
	u32 k = pick_guest(), v = (u32)(fake_random() % N_VCPUS);
	bool moved;

	for (u32 n = 0; n < N_VCPUS && g[k].is_taken[v]; n++)
		v = (v + 1) % N_VCPUS;
	if (!g[k].live || g[k].frozen || g[k].stop || g[k].is_taken[v])
		return;
	g[k].is_taken[v] = true;
	moved = g[k].hart[v] != fake_hart;
	g[k].hart[v] = fake_hart;
	run_vcpu(k, v, moved);
	g[k].is_taken[v] = false;
}

/* ---- life and death ---- */

/* Claims a VM of which nothing else is about to change; -1: this draw brought none. */
static int claim(bool frozen)
{
	int k = (int)(fake_random() % N_SPACES);

	if (!g[k].live || g[k].frozen != frozen || g[k].claimed || g[k].n_holders)
		return -1;
	g[k].claimed = true;
	return k;
}

static int claim_empty(void)
{
	for (int k = 0; k < N_SPACES; k++) {
		if (g[k].live || g[k].claimed)
			continue;
		g[k].claimed = true;
		witness_forget(&g[k].s, sizeof(g[k].s));
		return k;
	}
	return -1;
}

/* A template that stays one until it is let go of. */
static int hold_template(void)
{
	int k = (int)(fake_random() % N_SPACES);

	if (!g[k].live || !g[k].frozen || g[k].claimed)
		return -1;
	g[k].n_holders++;
	return k;
}

static void stop(int k)
{
	g[k].stop = true;
	for (u32 v = 0; v < N_VCPUS; v++) {
		if (g[k].is_taken[v])
			hart_kick(g[k].hart[v]);
		while (g[k].is_taken[v])
			crew_wait();
	}
}

static void let_go(int k)
{
	g[k].stop = false;
	g[k].claimed = false;
}

static void born(int k, int template)
{
	witness_forget(&g[k].s, sizeof(g[k].s));
	g[k].live = true;
	g[k].frozen = false;
	g[k].template = template;
	for (u32 v = 0; v < N_VCPUS; v++)
		g[k].hart[v] = N_HARTS;
	n_lives++;
	let_go(k);
}

static void op_create(void)
{
	struct region r[2] = { { GPA(RAM), 2 * BLOCK_SIZE }, { GPA(HIGH), BLOCK_SIZE } };
	static u64 image[PAGE_SIZE / 8];
	int k = claim_empty();

	if (k < 0)
		return;
	memset(g[k].want, 0, sizeof(g[k].want));
	if (space_init(&g[k].s, r, 2) != ERR_OK)
		crew_fail("no space");
	g[k].s.merge = (struct merge_policy){ 2 - chance(4), 1 + (k > 4), k > 4 };
	if (chance(2) && space_load(&g[k].s, GPA(RAM), image, sizeof(image)) != ERR_OK)
		crew_fail("no image");
	born(k, -1);
}

static void op_clone(void)
{
	int k = hold_template(), child = k < 0 ? -1 : claim_empty();

	if (child >= 0) {
		space_clone(&g[child].s, &g[k].s);
		memcpy(g[child].want, g[k].want, sizeof(g[k].want));
		born(child, k);
	}
	if (k >= 0)
		g[k].n_holders--;
}

static void op_fork(void)
{
	int k = claim(false), child = k < 0 ? -1 : claim_empty();

	if (child >= 0) {
		stop(k);
		space_fork(&g[child].s, &g[k].s);
		memcpy(g[child].want, g[k].want, sizeof(g[k].want));
		born(child, -1);
	}
	if (k >= 0)
		let_go(k);
}

static void op_freeze(void)
{
	int k = claim(false);

	if (k < 0)
		return;
	stop(k);
	if (chance(2))
		crew_scan_compact(&g[k].s);
	space_freeze(&g[k].s);
	g[k].frozen = true;
	let_go(k);
}

static void op_reset(void)
{
	int k = claim(false), template = k < 0 ? -1 : g[k].template;

	if (template >= 0 && g[template].live && g[template].frozen && !g[template].claimed) {
		g[template].n_holders++;
		stop(k);
		g[k].s.is_marked &= chance(2); /* else its tables go, however little was written */
		space_reset(&g[k].s, &g[template].s);
		memcpy(g[k].want, g[template].want, sizeof(g[k].want));
		g[template].n_holders--;
	}
	if (k >= 0)
		let_go(k);
}

static void op_kill(void)
{
	int k = claim(chance(3));

	if (k < 0)
		return;
	stop(k);
	witness_forget(&g[k].s, sizeof(g[k].s));
	space_fini(&g[k].s);
	for (u32 n = 0; n < N_SPACES; n++)
		if (g[n].template == k)
			g[n].template = -1;
	g[k].live = false;
	let_go(k);
}

/* One page of a VM that stands still; its code, too, which the VM will fetch anew. */
static void overwrite(int k, u32 page, const u64 *words)
{
	enum err e;
	u8 *at;

	if (copy_to_guest(&g[k].s, GPA(page_gpa(page)), words, N_WORDS * sizeof(u64)) != ERR_OK)
		crew_fail("vm %d page %u: no copy", k, page);
	memcpy(g[k].want[page], words, N_WORDS * sizeof(u64));
	lock_acquire(&g[k].s.lock);
	e = space_pin_locked(&g[k].s, GPA(page_gpa(page)), ACCESS_READ, &at);
	if (e != ERR_OK)
		crew_fail("vm %d page %u: not there", k, page);
	icache_drop((u64 *)(void *)at + CODE);
	lock_release(&g[k].s.lock);
}

/* Some pages of a VM that stands still become zeroes, equal to many, or what another VM has there. */
static void op_converge(void)
{
	static const u64 same[N_WORDS] = { 1, 2, 3, 4, 5 };
	int k = claim(false);
	u32 from = (u32)(fake_random() % N_SPACES);

	if (k < 0)
		return;
	stop(k);
	for (u32 p = 0; p < N_PAGES; p++) {
		u64 words[N_WORDS] = { 0 };

		if (chance(2))
			continue;
		if (chance(2))
			memcpy(words, same, sizeof(words));
		else if (chance(2) && g[from].live)
			memcpy(words, g[from].want[p], sizeof(words));
		overwrite(k, p, words);
	}
	let_go(k);
}

static void op_housekeeping(void)
{
	switch (fake_random() % 8) {
	case 0: space_unload(); break;
	case 1: space_relieve(); break;
	case 2: space_reap(1); break;
	default: crew_scan_idle();
	}
}

/* ---- a history ---- */

static void hart_main(u32 hart)
{
	(void)hart;
	for (u32 n = 0; n < N_OPS; n++) {
		u64 op = fake_random() % 100;

		if (op < 36)
			op_run();
		else if (op < 41)
			op_converge();
		else if (op < 50)
			crew_scan();
		else if (op < 56)
			op_create();
		else if (op < 64)
			op_clone();
		else if (op < 72)
			op_fork();
		else if (op < 76)
			op_freeze();
		else if (op < 80)
			op_reset();
		else if (op < 86)
			op_kill();
		else
			op_housekeeping();
		crew_progress();
		crew_step();
	}
}

/* A walk takes its time from level to level. */
static void walk_slowly(hpa_t table)
{
	(void)table;
	crew_step();
}

/* Hardware walks of its own accord, whenever it likes. */
static void walk_ahead(void)
{
	if (chance(2))
		fake_speculate(fake_hart, page_gpa((u32)(fake_random() % N_PAGES)));
}

static void read_everything(void)
{
	for (u32 k = 0; k < N_SPACES; k++) {
		for (u32 p = 0; g[k].live && p < N_PAGES; p++) {
			u64 found[N_WORDS];

			assert_int_equal(
				copy_from_guest(&g[k].s, found, GPA(page_gpa(p)), sizeof(found)),
				ERR_OK);
			for (u32 word = 0; word < N_WORDS; word++)
				check_word(k, p, word, found[word]);
		}
	}
}

static void run_history(u64 seed, u32 vmid_bits)
{
	mm_start(20, N_HARTS + 1);
	machine.vmid_bits = vmid_bits;
	tlb_init_all();
	memset(g, 0, sizeof(g));
	icache_reset();
	witness_forget_all();
	serial = 0;
	fake_seed(seed);
	for (u32 phase = 0; phase < N_PHASES; phase++) {
		fake_on_kick = on_kick;
		fake_on_walk = walk_slowly;
		fake_on_compare = crew_step;
		crew_on_step = walk_ahead;
		fake_rank_without_effect = rank_left_out;
		crew_run(N_HARTS, hart_main, seed * N_PHASES + phase);
		fake_on_walk = NULL;
		fake_on_compare = NULL;
		crew_on_step = NULL;
		fake_on_kick = NULL;
		fake_rank_without_effect = 0;
		read_everything();
		mm_audit();
	}
	crew_scan_add(&merged);
	for (u32 k = 0; k < N_SPACES; k++)
		if (g[k].live)
			space_fini(&g[k].s);
	mm_end();
}

static u64 number(const char *name, u64 otherwise)
{
	return getenv(name) ? strtoull(getenv(name), NULL, 0) : otherwise;
}

/* With many VMIDs, three, and none, by turns: what is wrong with any of them shows soon. */
static void test_histories(void **state)
{
	static const u32 vmid_bits[] = { 14, 2, 0 };
	bool replay = getenv("PANDO_SEED");
	u64 first = number("PANDO_SEED", 1);
	u64 n = number("PANDO_INTERLEAVINGS", replay ? 1 : getenv("PANDO_SOAK") ? 6000 : 60);

	(void)state;
	n_checked = n_faults = n_lives = 0;
	merged = (struct merge_stats){ 0 };
	for (u64 k = 0; k < n; k++)
		for (u32 w = 0; w < ARRAY_LEN(vmid_bits); w++)
			run_history(first + k + (replay ? 0 : 1000000 * w), vmid_bits[w]);
	n *= ARRAY_LEN(vmid_bits);
	/* Histories in which nothing happens would prove nothing. */
	assert_true(n_faults > 20 * n && n_checked > 100 * n && n_lives > 4 * n);
	assert_true(n < 120 || (merged.zero > n && merged.merged > n && merged.back > n &&
	                        merged.broken > n && merged.hidden > n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_histories),
	};

	rank_left_out = (u32)number("PANDO_NO_LOCK", 0);
	if (getenv("PANDO_NO_LOCK") && (rank_left_out == 0 || rank_left_out >= LOCK_N_RANKS)) {
		fprintf(stderr, "PANDO_NO_LOCK: the number of a rank, 1 to %d\n", LOCK_N_RANKS - 1);
		return 2;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
