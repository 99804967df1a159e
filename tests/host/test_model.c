// SPDX-License-Identifier: BSD-2-Clause
/*
 * The memory core against plain arrays: random stores, loads, freezes, clones, forks,
 * resets and destroys of spaces, from several harts that stay inside their guests
 * and use whatever their lazy TLBs still hold.  After each step the audit recounts
 * everything; at the end every frame is back.  Some histories run with so little memory that
 * every operation may meet the end of it: then it must have changed nothing that anyone can read.
 *
 * A failing run prints its seed: PANDO_SEED=... replays it; PANDO_STEPS sets the length.
 */
#include "mm/hide.h"
#include "mm/twin.h"
#include "mm/index.h"
#include "mm_unit.h"

#define N_SPACES 12
#define N_HARTS  3 /* run guests; one more only runs the audit */
#define N_PAGES  96
#define HIGH     0xc0000000UL /* second region: another 1 GiB slot */

struct model_space {
	struct space s;
	bool live, frozen;
	int template; /* index it may be reset to, -1 none */
	u64 want[N_PAGES];
};

static struct model_space m[N_SPACES];
static bool is_short;   /* ERR_NOMEM is an answer */
static bool is_merging; /* many pages are equal, and the scanner runs often */
static u32 n_refused;
static int runs[N_HARTS]; /* index of the space whose guest the hart is in, -1 none */

/* Pages spread over five 2 MiB slots in two 1 GiB slots, some adjacent. */
static u64 page_gpa(u32 page)
{
	u64 slot = page % 5, in = page / 5;
	u64 base = slot < 4 ? RAM + slot * BLOCK_SIZE : HIGH;

	return base + (in < 10 ? in : N_ENTRIES - 1 - in) * PAGE_SIZE +
	       8 * (is_merging ? page % 2 : page);
}

static void check_audit(void)
{
	struct audit_result r;

	fake_hart = N_HARTS;
	audit_run(&r);
	if (r.faults)
		fprintf(stderr, "audit: %lu faults, first: %s\n", (unsigned long)r.faults, r.first);
	assert_int_equal(r.faults, 0);
	mm_usage();
}

static void leave(u32 h)
{
	if (fake_is_in_guest(h))
		fake_leave(h);
	runs[h] = -1;
}

static void stop_all(int k)
{
	for (u32 h = 0; h < N_HARTS; h++)
		if (runs[h] == k)
			leave(h);
}

static int pick(bool frozen)
{
	int k = (int)(fake_random() % N_SPACES);

	for (u32 n = 0; n < N_SPACES; n++, k = (k + 1) % N_SPACES)
		if (m[k].live && m[k].frozen == frozen)
			return k;
	return -1;
}

static int pick_empty(void)
{
	for (int k = 0; k < N_SPACES; k++)
		if (!m[k].live)
			return k;
	return -1;
}

/* Was it refused for lack of memory?  Any other error is none of its business. */
static bool refused(enum err e)
{
	if (!is_short || e != ERR_NOMEM) {
		assert_int_equal(e, ERR_OK);
		return false;
	}
	n_refused++;
	return true;
}

/* One load or store by a hart that is in the guest of space k, with the faults it takes. */
static void access_page(u32 h, int k, u32 page, bool is_store, u64 value)
{
	u8 *byte = NULL;

	for (u32 tries = 0; tries < 5; tries++) {
		if (!fake_is_in_guest(h))
			fake_enter(h, &m[k].s, h);
		byte = fake_access(h, page_gpa(page), is_store);
		if (byte)
			break;
		fake_leave(h);
		fake_hart = h;
		if (refused(space_fault(&m[k].s, GPA(page_gpa(page)),
		                        is_store ? ACCESS_WRITE : ACCESS_READ)))
			return;
	}
	assert_non_null(byte);
	if (is_store) {
		memcpy(byte, &value, sizeof(value));
		m[k].want[page] = value;
	} else {
		memcpy(&value, byte, sizeof(value));
		if (value != m[k].want[page])
			fprintf(stderr, "hart %u space %d page %u: %lx, want %lx\n", h, k, page,
			        (unsigned long)value, (unsigned long)m[k].want[page]);
		assert_int_equal(value, m[k].want[page]);
	}
}

/* Often a space that another hart is in, and a page of a few: siblings are to meet. */
static int pick_guest(void)
{
	int k = runs[fake_random() % N_HARTS];

	return k >= 0 && fake_random() % 4 ? k : pick(false);
}

static u32 pick_page(void)
{
	return (u32)(fake_random() % (fake_random() % 2 ? 10 : N_PAGES));
}

/* Often one of a few, so that pages become equal, or what they were before. */
static u64 random_value(void)
{
	return fake_random() % 8 || is_merging ? fake_random() % 3 : fake_random();
}

/* A hart in its guest stores what it can without a fault, with what its TLB still holds. */
static void store_in_passing(u32 h)
{
	u32 page = pick_page();
	u64 value = random_value();
	u8 *byte = fake_access(h, page_gpa(page), true);

	if (!byte)
		return;
	memcpy(byte, &value, sizeof(value));
	m[runs[h]].want[page] = value;
}

/* A hart that is told to leave its guest has time for a last store. */
static void on_kick(u32 h)
{
	if (!fake_is_in_guest(h))
		return;
	store_in_passing(h);
	fake_leave(h);
}

/* Others may go on for a while when the scanner has compared two pages. */
static void on_compare(void)
{
	u32 h = (u32)(fake_random() % N_HARTS);

	if (!fake_is_in_guest(h))
		return;
	for (u32 n = 0; n < N_PAGES; n++)
		store_in_passing(h);
}

static void step_access(u32 h)
{
	int k = runs[h];

	if (k < 0 || fake_random() % 8 == 0) {
		leave(h);
		k = pick_guest();
		if (k < 0)
			return;
		runs[h] = k;
	}
	for (u32 n = 0; n < 4; n++)
		access_page(h, k, pick_page(), fake_random() % 2, random_value());
}

/* Pando itself reads or writes for the guest. */
static void step_copy(void)
{
	int k = pick_guest();
	u32 page = pick_page();
	u64 value = random_value(), got;

	if (k < 0)
		return;
	if (fake_random() % 2 && !refused(copy_to_guest(&m[k].s, GPA(page_gpa(page)), &value, 8)))
		m[k].want[page] = value;
	assert_int_equal(copy_from_guest(&m[k].s, &got, GPA(page_gpa(page)), 8), ERR_OK);
	assert_int_equal(got, m[k].want[page]);
}

static void destroy(int k)
{
	stop_all(k);
	space_fini(&m[k].s);
	m[k].live = false;
	for (u32 c = 0; c < N_SPACES; c++)
		if (m[c].template == k)
			m[c].template = -1;
}

/* Two domains, one space in four that takes no part, or only for zeroes; and the same in secure mode. */
static struct merge_policy random_policy(void)
{
	u32 r = (u32)(fake_random() % 8);
	bool is_secure = fake_random() % 3 == 0;

	return (struct merge_policy){ r == 0   ? DEDUP_OFF
		                      : r == 1 ? DEDUP_ZERO
		                               : DEDUP_MERGE,
		                      1 + r % 2 + (is_secure ? 2 : 0), is_secure };
}

static void step_create(void)
{
	struct region r[2] = { { GPA(RAM), 4 * BLOCK_SIZE }, { GPA(HIGH), BLOCK_SIZE } };
	int k = pick_empty();
	static u64 image[3 * BLOCK_SIZE / 2 / 8];

	if (k < 0)
		return;
	if (refused(space_init(&m[k].s, r, 2)))
		return;
	m[k].s.merge = random_policy();
	m[k].live = true;
	m[k].frozen = false;
	m[k].template = -1;
	memset(m[k].want, 0, sizeof(m[k].want));
	for (u64 i = 0; i < ARRAY_LEN(image); i++)
		image[i] = i * 3;
	if (fake_random() % 2)
		return;
	if (refused(space_load(&m[k].s, GPA(RAM + BLOCK_SIZE), image, sizeof(image)))) {
		destroy(k);
		return;
	}
	for (u32 p = 0; p < N_PAGES; p++)
		if (range_holds(RAM + BLOCK_SIZE, sizeof(image), page_gpa(p), 8))
			m[k].want[p] = (page_gpa(p) - RAM - BLOCK_SIZE) / 8 * 3;
}

static void step_fork(bool from_template)
{
	int k = pick(from_template), child = pick_empty();

	if (k < 0 || child < 0)
		return;
	stop_all(k);
	if (from_template)
		space_clone(&m[child].s, &m[k].s);
	else
		space_fork(&m[child].s, &m[k].s);
	m[child].live = true;
	m[child].frozen = false;
	m[child].template = from_template ? k : -1;
	memcpy(m[child].want, m[k].want, sizeof(m[k].want));
}

/* Spaces that name the same keeper are of one domain. */
static void check_domains(void)
{
	for (u32 p = 0; p < N_PAGES; p++) {
		for (int a = 0; a < N_SPACES; a++) {
			u64 pte = m[a].live ? mm_leaf(&m[a].s, page_gpa(p)) : 0;

			if (!pte || pte_kind(pte) != KIND_LEAF)
				continue;
			for (int b = 0; b < a; b++) {
				u64 other = m[b].live ? mm_leaf(&m[b].s, page_gpa(p)) : 0;

				if (pte_ppn(other) == pte_ppn(pte))
					assert_int_equal(m[a].s.merge.domain, m[b].s.merge.domain);
			}
		}
	}
}

/* A pass of the merge scanner or a part of it, with all guests where they are. */
static void step_scan(void)
{
	fake_time += 100000000;
	for (u32 h = 0; h < N_HARTS; h++)
		if (h != fake_hart && runs[h] >= 0 && !fake_is_in_guest(h))
			fake_enter(h, &m[runs[h]].s, h);
	if (fake_random() % 4)
		scan_idle();
	else
		scan_once();
	check_domains();
}

static void step_unmerge(void)
{
	int k = pick(false);

	if (k >= 0)
		(void)refused(scan_unmerge(&m[k].s));
}

static void step_freeze(void)
{
	int k = pick(false);

	if (k < 0)
		return;
	stop_all(k);
	if (fake_random() % 2)
		scan_compact(&m[k].s);
	space_freeze(&m[k].s);
	m[k].frozen = true;
	m[k].template = -1;
}

static void step_reset(void)
{
	int k = pick(false);

	if (k < 0 || m[k].template <0)
		return;
	stop_all(k);
	if (m[k].s.breaks[BREAK_COPY] % 2)
		m[k].s.is_marked = false; /* its tables go, however little was written */
	space_reset(&m[k].s, &m[m[k].template].s);
	memcpy(m[k].want, m[m[k].template].want, sizeof(m[k].want));
}

static void step_destroy(void)
{
	int k = pick(fake_random() % 2);

	if (k >= 0)
		destroy(k);
}

static void step(void)
{
	u64 op = is_merging && fake_random() % 8 == 0 ? 98 : fake_random() % 100;

	fake_hart = (u32)(fake_random() % N_HARTS);
	if (op < 60) {
		step_access(fake_hart);
		return;
	}
	leave(fake_hart); /* the rest is HS-mode's work */
	if (op < 66)
		step_copy();
	else if (op < 70)
		step_create();
	else if (op < 78)
		step_fork(true);
	else if (op < 84)
		step_fork(false);
	else if (op < 87)
		step_freeze();
	else if (op < 91)
		step_reset();
	else if (op < 95)
		step_destroy();
	else if (op < 96)
		space_idle_work();
	else if (op < 99)
		step_scan();
	else if (fake_random() % 2)
		step_unmerge();
	else
		space_relieve();
}

static void read_everything(void)
{
	for (int k = 0; k < N_SPACES; k++) {
		for (u32 p = 0; m[k].live && p < N_PAGES; p++) {
			u64 got;

			assert_int_equal(copy_from_guest(&m[k].s, &got, GPA(page_gpa(p)), 8),
			                 ERR_OK);
			assert_int_equal(got, m[k].want[p]);
		}
	}
}

static void run_history(u64 seed, u32 vmid_bits, u32 n_left)
{
	const char *steps = getenv("PANDO_STEPS");
	u32 n_steps = steps ? (u32)atoi(steps) : 250;
	u64 n_free;

	mm_start(48, N_HARTS + 1);
	machine.vmid_bits = vmid_bits;
	tlb_init_all();
	n_free = frame_n_free();
	memset(m, 0, sizeof(m));
	for (u32 h = 0; h < N_HARTS; h++)
		runs[h] = -1;
	is_short = n_left > 0;
	fake_on_kick = on_kick;
	fake_on_compare = on_compare;
	fake_traps_on_d = seed % 2;
	machine.isolation_strong = seed % 5 > 0;
	twin_weaken_hash(seed % 3 ? UINT32_MAX : 7); /* different pages collide */
	if (is_short)
		mm_eat(FRAME_FOR_PANDO, n_free - n_left);
	fake_seed(seed);
	step_create();
	for (u32 n = 0; n < n_steps; n++) {
		step();
		check_audit();
		for (u32 h = 0; h < N_HARTS; h++)
			fake_speculate(h, page_gpa(pick_page()));
	}
	read_everything();
	for (int k = 0; k < N_SPACES; k++)
		if (m[k].live)
			destroy(k);
	for (u32 h = 0; h < N_HARTS; h++) {
		leave(h);
		fake_hart = h;
		space_unload();
	}
	check_audit();
	index_drop();
	hide_drain();
	mm_uneat();
	assert_int_equal(frame_n_free(), n_free);
	mm_end();
}

static u64 first_seed(u64 fallback)
{
	return getenv("PANDO_SEED") ? strtoull(getenv("PANDO_SEED"), NULL, 0) : fallback;
}

static u64 n_histories(void)
{
	if (getenv("PANDO_HISTORIES"))
		return strtoull(getenv("PANDO_HISTORIES"), NULL, 0);
	return getenv("PANDO_SEED") ? 1 : getenv("PANDO_SOAK") ? 2000 : 12;
}

static void histories(void **state)
{
	u64 first = first_seed(1), n = n_histories();

	(void)state;
	for (u64 k = 0; k < n; k++)
		run_history(first + k, 14, 0);
}

/* A few hundred frames for all, of which the guests may not have the last 192. */
static void histories_short_of_memory(void **state)
{
	u64 first = first_seed(201), n = n_histories();

	(void)state;
	n_refused = 0;
	for (u64 k = 0; k < n; k++)
		run_history(first + k, 14, 240 + 60 * (u32)(k % 12));
	assert_true(n_refused > 20 || n < 12);
}

/* Equal pages everywhere: each way to merge has been gone, and each has been broken again. */
static void histories_with_merging(void **state)
{
	u64 first = first_seed(301), n = 3 * n_histories();
	struct merge_stats sum = { 0 }, st;

	(void)state;
	is_merging = true;
	for (u64 k = 0; k < n; k++) {
		run_history(first + k, 14, k % 4 == 3 ? 600 : 0);
		scan_stats(&st);
		sum.zero += st.zero;
		sum.back += st.back;
		sum.merged += st.merged;
		sum.hidden += st.hidden;
		sum.broken += st.broken;
		sum.split += st.split;
		sum.raced += st.raced;
	}
	is_merging = false;
	assert_true(n < 36 || (sum.zero && sum.back && sum.merged && sum.broken && sum.split &&
	                       sum.raced && sum.hidden));
}

/* Three VMIDs on a machine with two bits; none at all on one with zero. */
static void histories_with_few_vmids(void **state)
{
	(void)state;
	run_history(101, 2, 0);
	run_history(102, 2, 0);
	run_history(103, 0, 0);
	run_history(104, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(histories),
		cmocka_unit_test(histories_short_of_memory),
		cmocka_unit_test(histories_with_merging),
		cmocka_unit_test(histories_with_few_vmids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
