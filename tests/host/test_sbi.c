/* SPDX-License-Identifier: BSD-2-Clause */
/* SBI calls as guests make them; HSM has its own file. */
#include "sbi_fake.h"

static void test_convention(void **state)
{
	u64 value = 0;

	(void)state;
	assert_int_equal(ecall_of(0, BASE, 0, (u64[6]){ 0 }, &value), SBI_SUCCESS);
	assert_int_equal(value, 0x02000000);
	assert_int_equal(vcpus[0].regs.sepc, 0x1004);
	/* Unknown extension, and eids that agree with a known one in their low half only. */
	assert_int_equal(CALL(0x12345678, 0, 0), SBI_ERR_NOT_SUPPORTED);
	assert_int_equal(CALL(BASE | 1UL << 32, 0, 0), SBI_ERR_NOT_SUPPORTED);
	assert_int_equal(CALL(BASE, 7, 0), SBI_ERR_NOT_SUPPORTED);
	assert_int_equal(CALL(BASE, 1UL << 32, 0), SBI_ERR_NOT_SUPPORTED);
	/* v0.1 leaves a1 alone, even when the call is not there. */
	assert_int_equal(ecall_of(0, 0, 0, (u64[6]){ 1, 77 }, &value), SBI_ERR_NOT_SUPPORTED);
	assert_int_equal(value, 77);
	assert_int_equal(ecall_of(0, 1, 0, (u64[6]){ 'x', 77 }, &value), 0);
	assert_int_equal(value, 77);
	assert_int_equal(did.out[0], 'x');
}

static void test_probe(void **state)
{
	static const u64 here[] = { BASE, TIME, IPI, RFENCE, HSM, SRST, DBCN, 1, 2 };
	static const u64 absent[] = { 0, 3, 4, 5, 6, 7, 8, 9, 0x504d55, 0x4e41434c, ALL };
	u64 value;

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(here); i++) {
		assert_int_equal(ecall_of(0, BASE, 3, (u64[6]){ here[i] }, &value), 0);
		assert_int_equal(value, 1);
	}
	for (u32 i = 0; i < ARRAY_LEN(absent); i++) {
		assert_int_equal(ecall_of(0, BASE, 3, (u64[6]){ absent[i] }, &value), 0);
		assert_int_equal(value, 0);
	}
}

static void test_hart_masks(void **state)
{
	u64 mask;

	(void)state;
	assert_true(sbi_harts(&vcpus[0], 0, ALL, &mask));
	assert_int_equal(mask, 0xf);
	assert_true(sbi_harts(&vcpus[0], 0xdead, ALL, &mask) && mask == 0xf);
	assert_true(sbi_harts(&vcpus[0], 0x5, 0, &mask) && mask == 0x5);
	assert_true(sbi_harts(&vcpus[0], 0x3, 2, &mask) && mask == 0xc);
	assert_true(sbi_harts(&vcpus[0], 0, 1000, &mask));
	assert_int_equal(mask, 0);
	assert_false(sbi_harts(&vcpus[0], 0x10, 0, &mask));
	assert_false(sbi_harts(&vcpus[0], 0x4, 2, &mask));
	assert_false(sbi_harts(&vcpus[0], 1, 4, &mask));
	assert_false(sbi_harts(&vcpus[0], 1, 64, &mask));
	assert_false(sbi_harts(&vcpus[0], 1, 1UL << 63, &mask));
	assert_false(sbi_harts(&vcpus[0], ALL, ALL - 1, &mask));
	assert_false(sbi_harts(&vcpus[0], ALL, 0, &mask));
	vm.n_vcpus = VM_MAX_VCPUS;
	assert_true(sbi_harts(&vcpus[0], 0, ALL, &mask));
	assert_int_equal(mask, 0xff);
	assert_true(sbi_harts(&vcpus[0], 0x1, 7, &mask));
	assert_int_equal(mask, 0x80);
	vm.n_vcpus = N_VCPUS;
}

static void test_time(void **state)
{
	(void)state;
	assert_int_equal(CALL(TIME, 0, 123456789012345UL), 0);
	assert_int_equal(did.timer, 123456789012345UL);
	assert_int_equal(CALL(TIME, 0, ALL), 0);
	assert_int_equal(did.timer, ALL);
	assert_int_equal(CALL(TIME, 1, 5), SBI_ERR_NOT_SUPPORTED);
	assert_int_equal(did.timer, ALL);
}

static void test_ipi(void **state)
{
	(void)state;
	atomic_store(&vcpus[3].hsm, HSM_STOPPED);
	assert_int_equal(CALL(IPI, 0, 0x6, 0), 0);
	assert_int_equal(did.raised[0], 0);
	assert_int_equal(did.raised[1], HVIP_VSSIP);
	assert_int_equal(did.raised[2], HVIP_VSSIP);
	assert_int_equal(CALL(IPI, 0, 0, ALL), 0);
	assert_int_equal(did.raised[0], HVIP_VSSIP);
	assert_int_equal(did.raised[3], 0);
	assert_int_equal(CALL(IPI, 0, 0x10, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(IPI, 0, 1, 64), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(IPI, 1, 1, 0), SBI_ERR_NOT_SUPPORTED);
}

static void test_rfence_ranges(void **state)
{
	static const struct {
		u64 start, size, fence_start, fence_len;
	} ranges[] = {
		{ 0, 0, 0, ALL },
		{ 0, ALL, 0, ALL },
		{ 0x5000, ALL, 0, ALL },
		{ 0x1000, 0x1000, 0x1000, 0x1000 },
		{ 0x1fff, 2, 0x1000, 0x2000 },
		{ 0xffffffffffffe000, 0x2000, 0, ALL },
		{ 0xffffffffffffe000, 0x3000, 0, ALL },
		{ 0xffffffffffffd000, 0x1000, 0xffffffffffffd000, 0x1000 },
		{ ALL, 1, 0, ALL },
		{ ALL, 2, 0, ALL },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_LEN(ranges); i++) {
		assert_int_equal(CALL(RFENCE, 1, 0x2, 0, ranges[i].start, ranges[i].size), 0);
		assert_int_equal(did.n_fences[1], i + 1);
		assert_int_equal(did.fence[1].start.v, ranges[i].fence_start);
		assert_int_equal(did.fence[1].len, ranges[i].fence_len);
		assert_false(did.fence[1].has_asid);
	}
	/* Nothing to fence: no target is bothered. */
	assert_int_equal(CALL(RFENCE, 1, 0x2, 0, 0x1000, 0), 0);
	assert_int_equal(did.n_fences[1], ARRAY_LEN(ranges));
}

static void test_rfence(void **state)
{
	(void)state;
	assert_int_equal(CALL(RFENCE, 2, 0, ALL, 0x4000, 0x1000, 0xab0123), 0);
	for (u32 i = 0; i < N_VCPUS; i++) {
		assert_int_equal(did.n_fences[i], 1);
		assert_true(did.fence[i].has_asid);
		assert_int_equal(did.fence[i].asid, 0x0123);
	}
	assert_int_equal(CALL(RFENCE, 0, 0x8, 0), 0);
	assert_int_equal(did.posted[3], VREQ_FENCE | VREQ_FENCE_I);
	assert_int_equal(did.posted[2], VREQ_FENCE);
	assert_int_equal(CALL(RFENCE, 1, 0x10, 0, 0, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(RFENCE, 0, 1, 65), SBI_ERR_INVALID_PARAM);
	for (u64 fid = 3; fid < 8; fid++)
		assert_int_equal(CALL(RFENCE, fid, 0x1, 0, 0, 0), SBI_ERR_NOT_SUPPORTED);
}

/* Siblings in the guest leave it when they are kicked; one outside with the request still
 * unserved is not waited for, or this would never return. */
static void test_rfence_waits(void **state)
{
	(void)state;
	atomic_store(&vcpus[1].in_guest, true);
	atomic_store(&vcpus[2].in_guest, false);
	atomic_store(&vcpus[0].in_guest, true); /* the caller itself: never waited for */
	assert_int_equal(CALL(RFENCE, 1, 0x7, 0, 0, ALL), 0);
	assert_false(atomic_load(&vcpus[1].in_guest));
	assert_true(atomic_load(&vcpus[2].requests) & VREQ_FENCE);
}

static void test_srst(void **state)
{
	(void)state;
	assert_int_equal(CALL(SRST, 0, 3, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(SRST, 0, 0xf0000000, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(SRST, 0, 0, 2), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(SRST, 1, 0, 0), SBI_ERR_NOT_SUPPORTED);
	assert_null(did.off);
	CALL(SRST, 0, 0, 0);
	assert_string_equal(did.off, "shut down");
	assert_int_equal(vcpus[0].regs.sepc, 0x1000);
	CALL(SRST, 0, 1, 0);
	assert_string_equal(did.off, "reboot");
	CALL(SRST, 0, 2, 0);
	assert_string_equal(did.off, "reboot");
	CALL(SRST, 0, 0, 1);
	assert_string_equal(did.off, "system failure");
}

static void test_dbcn_write(void **state)
{
	static char text[10000];
	u64 value, sent = 0;

	(void)state;
	for (u32 i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	assert_int_equal(copy_to_guest(&vm.space, GPA(RAM_BASE + 77), text, sizeof(text)), ERR_OK);
	while (sent < sizeof(text)) {
		assert_int_equal(ecall_of(0, DBCN, 0,
		                          (u64[6]){ sizeof(text) - sent, RAM_BASE + 77 + sent },
		                          &value),
		                 0);
		assert_in_range(value, 1, 8192);
		sent += value;
	}
	assert_int_equal(did.n_out, sizeof(text));
	assert_memory_equal(did.out, text, sizeof(text));
}

static void test_dbcn_bounds(void **state)
{
	u64 value;

	(void)state;
	assert_int_equal(ecall_of(0, DBCN, 0, (u64[6]){ 0, RAM_BASE }, &value), 0);
	assert_int_equal(value, 0);
	/* The last byte of memory, and everything beyond it. */
	assert_int_equal(CALL(DBCN, 0, 1, RAM_BASE + RAM_LEN - 1, 0), 0);
	assert_int_equal(did.n_out, 1);
	assert_int_equal(CALL(DBCN, 0, 2, RAM_BASE + RAM_LEN - 1, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(DBCN, 0, 1UL << 40, RAM_BASE, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(DBCN, 0, ALL, RAM_BASE, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(DBCN, 0, ALL, 0, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(DBCN, 0, 16, ALL - 7, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(DBCN, 0, 16, 0x1000, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(DBCN, 0, 16, RAM_BASE, 1), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(DBCN, 1, 16, 0x1000, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(DBCN, 3, 0), SBI_ERR_NOT_SUPPORTED);
	assert_int_equal(did.n_out, 1);
	assert_int_equal(CALL(DBCN, 2, 0x141), 0);
	assert_int_equal(did.out[1], 'A');
}

static void test_dbcn_read(void **state)
{
	char text[8] = { 0 };
	u64 value;

	(void)state;
	assert_int_equal(ecall_of(0, DBCN, 1, (u64[6]){ 100, RAM_BASE }, &value), 0);
	assert_int_equal(value, 0);
	did.in = "hello";
	assert_int_equal(ecall_of(0, DBCN, 1, (u64[6]){ 3, RAM_BASE + 4094 }, &value), 0);
	assert_int_equal(value, 3);
	assert_int_equal(copy_from_guest(&vm.space, text, GPA(RAM_BASE + 4094), 4), ERR_OK);
	assert_string_equal(text, "hel");
	assert_int_equal(ecall_of(0, DBCN, 1, (u64[6]){ RAM_LEN, RAM_BASE }, &value), 0);
	assert_int_equal(value, 2);
	assert_int_equal(CALL(2, 0, 0), -1);
	did.in = "\xff";
	assert_int_equal(CALL(2, 0, 0), 0xff);
}

/* No frame for the page that a read goes to: it waits, or the bytes are there. */
static void test_dbcn_nomem(void **state)
{
	u32 n_failed = 0;

	(void)state;
	for (u32 n = 1; n < 8; n++) {
		u64 at = RAM_BASE + n * 0x10000;
		char text[8] = { 0 };
		long error;

		did.in = "hello";
		frame_fail_from(n);
		error = CALL(DBCN, 1, 5, at, 0);
		frame_fail_after(0);
		if (did.n_nomem > n_failed) {
			n_failed++; /* it waits, to repeat the call; nothing is lost */
			assert_int_equal(vcpus[0].regs.sepc, 0x1000);
			assert_string_equal(did.in, "hello");
			error = CALL(DBCN, 1, 5, at, 0);
		}
		assert_int_equal(error, SBI_SUCCESS);
		assert_int_equal(copy_from_guest(&vm.space, text, GPA(at), 5), ERR_OK);
		assert_string_equal(text, "hello");
	}
	assert_in_range(n_failed, 1, 6);
}

/* Any register content: no crash, and an answer that the spec knows. */
static void test_fuzz(void **state)
{
	static const u64 eids[] = { BASE, TIME, IPI, RFENCE, HSM, DBCN, SRST, 0, 1, 2, 8 };

	(void)state;
	fake_seed(1);
	for (u32 n = 0; n < 200000; n++) {
		u64 eid = eids[fake_random() % ARRAY_LEN(eids)], a[6], value;

		for (u32 i = 0; i < 6; i++) {
			u64 r = fake_random();

			a[i] = r & 1   ? fake_random() % 8
			       : r & 2 ? RAM_BASE + fake_random() % (2 * RAM_LEN)
			       : r & 4 ? ALL - fake_random() % 8
			               : fake_random();
		}
		did.n_out = 0;
		for (u32 i = 1; i < N_VCPUS; i++)
			if (atomic_load(&vcpus[i].hsm) == HSM_STOPPED)
				atomic_store(&vcpus[i].holds, HOLD_STOPPED);
		ecall_of(0, eid, fake_random() % 8, a, &value);
		atomic_store(&vcpus[0].hsm, HSM_STARTED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_convention),  TEST(test_probe),
		                            TEST(test_hart_masks),  TEST(test_time),
		                            TEST(test_ipi),         TEST(test_rfence_ranges),
		                            TEST(test_rfence),      TEST(test_rfence_waits),
		                            TEST(test_srst),        TEST(test_dbcn_write),
		                            TEST(test_dbcn_bounds), TEST(test_dbcn_read),
		                            TEST(test_dbcn_nomem),  TEST(test_fuzz) };

	return cmocka_run_group_tests(tests, machine_up, NULL);
}
