/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that are no template's: cut, flipped, made up, with checksums that are right. Nothing comes of them, and each is told what it is. */
#include "arch/csr_bits.h"
#include "snapshot_unit.h"

static char why[160];

static enum err load_it(const char *name, struct file f)
{
	struct vm *vm = NULL;

	return snapshot_load_file(name, f, &vm, why);
}

static struct file copy_of(struct file f)
{
	struct file copy = { malloc(f.len), f.len };

	memcpy(copy.bytes, f.bytes, f.len);
	return copy;
}

static void test_cut(void **state)
{
	struct file f = snapshot_small_file();
	u64 before = free_frames();
	u32 n_vms = vm_count();

	(void)state;
	for (u64 len = 0; len < f.len; len += len < 3000 ? 1 : 61) {
		struct file cut = copy_of((struct file){ f.bytes, len });

		/* The header says how much there should be; if it agrees with the cut, something else does not. */
		assert_int_equal(load_it("cut", cut), ERR_BROKEN);
		if (len >= sizeof(struct snapshot_header)) {
			((struct snapshot_header *)cut.bytes)->len = len;
			snapshot_mend(cut);
			assert_int_equal(load_it("cut", cut), ERR_BROKEN);
		}
		free(cut.bytes);
	}
	snapshot_nothing_left(before, n_vms);
	free(f.bytes);
}

/* It ends in the middle, and nobody says that it has ended. */
static void test_left(void **state)
{
	struct file f = snapshot_small_file();
	u64 before = free_frames();
	u32 n_vms = vm_count();
	const char *refused;

	(void)state;
	for (u64 len = 1; len < f.len; len += 501) {
		struct snapshot_load *l;

		assert_int_equal(snapshot_load_begin("left", f.len, &l, &refused), ERR_OK);
		assert_int_equal(snapshot_load_feed(l, f.bytes, (u32)len), ERR_OK);
		if (len % 2 == 0) {
			struct vm *vm;

			assert_int_equal(snapshot_load_finish(l, &vm), ERR_BROKEN);
			assert_non_null(strstr(snapshot_load_why(l), ": cut off"));
		}
		snapshot_load_end(l);
	}
	snapshot_nothing_left(before, n_vms);
	free(f.bytes);
}

static void test_every_byte(void **state)
{
	struct file f = snapshot_small_file();
	u64 before = free_frames();
	u32 n_vms = vm_count();

	(void)state;
	for (u64 i = 0; i < f.len; i += i < 3000 ? 1 : 7) {
		u8 was = f.bytes[i];

		f.bytes[i] ^= (u8)(1 + fake_random() % 255);
		assert_int_equal(load_it("flipped", f), ERR_BROKEN);
		f.bytes[i] = was;
	}
	snapshot_nothing_left(before, n_vms);
	free(f.bytes);
}

/* What such a file has brought about runs as anything else does. */
static void live_a_little(struct vm *loaded)
{
	struct vm *c = clone(loaded);
	struct file f;

	assert_int_equal(vm_run(c), ERR_OK);
	for (u32 i = 0; i < 4; i++) {
		struct vcpu *v = fake_pick(0);

		if (v == NULL)
			break;
		(void)!vcpu_door(v);
		fake_put_back(0, v);
	}
	store(c, RAM + fake_random() % (4UL << 20) / 4 * 4, 1);
	f = snapshot_file_of(loaded);
	free(f.bytes);
	vm_kill(c);
	vm_kill(loaded);
}

/* With checksums that are right: all that is left are the checks of what the file says. */
static void test_every_word_with_checksums(void **state)
{
	static const u64 hard[] = { 0,          1,         2,         0xff,      0x8000,
		                    UINT32_MAX, 1UL << 31, 1UL << 63, UINT64_MAX };
	struct file f = snapshot_small_file();
	u64 before = free_frames(), n_good = 0, n_bad = 0;
	u32 n_vms = vm_count();

	(void)state;
	for (u64 at = 0; at + 8 <= f.len; at += at < 4000 ? 8 : 8 * 97) {
		for (u32 k = 0; k < ARRAY_LEN(hard) + 2; k++) {
			struct file bad = copy_of(f);
			u64 word = k < ARRAY_LEN(hard) ? hard[k] : fake_random();
			struct vm *vm = NULL;
			enum err e;

			memcpy(bad.bytes + at, &word, sizeof(word));
			snapshot_mend(bad);
			e = snapshot_load_file("bad", bad, &vm, why);
			assert_true(e == ERR_OK || e == ERR_BROKEN || e == ERR_NOMEM);
			if (e == ERR_OK)
				live_a_little(vm);
			n_good += e == ERR_OK;
			n_bad += e != ERR_OK;
			free(bad.bytes);
		}
	}
	snapshot_nothing_left(before, n_vms);
	check_audit();
	assert_true(n_good > 1000 && n_bad > 200);
	free(f.bytes);
}

/* More under `make soak`. */
static u32 rounds(u32 n)
{
	return getenv("PANDO_SOAK") != NULL ? 100 * n : n;
}

/* Several words at once, of whatever kind. */
static void test_random_changes_with_checksums(void **state)
{
	struct file f = snapshot_small_file();
	u64 before = free_frames(), head = u64_min(f.len, 6000);
	u32 n_vms = vm_count(), n = rounds(500);

	(void)state;
	for (u32 i = 0; i < n; i++) {
		struct file bad = copy_of(f);
		struct vm *vm = NULL;

		for (u64 k = 0; k < 1 + i % 6; k++) {
			u64 at = fake_random() % (k % 2 == 0 ? head : f.len) / 8 * 8;
			u64 word = fake_random() >> fake_random() % 64;

			memcpy(bad.bytes + at, &word, sizeof(word));
		}
		snapshot_mend(bad);
		if (snapshot_load_file("bad", bad, &vm, why) == ERR_OK)
			live_a_little(vm);
		else
			assert_true(strlen(why) > 0);
		free(bad.bytes);
	}
	snapshot_nothing_left(before, n_vms);
	check_audit();
	free(f.bytes);
}

static void test_random_bytes(void **state)
{
	u64 before;

	(void)state;
	snapshot_machine_with(0);
	before = free_frames();
	for (u32 i = 0; i < 3000; i++) {
		struct file f = { .len = fake_random() % 20000 };

		f.bytes = calloc(1, f.len + 8);
		for (u64 k = 0; k < f.len; k += 8) {
			u64 word = fake_random();

			memcpy(f.bytes + k, &word, 8);
		}
		if (i % 2 != 0 && f.len > sizeof(struct snapshot_header)) {
			struct snapshot_header *h = (void *)f.bytes;

			memcpy(h->magic, SNAPSHOT_MAGIC, 8);
			h->version = SNAPSHOT_VERSION;
			h->header_len = sizeof(*h);
			h->len = f.len;
			snapshot_mend(f);
		}
		assert_int_equal(load_it("random", f), ERR_BROKEN);
		free(f.bytes);
	}
	snapshot_nothing_left(before, 0);
}

static const struct {
	enum snapshot_kind kind;
	u32 number;
	int word; /* of the body; -2 and -1: of what stands before it */
	u64 value;
	const char *why;
} cases[] = {
	{ SNAPSHOT_MACHINE, 0, -2, SNAPSHOT_MACHINE | 1UL << 32,
	  "broken: machine: another section is in its place" },
	{ SNAPSHOT_VCPU, 1, -2, SNAPSHOT_VCPU, "broken: vCPU 1: another section is in its place" },
	{ SNAPSHOT_VCPU, 1, -1, 801, "broken: vCPU 1: length" },
	{ SNAPSHOT_VCPU, 1, -1, 8000, "broken: vCPU 1: length" },
	{ SNAPSHOT_VCPU, 1, -1, 800000, "broken: vCPU 1: length" },
	{ SNAPSHOT_MACHINE, 0, 0, 1 << 3, "broken: machine: no svpbmt here" },
	{ SNAPSHOT_MACHINE, 0, 0, 1 << 30, "broken: machine: an extension that nobody knows" },
	{ SNAPSHOT_MACHINE, 0, 1, 1000, "broken: machine: another timebase" },
	{ SNAPSHOT_MACHINE, 0, 2, 32, "broken: machine: vector registers of another length" },
	{ SNAPSHOT_CONFIG, 0, 0, 1 << 20, "broken: configuration: memory" },
	{ SNAPSHOT_CONFIG, 0, 0, 1UL << 60, "broken: configuration: memory" },
	{ SNAPSHOT_CONFIG, 0, 1, 9, "broken: configuration: vcpus" },
	{ SNAPSHOT_CONFIG, 0, 1, 0, "broken: configuration: vcpus" },
	{ SNAPSHOT_CONFIG, 0, 1, 3, "broken: vCPU 2: another section is in its place" },
	{ SNAPSHOT_CONFIG, 0, 1, 1, "broken: device plic: another section is in its place" },
	{ SNAPSHOT_CONFIG, 0, 5, 4, "broken: configuration: policy dedup" },
	{ SNAPSHOT_CONFIG, 0, 6, 2, "broken: configuration: policy secure" },
	{ SNAPSHOT_CONFIG, 0, 14, 1UL << 32, "broken: configuration: generation" },
	{ SNAPSHOT_VCPU, 1, 32, 2, "broken: vCPU 1: mode" },
	{ SNAPSHOT_VCPU, 1, 40, 1UL << 60, "broken: vCPU 1: vsatp" },
	{ SNAPSHOT_VCPU, 0, 78, 32, "broken: vCPU 0: vlenb" },
	{ SNAPSHOT_VCPU, 0, 81, 129, "broken: vCPU 0: vl" },
	{ SNAPSHOT_DEVICE, 0, 0, 0, "broken: device plic: name" },
	{ SNAPSHOT_DEVICE, 0, 2, 8, "broken: device plic: priority" },
	{ SNAPSHOT_DEVICE, 1, 2, 16, "broken: device uart: ier" },
	{ SNAPSHOT_DEVICE, 1, 11, 65, "broken: device uart: input" },
	{ SNAPSHOT_SLOT, 0, 0, 0, "broken: memory at 0x0: no memory of the VM" },
	{ SNAPSHOT_SLOT, 0, 0, RAM + PAGE_SIZE,
	  "broken: memory at 0x80001000: no memory of the VM" },
	{ SNAPSHOT_SLOT, 0, 1, 2, "broken: memory at 0x80000000: makes no sense" },
	{ SNAPSHOT_SLOT, 0, 2, UINT64_MAX, "broken: memory at 0x80000000: length" },
	{ SNAPSHOT_SLOT, 0, 0, RAM + 2 * BLOCK_SIZE,
	  "broken: memory at 0x80200000: comes too late" },
	{ SNAPSHOT_LAST, 0, 0, 3, "broken: end: number of sections" },
};

/* One word is changed, and the complaint says which. */
static void test_complaints(void **state)
{
	struct file f = snapshot_small_file();

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(cases); i++) {
		struct file bad = copy_of(f);
		u64 at = snapshot_body_at(f, cases[i].kind, cases[i].number);

		assert_int_not_equal(at, 0);
		memcpy(bad.bytes + at + 8L * cases[i].word, &cases[i].value, 8);
		snapshot_mend(bad);
		assert_int_equal(load_it("bad", bad), ERR_BROKEN);
		assert_string_equal(why, cases[i].why);
		free(bad.bytes);
	}
	free(f.bytes);
}

static void expect(struct file f, const char *complaint)
{
	assert_int_equal(load_it("bad", f), ERR_BROKEN);
	assert_string_equal(why, complaint);
}

/* The same for what holds the file together. */
static void test_frame_of_a_file(void **state)
{
	struct file f = snapshot_small_file(), longer = { calloc(1, f.len + 8), f.len + 8 };
	struct snapshot_header *h = (void *)f.bytes;
	u64 last = snapshot_body_at(f, SNAPSHOT_LAST, 0) - sizeof(struct snapshot_head), hash;

	(void)state;
	h->version = 2;
	snapshot_mend(f);
	expect(f, "broken: header: another version");
	h->version = SNAPSHOT_VERSION;
	h->len += 8;
	snapshot_mend(f);
	expect(f, "broken: header: another length");
	memcpy(longer.bytes, f.bytes, f.len);
	snapshot_mend(longer);
	expect(longer, "broken: end: more follows");
	h->len = 2000;
	snapshot_mend(f);
	expect((struct file){ f.bytes, 2000 }, "broken: vCPU 1: the file is too short for it");
	h->len = f.len;
	snapshot_mend(f);
	f.bytes[last + sizeof(struct snapshot_head) + 8] ^= 1;
	hash = hash_words(HASH_START, f.bytes + last, f.len - last - SNAPSHOT_HASH_LEN);
	memcpy(f.bytes + f.len - SNAPSHOT_HASH_LEN, &hash, sizeof(hash));
	expect(f, "broken: end: checksum of all");
	h->magic[0] = 'p';
	expect(f, "broken: header: this is no template's file");
	free(f.bytes);
	free(longer.bytes);
}

/* Of its own registers a guest has what a guest may have; of Pando's nothing comes from the file. */
static void test_masks(void **state)
{
	struct file f = snapshot_small_file();
	u64 at = snapshot_body_at(f, SNAPSHOT_VCPU, 0), ones = UINT64_MAX;
	struct vm *vm;
	struct vcpu *v;

	(void)state;
	for (u32 word = 33; word < 45; word++)
		if (word != 40) /* vsatp */
			memcpy(f.bytes + at + 8UL * word, &ones, 8);
	snapshot_mend(f);
	assert_int_equal(snapshot_load_file("masked", f, &vm, why), ERR_OK);
	v = vm->vcpu[0];
	assert_int_equal(v->csrs.vsstatus, 0x2000c6762UL | SSTATUS_UXL_64);
	assert_int_equal(v->csrs.vsie, 0x222);
	assert_int_equal(v->csrs.vstvec, ~2UL);
	assert_int_equal(v->csrs.scounteren, UINT32_MAX);
	assert_int_equal(v->csrs.senvcfg, 0xf1);
	assert_int_equal(v->csrs.hvip & ~HVIP_VSEIP, HVIP_VSSIP);
	assert_int_equal(v->csrs.vstimecmp, 0); /* VSTIP was pending, so that is due */
	assert_int_equal(v->requests & ~(u32)VREQ_EXT, 0);
	free(f.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complaints),
		cmocka_unit_test(test_frame_of_a_file),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_left),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_every_word_with_checksums),
		cmocka_unit_test(test_random_changes_with_checksums),
		cmocka_unit_test(test_random_bytes),
	};

	fake_seed(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
