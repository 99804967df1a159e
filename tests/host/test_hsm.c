/* SPDX-License-Identifier: BSD-2-Clause */
/* vCPUs that start, stop and suspend: hyp/sbi/hsm.c. */
#include "sbi_fake.h"

static void test_hsm_start(void **state)
{
	struct vcpu *t = &vcpus[2];

	(void)state;
	atomic_store(&t->hsm, HSM_STOPPED);
	atomic_store(&t->holds, HOLD_STOPPED | HOLD_PAUSED);
	assert_int_equal(CALL(HSM, 0, 4, RAM_BASE, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(HSM, 0, ALL, RAM_BASE, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(HSM, 0, 1UL << 32 | 2, RAM_BASE, 0), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(HSM, 0, 0, RAM_BASE, 0), SBI_ERR_ALREADY_AVAILABLE);
	assert_int_equal(CALL(HSM, 0, 1, RAM_BASE, 0), SBI_ERR_ALREADY_AVAILABLE);
	assert_int_equal(CALL(HSM, 0, 2, 0x1000, 0), SBI_ERR_INVALID_ADDRESS);
	assert_int_equal(CALL(HSM, 0, 2, RAM_BASE - 2, 0), SBI_ERR_INVALID_ADDRESS);
	assert_int_equal(CALL(HSM, 0, 2, RAM_BASE + 1, 0), SBI_ERR_INVALID_ADDRESS);
	assert_int_equal(CALL(HSM, 0, 2, RAM_BASE + RAM_LEN, 0), SBI_ERR_INVALID_ADDRESS);
	assert_int_equal(CALL(HSM, 0, 2, ALL, 0), SBI_ERR_INVALID_ADDRESS);
	assert_int_equal(atomic_load(&t->hsm), HSM_STOPPED);
	assert_int_equal(did.n_waits, 0);

	assert_int_equal(CALL(HSM, 0, 2, RAM_BASE + RAM_LEN - 2, 0x77), 0);
	assert_int_equal(atomic_load(&t->hsm), HSM_STARTED);
	assert_int_equal(atomic_load(&t->holds), HOLD_PAUSED);
	assert_int_equal(did.n_waits, 1);
	assert_int_equal(t->regs.sepc, RAM_BASE + RAM_LEN - 2);
	assert_int_equal(t->regs.x[A0], 2);
	assert_int_equal(t->regs.x[A1], 0x77);
	assert_int_equal(CALL(HSM, 0, 2, RAM_BASE, 0), SBI_ERR_ALREADY_AVAILABLE);
}

/* While one starter waits for the target to leave its hart, another one comes. */
static void second_starter(struct vcpu *v)
{
	did.during_wait = NULL;
	assert_int_equal(ecall_of(1, HSM, 0, (u64[6]){ v->id, RAM_BASE + 0x100, 1 }, NULL),
	                 SBI_ERR_ALREADY_AVAILABLE);
	assert_int_equal(ecall_of(1, HSM, 2, (u64[6]){ v->id }, NULL), 0);
	assert_int_equal(vcpus[1].regs.x[A1], HSM_START_PENDING);
}

static void test_hsm_start_race(void **state)
{
	(void)state;
	atomic_store(&vcpus[3].hsm, HSM_STOPPED);
	atomic_store(&vcpus[3].holds, HOLD_STOPPED);
	did.during_wait = second_starter;
	assert_int_equal(CALL(HSM, 0, 3, RAM_BASE, 0), 0);
	assert_int_equal(vcpus[3].regs.sepc, RAM_BASE);
	assert_int_equal(did.n_waits, 1);
}

static void test_hsm_stop(void **state)
{
	(void)state;
	for (u32 i = 0; i < N_VCPUS; i++) {
		assert_null(did.off);
		ecall_of(i, HSM, 1, (u64[6]){ 0 }, NULL);
		assert_int_equal(atomic_load(&vcpus[i].hsm), HSM_STOPPED);
		assert_int_equal(atomic_load(&vcpus[i].holds), HOLD_STOPPED);
		assert_int_equal(vcpus[i].regs.sepc, 0x1000); /* it does not return */
		assert_int_equal(did.timer, ALL);
		/* Time may have to stand still now. */
		assert_int_equal(did.n_time_waits, i + 1);
	}
	assert_non_null(did.off);
}

static void test_hsm_status(void **state)
{
	u64 value;

	(void)state;
	for (u32 hsm = HSM_STARTED; hsm <= HSM_SUSPENDED; hsm++) {
		atomic_store(&vcpus[1].hsm, hsm);
		assert_int_equal(ecall_of(0, HSM, 2, (u64[6]){ 1 }, &value), 0);
		assert_int_equal(value, hsm);
	}
	assert_int_equal(CALL(HSM, 2, N_VCPUS), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(HSM, 2, ALL), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(HSM, 4, 0), SBI_ERR_NOT_SUPPORTED);
}

static void test_hsm_suspend(void **state)
{
	struct vcpu *v = &vcpus[0];

	(void)state;
	assert_int_equal(CALL(HSM, 3, 0x00000001), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(HSM, 3, 0x0fffffff), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(HSM, 3, 0x10000000), SBI_ERR_NOT_SUPPORTED);
	assert_int_equal(CALL(HSM, 3, 0x7fffffff), SBI_ERR_NOT_SUPPORTED);
	assert_int_equal(CALL(HSM, 3, 0x80000001), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(HSM, 3, 0x8fffffff), SBI_ERR_INVALID_PARAM);
	assert_int_equal(CALL(HSM, 3, 0x90000000), SBI_ERR_NOT_SUPPORTED);
	assert_int_equal(CALL(HSM, 3, 0xffffffff), SBI_ERR_NOT_SUPPORTED);
	assert_int_equal(CALL(HSM, 3, 0x80000000, 0x1000), SBI_ERR_INVALID_ADDRESS);
	assert_false(v->in_wfi);
	assert_int_equal(atomic_load(&v->hsm), HSM_STARTED);

	assert_int_equal(CALL(HSM, 3, 1UL << 63), 0); /* the type is 32 bits wide: retentive */
	assert_true(v->in_wfi);
	assert_int_equal(v->regs.sepc, 0x1004);
	assert_int_equal(atomic_load(&v->hsm), HSM_SUSPENDED);

	v->in_wfi = false;
	csr_write(vsatp, 8UL << 60 | 1);
	csr_write(vsstatus, SSTATUS_SIE | SSTATUS_SPIE);
	CALL(HSM, 3, 0x80000000, RAM_BASE + 0x40, 99);
	assert_true(v->in_wfi);
	assert_int_equal(v->regs.sepc, RAM_BASE + 0x40);
	assert_int_equal(v->regs.x[A0], 0);
	assert_int_equal(v->regs.x[A1], 99);
	assert_int_equal(csr_read(vsatp), 0);
	assert_int_equal(csr_read(vsstatus), SSTATUS_SPIE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_hsm_start), TEST(test_hsm_start_race),
		                            TEST(test_hsm_stop), TEST(test_hsm_status),
		                            TEST(test_hsm_suspend) };

	return cmocka_run_group_tests(tests, machine_up, NULL);
}
