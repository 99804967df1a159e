/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blobs against plain arrays: whatever the sizes of what is put in and taken out, the memory comes back, also after the
 * n-th allocation has failed; and a VM that is booted from blobs is the same as one booted from memory.
 */
#include "fake.h"
#include "fake_guest.h"
#include "mm/blob.h"
#include "mm/copy.h"
#include "mm_unit.h"

#define LEN (5 * BLOCK_SIZE + 12345)

static u8 bytes[LEN], copy[LEN];

static void fill(void)
{
	for (u64 i = 0; i < LEN; i++)
		bytes[i] = (u8)fake_random();
}

/* Pieces tile the blob, and none crosses a 2 MiB boundary. */
static void check_pieces(const struct blob *b)
{
	u64 n, at = 0;

	for (; at < b->len; at += n) {
		assert_non_null(blob_at(b, at, &n));
		assert_true(n > 0 && at / BLOCK_SIZE == (at + n - 1) / BLOCK_SIZE);
	}
	assert_int_equal(at, b->len);
}

/* Puts bytes[0, len) into `b` in pieces of random length. */
static enum err append_randomly(struct blob *b, u64 len)
{
	enum err e = ERR_OK;

	for (u64 at = 0, n; at < len && e == ERR_OK; at += n) {
		n = u64_min(len - at, 1 + fake_random() % (fake_random() % 4 ? 5000 : 300000));
		e = blob_append(b, bytes + at, n);
	}
	return e;
}

static void test_random(void **state)
{
	(void)state;
	fill();
	for (u32 round = 0; round < 60; round++) {
		u64 len = 1 + fake_random() % (round % 3 ? 20000 : LEN),
		    free_before = frame_n_free();
		struct blob b;

		/* What is expected is a hint. */
		blob_init(&b, round % 4 ? len : fake_random() % (2 * LEN), FRAME_FOR_GUEST);
		assert_int_equal(append_randomly(&b, len), ERR_OK);
		assert_int_equal(b.len, len);
		check_pieces(&b);
		for (u32 k = 0; k < 20; k++) {
			u64 at = fake_random() % len, n = fake_random() % (len - at + 1);

			blob_read(&b, at, copy, n);
			assert_memory_equal(copy, bytes + at, n);
		}
		blob_free(&b);
		assert_int_equal(b.len, 0);
		assert_int_equal(frame_n_free(), free_before);
	}
}

/* Where nothing large is free, small pieces do. */
static void test_fragments(void **state)
{
	u64 free_before = frame_n_free(), n;
	struct blob b;

	(void)state;
	mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
	mm_uneat_some(100); /* single frames */
	blob_init(&b, 90 * PAGE_SIZE, FRAME_FOR_GUEST);
	assert_int_equal(blob_append(&b, bytes, 90 * PAGE_SIZE), ERR_OK);
	check_pieces(&b);
	blob_read(&b, 0, copy, 90 * PAGE_SIZE);
	assert_memory_equal(copy, bytes, 90 * PAGE_SIZE);
	assert_int_equal(blob_append(&b, bytes, 90 * PAGE_SIZE), ERR_NOMEM);
	assert_null(blob_extend(&b, 1, &n));
	blob_free(&b);
	mm_uneat();
	assert_int_equal(frame_n_free(), free_before);
}

static void test_nth_failure(void **state)
{
	u64 free_before = frame_n_free();

	(void)state;
	for (u64 n = 1;; n++) {
		struct blob b;
		enum err e;

		blob_init(&b, 40 * PAGE_SIZE, FRAME_FOR_GUEST);
		frame_fail_from(n);
		e = blob_append(&b, bytes, 40 * PAGE_SIZE);
		frame_fail_from(0);
		blob_free(&b);
		assert_int_equal(frame_n_free(), free_before);
		if (e == ERR_OK)
			break;
		assert_int_equal(e, ERR_NOMEM);
	}
}

/* A Linux Image's header in front of random bytes. */
static void make_image(void)
{
	u64 text_offset = BLOCK_SIZE, size = 3 * BLOCK_SIZE;

	fill();
	memcpy(bytes + 8, &text_offset, 8);
	memcpy(bytes + 16, &size, 8);
	memcpy(bytes + 56, "RSC\x05", 4);
}

static void check_memory(struct vm *vm, u64 gpa, const u8 *expected, u64 len)
{
	assert_int_equal(copy_from_guest(&vm->space, copy, GPA(gpa), len), ERR_OK);
	assert_memory_equal(copy, expected, len);
}

static void boot(bool is_short)
{
	const u64 kernel_len = 2 * BLOCK_SIZE + 777, initrd_len = BLOCK_SIZE + 99;
	struct vm_config c = {
		.name = "blob", .ram_len = 16UL << 20, .n_vcpus = 1, .bootargs = ""
	};
	struct blob kernel, initrd;
	const char *why = "";
	struct vm *vm;

	blob_init(&kernel, kernel_len, FRAME_FOR_GUEST);
	blob_init(&initrd, initrd_len, FRAME_FOR_GUEST);
	assert_int_equal(append_randomly(&kernel, kernel_len), ERR_OK);
	assert_int_equal(blob_append(&initrd, bytes + BLOCK_SIZE, initrd_len), ERR_OK);
	c.kernel_blob = &kernel;
	c.kernel_len = kernel_len;
	c.initrd_blob = &initrd;
	c.initrd_len = initrd_len;
	if (is_short) {
		mm_eat(FRAME_FOR_GUEST, UINT64_MAX);
		mm_uneat_some(2000); /* no 2 MiB in one piece */
	}
	assert_int_equal(vm_create(&c, &vm, &why), ERR_OK);
	check_memory(vm, 0x80200000, bytes, kernel_len);
	check_memory(vm, 0x80200000 + (8UL << 20), bytes + BLOCK_SIZE, initrd_len);
	assert_int_equal(vm->vcpu[0]->regs.sepc, 0x80200000);
	blob_free(&kernel);
	blob_free(&initrd);
	mm_uneat();
	check_memory(vm, 0x80200000, bytes, kernel_len);
	vm_kill(vm);
}

static void test_boot(void **state)
{
	u64 free_before;

	(void)state;
	fake_boot(1);
	make_image();
	free_before = frame_n_free();
	boot(false);
	boot(true);
	fake_boot(1);
	space_relieve();
	assert_int_equal(frame_n_free(), free_before);
}

static int up(void **state)
{
	(void)state;
	fake_seed(11);
	fake_boot(1);
	space_relieve();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_nth_failure),
		cmocka_unit_test(test_boot),
	};

	return cmocka_run_group_tests(tests, up, NULL);
}
