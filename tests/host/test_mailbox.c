/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mailbox: registers, parking and work, what a clone keeps, and random
 * accesses; the generator behind ENTROPY against the RFC's own example.
 */
#include "dev_fake.h"
#include "dev/mailbox.h"
#include "drv/rtc.h"
#include <stdlib.h>
#include <string.h>

#define MAILBOX     0x04000000UL
#define N_FUZZ      400000
#define TICKS_PER_S 10000000UL

extern u64 fake_time; /* the fake arch's clock */

static struct mailbox *mailbox(void)
{
	return device_state(&fake.vm, DEV_MAILBOX);
}

static void give_work(u32 len)
{
	mailbox_give_work(&fake.vm, len);
}

static void test_read_only_registers(void **state)
{
	(void)state;
	fake_vm(1);
	fake.vm.clone_id = 17;
	fake.vm.generation = 4711;
	assert_int_equal(fake_get(0, MAILBOX, 4), 0x444e4150);
	assert_int_equal(fake_get(0, MAILBOX + 0x04, 4), 2);
	assert_int_equal(fake_get(0, MAILBOX + 0x08, 4), 0);
	assert_int_equal(fake_get(0, MAILBOX + 0x0c, 4), 17);
	assert_int_equal(fake_get(0, MAILBOX + 0x10, 4), 4711);
	assert_int_equal(fake_get(0, MAILBOX + 0x18, 4), 0);
	assert_int_equal(fake_get(0, MAILBOX + 0x20, 4), 4 << 20);
	assert_int_equal(fake_get(0, MAILBOX + 0x00, 8), 0x2444e4150);
	assert_int_equal(fake_get(0, MAILBOX + 0x08, 8), 17UL << 32);
	fake.vm.window.len = 6UL << 32;
	assert_int_equal(fake_get(0, MAILBOX + 0x20, 8), 6UL << 32);
	for (u64 o = 0; o < MAILBOX_REGS_END; o += 4) {
		if (o != MAILBOX_REG_READY && o != MAILBOX_REG_DONE && o != MAILBOX_REG_STATUS &&
		    o != MAILBOX_REG_MARK)
			fake_put(0, MAILBOX + o, 4, 0xffffffff);
	}
	assert_int_equal(fake_get(0, MAILBOX, 4), 0x444e4150);
	assert_int_equal(fake.events, 0);
}

/* Leaves a pattern where the next call has its locals; without red zones, which would be left out. */
static __attribute__((noinline, no_sanitize_address)) void spoil_stack(void)
{
	volatile u64 words[256];

	for (u32 i = 0; i < ARRAY_LEN(words); i++)
		words[i] = 0xa5a5a5a5a5a5a5a5;
}

/* A load past all but the device's own code, so that the pattern is still there. */
static u64 load_over_pattern(u64 offset, u32 len)
{
	u64 value = UINT64_MAX;

	spoil_stack();
	assert_int_equal(mailbox_type.load(&fake.vcpus[0], mailbox(), offset, len, &value),
	                 MMIO_OK);
	return value;
}

/* What a load has no meaning for reads as zero, and not as what lay on Pando's stack. */
static void test_nothing_leaks(void **state)
{
	(void)state;
	fake_vm(1);
	assert_int_equal(load_over_pattern(MAILBOX_REG_READY, 4), 0);
	assert_int_equal(load_over_pattern(MAILBOX_REG_DONE, 4), 0);
	assert_int_equal(load_over_pattern(MAILBOX_REG_STATUS, 8), 0);
	assert_int_equal(load_over_pattern(MAILBOX_REG_CLOCK_NS, 8), 0);
	assert_int_equal(load_over_pattern(MAILBOX_REG_CLOCK_NS + 4, 4), 0);
}

static void test_ready(void **state)
{
	(void)state;
	fake_vm(2);
	fake_put(0, MAILBOX + 0x08, 4, 1);
	assert_int_equal(fake.events, VM_EV_READY);
	assert_true(fake.vm.stats.ready != 0);
	assert_int_equal(fake.vcpus[0].holds, 0);
	fake.vm.hold_at_ready = true;
	fake_put(0, MAILBOX + 0x08, 8, 1);
	assert_int_equal(fake.vcpus[0].holds, HOLD_READY);
	assert_int_equal(fake.vcpus[1].holds, 0);
	/* A clone goes on. */
	fake.vcpus[0].holds = 0;
	fake.vm.template = &fake.vm;
	fake_put(0, MAILBOX + 0x08, 4, 1);
	assert_int_equal(fake.vcpus[0].holds, 0);
}

static void test_next_parks_until_work(void **state)
{
	u64 value = 0;

	(void)state;
	fake_vm(2);
	assert_int_equal(fake_load(0, MAILBOX + 0x14, 4, &value), MMIO_WAIT);
	assert_int_equal(fake_load(1, MAILBOX + 0x10, 8, &value), MMIO_WAIT);
	assert_true(fake.vcpus[0].holds == HOLD_WORK && fake.vcpus[1].holds == HOLD_WORK);
	give_work(99);
	assert_true(fake.vcpus[0].holds == 0 && fake.vcpus[1].holds == 0);
	/* One of the two wins, the other waits again. */
	assert_int_equal(fake_get(1, MAILBOX + 0x10, 8), 99UL << 32);
	assert_int_equal(fake_load(0, MAILBOX + 0x14, 4, &value), MMIO_WAIT);
	assert_int_equal(fake.vcpus[0].holds, HOLD_WORK);
	/* Work that is there already: no wait.  An empty payload is work too. */
	give_work(0);
	assert_int_equal(fake.vcpus[0].holds, 0);
	assert_int_equal(fake_get(0, MAILBOX + 0x14, 4), 0);
	assert_int_equal(fake_load(0, MAILBOX + 0x14, 4, &value), MMIO_WAIT);
}

static void test_done(void **state)
{
	(void)state;
	fake_vm(1);
	fake_put(0, MAILBOX + 0x18, 4, 64);
	assert_int_equal(fake.vm.result_len, 64);
	assert_int_equal(fake.events, VM_EV_DONE);
	assert_true(fake.vm.stats.done != 0);
	fake.events = 0;
	assert_int_equal(fake_store(0, MAILBOX + 0x18, 4, (4 << 20) + 1), MMIO_FAULT);
	assert_int_equal(fake_store(0, MAILBOX + 0x18, 8, 0xffffffff), MMIO_FAULT);
	assert_int_equal(fake.vm.result_len, 64);
	assert_int_equal(fake.events, 0);
	fake_put(0, MAILBOX + 0x18, 8, 4 << 20);
	assert_int_equal(fake.vm.result_len, 4 << 20);
}

static void test_status(void **state)
{
	(void)state;
	fake_vm(1);
	for (u32 status = 0; status < RESULT_N_STATUSES; status++) {
		fake_put(0, MAILBOX + 0x28, 4, status);
		fake_put(0, MAILBOX + 0x18, 4, 1);
		assert_int_equal(fake.vm.result_status, status);
		/* For one DONE only. */
		fake_put(0, MAILBOX + 0x18, 4, 1);
		assert_int_equal(fake.vm.result_status, RESULT_ANSWER);
	}
	fake_put(0, MAILBOX + 0x28, 4, RESULT_CRASHED);
	assert_int_equal(fake_store(0, MAILBOX + 0x28, 4, RESULT_N_STATUSES), MMIO_FAULT);
	/* A DONE that is none leaves it as it is. */
	assert_int_equal(fake_store(0, MAILBOX + 0x18, 4, (4 << 20) + 1), MMIO_FAULT);
	fake_put(0, MAILBOX + 0x18, 4, 1);
	assert_int_equal(fake.vm.result_status, RESULT_CRASHED);
}

static void test_marks(void **state)
{
	const struct time_cost *mark = fake.vm.stats.mark;
	u64 start;

	(void)state;
	fake_vm(1);
	fake_put(0, MAILBOX + 0x2c, 4, 1);
	start = mark[0].ticks;
	assert_true(start != 0 && mark[1].ticks == 0);
	fake_put(0, MAILBOX + 0x2c, 4, 2);
	assert_true(mark[0].ticks == start && mark[1].ticks != 0);
	for (u32 bad = 0; bad < 4; bad += 3) {
		assert_int_equal(fake_store(0, MAILBOX + 0x2c, 4, bad), MMIO_FAULT);
		/* A pair is stored whole or not at all. */
		assert_int_equal(fake_store(0, MAILBOX + 0x28, 8, (u64)bad << 32 | 2), MMIO_FAULT);
	}
	assert_int_equal(fake_store(0, MAILBOX + 0x28, 8, 1UL << 32 | 4), MMIO_FAULT);
	assert_true(mark[0].ticks == start);
	fake_put(0, MAILBOX + 0x18, 4, 0);
	assert_int_equal(fake.vm.result_status, RESULT_ANSWER);
	fake_put(0, MAILBOX + 0x28, 8, 2UL << 32 | RESULT_FAILED);
	fake_put(0, MAILBOX + 0x18, 4, 0);
	assert_int_equal(fake.vm.result_status, RESULT_FAILED);
}

/* 2^32 + 5 s and 7 ns after 1970: more than one register holds. */
#define WALL_NS ((0x100000005UL * 1000000000UL) + 7)

static void test_clock(void **state)
{
	static u32 rtc[2] = { (u32)WALL_NS, (u32)(WALL_NS >> 32) };

	(void)state;
	fake_vm(1);
	assert_int_equal(fake_get(0, MAILBOX + 0x30, 8), 0);
	assert_int_equal(fake_get(0, MAILBOX + 0x38, 4), 0);
	rtc_init(HPA((u64)rtc));
	fake_time += TICKS_PER_S * 3 / 2; /* 1.5 s */
	assert_int_equal(fake_get(0, MAILBOX + 0x30, 8), 0x100000006);
	fake_time += TICKS_PER_S;
	assert_int_equal(fake_get(0, MAILBOX + 0x34, 4), 1);
	assert_int_equal(fake_get(0, MAILBOX + 0x38, 8), 500000007);
	assert_int_equal(fake_get(0, MAILBOX + 0x30, 4), 7);
	/* The machine's clock is not looked at again. */
	rtc[1] = 0;
	assert_int_equal(fake_get(0, MAILBOX + 0x30, 8), 0x100000007);
	assert_int_equal(fake_get(0, MAILBOX + 0x3c, 4), 0);
	/* A clone has latched nothing. */
	mailbox_type.cloned(&fake.vm, mailbox());
	assert_int_equal(fake_get(0, MAILBOX + 0x34, 4), 0);
}

static void test_clone(void **state)
{
	struct mailbox frozen;
	u32 random[2][40];
	u64 value;

	(void)state;
	fake_vm(1);
	/* Frozen with work not yet taken and random words not yet given away. */
	(void)fake_get(0, MAILBOX + 0x1c, 4);
	give_work(5);
	frozen = *mailbox();
	for (u32 round = 0; round < 2; round++) {
		*mailbox() = frozen;
		mailbox_type.cloned(&fake.vm, mailbox());
		assert_int_equal(fake_load(0, MAILBOX + 0x14, 4, &value), MMIO_WAIT);
		for (u32 i = 0; i < 40; i++)
			random[round][i] = (u32)fake_get(0, MAILBOX + 0x1c, 4);
	}
	for (u32 i = 0; i < 40; i++) {
		for (u32 j = 0; j < 40; j++)
			assert_int_not_equal(random[0][i], random[1][j]);
		for (u32 j = 0; j < i; j++)
			assert_int_not_equal(random[0][i], random[0][j]);
	}
	/* A template takes no work. */
	mailbox_type.init(&fake.vm, mailbox());
	fake.vm.state = VM_TEMPLATE;
	give_work(5);
	assert_false(mailbox()->has_work);
}

static void test_spent_words_are_gone(void **state)
{
	(void)state;
	fake_vm(1);
	for (u32 i = 0; i < 100; i++) {
		u32 word = (u32)fake_get(0, MAILBOX + 0x1c, 4);

		for (u32 j = 0; j < ENTROPY_BLOCK_WORDS; j++)
			assert_int_not_equal(mailbox()->random[j], word);
	}
}

/* Blocks that were made ahead and blocks that were not: no two are the same, and none stays behind. */
static void test_stock(void **state)
{
	static u32 block[3 * ENTROPY_STOCK][ENTROPY_BLOCK_WORDS];
	u32 n = 0;

	(void)state;
	for (u32 round = 0; round < 2; round++) {
		u32 n_made = 0;

		while (entropy_make_ready())
			n_made++;
		assert_int_equal(n_made, round == 0 ? ENTROPY_STOCK : 5);
		for (u32 i = 0; i < (round == 0 ? 5 : ENTROPY_STOCK + 5); i++)
			entropy_block(block[n++]);
	}
	for (u32 i = 0; i < n; i++)
		for (u32 k = 0; k < i; k++)
			for (u32 w = 0; w < ENTROPY_BLOCK_WORDS; w++)
				assert_int_not_equal(block[i][w], block[k][w]);
}

/* RFC 8439, section 2.3.2. */
static void test_chacha20(void **state)
{
	static const u32 in[] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574,
		                  0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c,
		                  0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c,
		                  0x00000001, 0x09000000, 0x4a000000, 0x00000000 };
	static const u32 expected[] = { 0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3,
		                        0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3,
		                        0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
		                        0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2 };
	u32 out[ENTROPY_BLOCK_WORDS];

	(void)state;
	entropy_chacha20(in, out);
	assert_memory_equal(out, expected, sizeof(out));
}

/* May `value` be stored at `o`, where there is a register? */
static bool is_known(u64 o, u32 len, u64 value)
{
	u32 low = (u32)value, mark = o == MAILBOX_REG_MARK ? low : (u32)(value >> 32);

	if (o == MAILBOX_REG_DONE && low > 4 << 20)
		return false;
	if (o == MAILBOX_REG_STATUS && low > 3)
		return false;
	if (o == MAILBOX_REG_MARK || (o == MAILBOX_REG_STATUS && len == 8))
		return mark == 1 || mark == 2;
	return true;
}

static void test_fuzz(void **state)
{
	(void)state;
	fake_seed();
	fake_vm(4);
	for (u32 i = 0; i < N_FUZZ; i++) {
		u64 r = fake_random(),
		    value = fake_random() & ((r & 0x40) != 0 ? ~0UL : 0x700000007);
		u32 len = 1U << (r & 3), id = r >> 2 & 3;
		u64 o = (r & 0x10) != 0 ? r >> 8 & 0x3f : (r >> 8) % (0x1000 - 8);
		bool fits = len >= 4 && o % len == 0 && o + len <= MAILBOX_REGS_END;
		enum mmio m;

		fake.vcpus[id].holds = 0;
		if ((r & 0x20) != 0) {
			m = fake_store(id, MAILBOX + o, len, value);
			assert_int_equal(m, fits && is_known(o, len, value) ? MMIO_OK : MMIO_FAULT);
		} else {
			bool waits = o + len == MAILBOX_REG_NEXT + 4 && !mailbox()->has_work;

			m = fake_load(id, MAILBOX + o, len, &value);
			assert_int_equal(m, !fits ? MMIO_FAULT : waits ? MMIO_WAIT : MMIO_OK);
			assert_int_equal(fake.vcpus[id].holds, m == MMIO_WAIT ? HOLD_WORK : 0);
		}
		assert_true(fake.vm.result_len <= fake.vm.window.len);
		if (r >> 61 == 0)
			give_work((u32)value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_only_registers),
		cmocka_unit_test(test_nothing_leaks),
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_next_parks_until_work),
		cmocka_unit_test(test_done),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_clone),
		cmocka_unit_test(test_spent_words_are_gone),
		cmocka_unit_test(test_stock),
		cmocka_unit_test(test_chacha20),
		cmocka_unit_test(test_fuzz),
	};

	fake_time = 1; /* 0 means never */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
