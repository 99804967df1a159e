/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's PLIC: the specification's rules one by one, then random accesses
 * against a model that keeps one plain struct per source and recomputes all.
 */
#include "dev_fake.h"
#include "dev/plic.h"
#include "dev/vmgenid.h"
#include <stdlib.h>
#include <string.h>

#define PLIC           0x0c000000UL
#define PRIORITY(i)    (PLIC + 4UL * (i))
#define PENDING(w)     (PLIC + 0x1000UL + 4UL * (w))
#define ENABLE(ctx, w) (PLIC + 0x2000UL + 0x80UL * (ctx) + 4UL * (w))
#define THRESHOLD(ctx) (PLIC + 0x200000UL + 0x1000UL * (ctx))
#define CLAIM(ctx)     (THRESHOLD(ctx) + 4)
#define N_FUZZ         400000

static void set_line(u32 irq, bool high)
{
	lock_acquire(&fake.vm.dev_lock);
	plic_set_line(&fake.vm, irq, high);
	lock_release(&fake.vm.dev_lock);
}

static void enable(u32 vcpu, u32 irq, u32 priority)
{
	u64 e = ENABLE(2 * vcpu + 1, irq / 32);

	fake_put(0, e, 4, fake_get(0, e, 4) | 1U << irq % 32);
	fake_put(0, PRIORITY(irq), 4, priority);
}

static void test_level_and_gateway(void **state)
{
	(void)state;
	fake_vm(1);
	enable(0, 10, 1);
	set_line(10, true);
	assert_int_equal(fake.posted[0], VREQ_EXT);
	assert_true(plic_ext_pending(&fake.vm, 0));
	assert_int_equal(fake_get(0, PENDING(0), 4), 1 << 10);
	assert_int_equal(fake_get(0, CLAIM(1), 4), 10);
	assert_false(plic_ext_pending(&fake.vm, 0));
	assert_int_equal(fake_get(0, PENDING(0), 4), 0);
	/* Claimed: neither a second claim nor a new edge gets anything. */
	assert_int_equal(fake_get(0, CLAIM(1), 4), 0);
	set_line(10, false);
	set_line(10, true);
	assert_false(plic_ext_pending(&fake.vm, 0));
	/* Still high at completion: pending again. */
	fake_put(0, CLAIM(1), 4, 10);
	assert_true(plic_ext_pending(&fake.vm, 0));
	assert_int_equal(fake_get(0, CLAIM(1), 4), 10);
	set_line(10, false);
	fake_put(0, CLAIM(1), 4, 10);
	assert_false(plic_ext_pending(&fake.vm, 0));
}

static void test_request_outlives_line(void **state)
{
	(void)state;
	fake_vm(1);
	enable(0, 95, 7);
	set_line(95, true);
	set_line(95, false);
	assert_true(plic_ext_pending(&fake.vm, 0));
	assert_int_equal(fake_get(0, CLAIM(1), 4), 95);
	fake_put(0, CLAIM(1), 4, 95);
	assert_false(plic_ext_pending(&fake.vm, 0));
}

static void test_priorities(void **state)
{
	(void)state;
	fake_vm(1);
	enable(0, 95, 3);
	enable(0, 33, 3);
	enable(0, 5, 2);
	enable(0, 6, 0);
	set_line(5, true);
	set_line(6, true);
	set_line(95, true);
	set_line(33, true);
	assert_int_equal(fake_get(0, CLAIM(1), 4), 33);
	assert_int_equal(fake_get(0, CLAIM(1), 4), 95);
	/* The threshold masks the notice, not the claim. */
	fake_put(0, THRESHOLD(1), 4, 2);
	assert_false(plic_ext_pending(&fake.vm, 0));
	assert_int_equal(fake_get(0, CLAIM(1), 4), 5);
	/* Priority 0 never interrupts. */
	fake_put(0, THRESHOLD(1), 4, 0);
	assert_int_equal(fake_get(0, CLAIM(1), 4), 0);
	fake_put(0, PRIORITY(6), 4, 0xffffffff);
	assert_int_equal(fake_get(0, PRIORITY(6), 4), 7);
	assert_true(plic_ext_pending(&fake.vm, 0));
}

static void test_completion_needs_enable(void **state)
{
	(void)state;
	fake_vm(2);
	enable(0, 10, 1);
	set_line(10, true);
	assert_int_equal(fake_get(0, CLAIM(1), 4), 10);
	fake_put(1, CLAIM(3), 4, 10); /* the other vCPU has not enabled it */
	assert_int_equal(fake_get(0, PENDING(0), 4), 0);
	fake_put(0, ENABLE(1, 0), 4, 0);
	fake_put(0, CLAIM(1), 4, 10);
	assert_int_equal(fake_get(0, PENDING(0), 4), 0);
	fake_put(0, CLAIM(1), 4, 0xffffffff);
	fake_put(0, CLAIM(1), 4, 96);
	fake_put(0, CLAIM(1), 4, 0);
	enable(0, 10, 1);
	fake_put(0, CLAIM(1), 4, 10);
	assert_int_equal(fake_get(0, PENDING(0), 4), 1 << 10);
}

static void test_contexts(void **state)
{
	(void)state;
	fake_vm(2);
	/* M-mode contexts and absent vCPUs take nothing. */
	for (u32 ctx = 0; ctx < 64; ctx++) {
		bool real = ctx == 1 || ctx == 3;

		fake_put(0, ENABLE(ctx, 0), 4, 0xffffffff);
		fake_put(0, THRESHOLD(ctx), 4, 5);
		assert_int_equal(fake_get(0, ENABLE(ctx, 0), 4), real ? 0xfffffffe : 0);
		assert_int_equal(fake_get(0, THRESHOLD(ctx), 4), real ? 5 : 0);
		fake_put(0, THRESHOLD(ctx), 4, 0);
	}
	/* One source, two takers: both are told, one gets it, the other is told off. */
	fake_put(0, PRIORITY(1), 4, 1);
	memset(fake.posted, 0, sizeof(fake.posted));
	set_line(1, true);
	assert_int_equal(fake.posted[0] & fake.posted[1], VREQ_EXT);
	memset(fake.posted, 0, sizeof(fake.posted));
	assert_int_equal(fake_get(1, CLAIM(3), 4), 1);
	assert_int_equal(fake.posted[0] & fake.posted[1], VREQ_EXT);
	assert_int_equal(fake_get(0, CLAIM(1), 4), 0);
	assert_false(plic_ext_pending(&fake.vm, 0) || plic_ext_pending(&fake.vm, 1));
}

static void test_widths(void **state)
{
	static const u32 lens[] = { 1, 2, 8 };
	u64 value;

	(void)state;
	fake_vm(1);
	for (u32 i = 0; i < ARRAY_LEN(lens); i++) {
		assert_int_equal(fake_load(0, CLAIM(1), lens[i], &value), MMIO_FAULT);
		assert_int_equal(fake_store(0, CLAIM(1), lens[i], 0), MMIO_FAULT);
	}
	for (u64 o = 1; o < 4; o++)
		assert_int_equal(fake_load(0, PRIORITY(1) + o, 4, &value), MMIO_FAULT);
	assert_int_equal(fake_get(0, PRIORITY(0), 4), 0);
	fake_put(0, PRIORITY(0), 4, 7);
	assert_int_equal(fake_get(0, PRIORITY(0), 4), 0);
	fake_put(0, PRIORITY(96), 4, 7);
	assert_int_equal(fake_get(0, PRIORITY(96), 4), 0);
	fake_put(0, PENDING(0), 4, 0xffffffff);
	assert_int_equal(fake_get(0, PENDING(0), 4), 0);
	assert_int_equal(fake_get(0, PLIC + 0x5ffffc, 4), 0);
}

/* The model: every rule spelled out per source, nothing remembered but inputs. */
static struct model {
	struct {
		u32 priority;
		bool level, pending, claimed, enabled[VM_MAX_VCPUS];
	} source[96];
	u32 threshold[VM_MAX_VCPUS], n;
} model;

static u32 model_best(u32 vcpu, u32 floor)
{
	u32 best = 0;

	for (u32 i = 95; i > 0; i--) {
		if (model.source[i].pending && model.source[i].enabled[vcpu] &&
		    model.source[i].priority > floor &&
		    (best == 0 || model.source[i].priority >= model.source[best].priority))
			best = i;
	}
	return best;
}

static void model_gateway(u32 i)
{
	if (model.source[i].level && !model.source[i].claimed)
		model.source[i].pending = true;
}

static u32 model_word(u32 w, u32 vcpu, bool pending)
{
	u32 word = 0;

	for (u32 i = 0; i < 32 && w < 3; i++) {
		if (pending ? model.source[w * 32 + i].pending
		            : model.source[w * 32 + i].enabled[vcpu])
			word |= 1U << i;
	}
	return word;
}

static u32 model_load(u32 o)
{
	u32 ctx = o >= 0x200000 ? (o - 0x200000) / 0x1000 : (o - 0x2000) / 0x80;
	bool real = o >= 0x2000 && ctx % 2 == 1 && ctx / 2 < model.n;
	u32 i;

	if (o < 0x1000)
		return o / 4 < 96 ? model.source[o / 4].priority : 0;
	if (o < 0x2000)
		return model_word((o - 0x1000) / 4, 0, true);
	if (!real)
		return 0;
	if (o < 0x200000)
		return model_word(o % 0x80 / 4, ctx / 2, false);
	if (o % 0x1000 == 0)
		return model.threshold[ctx / 2];
	if (o % 0x1000 != 4)
		return 0;
	i = model_best(ctx / 2, 0);
	model.source[i].pending = false;
	model.source[i].claimed = i != 0;
	if (i == VMGENID_IRQ)
		model.source[i].level = false;
	return i;
}

static void model_store(u32 o, u32 value)
{
	u32 ctx = o >= 0x200000 ? (o - 0x200000) / 0x1000 : (o - 0x2000) / 0x80;
	bool real = o >= 0x2000 && ctx % 2 == 1 && ctx / 2 < model.n;

	if (o < 0x1000 && o / 4 > 0 && o / 4 < 96)
		model.source[o / 4].priority = value % 8;
	if (!real)
		return;
	if (o < 0x200000) {
		u32 first = o % 0x80 * 8;

		for (u32 i = 0; i < 32 && first < 96; i++)
			model.source[first + i].enabled[ctx / 2] =
				first + i != 0 && (value >> i & 1) != 0;
	} else if (o % 0x1000 == 0) {
		model.threshold[ctx / 2] = value % 8;
	} else if (o % 0x1000 == 4 && value < 96 && model.source[value].enabled[ctx / 2]) {
		model.source[value].claimed = false;
		model_gateway(value);
	}
}

/* Mostly registers that exist, now and then anything at all. */
static u32 random_offset(void)
{
	u32 r = (u32)fake_random(), ctx = r >> 8 & 7;

	switch (r & 7) {
	case 0: return (u32)(fake_random() % 0x600000) & ~3U;
	case 1:
	case 2: return (r >> 8) % 100 * 4;
	case 3: return 0x1000 + (r >> 8) % 5 * 4;
	case 4: return 0x2000 + ctx * 0x80 + (r >> 16) % 5 * 4;
	case 5: return 0x200000 + ctx * 0x1000;
	default: return 0x200000 + ctx * 0x1000 + 4;
	}
}

static void fuzz_pulse(void)
{
	u32 lines = 0;
	bool is_enabled = false;

	for (u32 c = 0; c < model.n; c++) {
		if (!model.source[VMGENID_IRQ].enabled[c])
			continue;
		is_enabled = true;
		if (model.source[VMGENID_IRQ].priority > model.threshold[c])
			lines |= 1U << c;
	}
	assert_int_equal(plic_pulse(&fake.vm, VMGENID_IRQ), lines);
	model.source[VMGENID_IRQ].level |= is_enabled;
	model_gateway(VMGENID_IRQ);
	for (u32 c = 0; c < model.n; c++)
		fake.posted[c] |= atomic_exchange(&fake.vcpus[c].requests, 0);
}

static void fuzz_step(void)
{
	u32 r = (u32)fake_random(), o = random_offset();
	u32 value = (r & 0x100) != 0 ? (u32)fake_random() : (u32)fake_random() % 98;

	if (r % 32 == 0) {
		fuzz_pulse();
	} else if (r % 4 == 0) {
		u32 irq = 1 + value % 95;

		model.source[irq].level = (r & 0x1000) != 0;
		set_line(irq, model.source[irq].level);
		model_gateway(irq);
	} else if (r % 4 == 1) {
		model_store(o, value);
		fake_put(0, PLIC + o, 4, value);
	} else {
		assert_int_equal(model_load(o), fake_get(0, PLIC + o, 4));
	}
	for (u32 i = 0; i < model.n; i++)
		assert_int_equal(plic_ext_pending(&fake.vm, i),
		                 model_best(i, model.threshold[i]) != 0);
}

static void test_fuzz(void **state)
{
	(void)state;
	fake_seed();
	for (u32 n = 1; n <= VM_MAX_VCPUS; n++) {
		bool told[VM_MAX_VCPUS] = { false };

		fake_vm(n);
		memset(&model, 0, sizeof(model));
		model.n = n;
		for (u32 i = 0; i < N_FUZZ / VM_MAX_VCPUS; i++) {
			memset(fake.posted, 0, sizeof(fake.posted));
			fuzz_step();
			/* A vCPU is told exactly when its line has changed. */
			for (u32 c = 0; c < n; c++) {
				assert_int_equal(fake.posted[c] == VREQ_EXT,
				                 told[c] != plic_ext_pending(&fake.vm, c));
				told[c] = plic_ext_pending(&fake.vm, c);
			}
		}
	}
}

/* Any offset, width and value: no crash, and only aligned words are served. */
static void test_fuzz_widths(void **state)
{
	(void)state;
	fake_seed();
	fake_vm(3);
	for (u32 i = 0; i < N_FUZZ; i++) {
		u32 len = 1U << (fake_random() & 3);
		u64 o = fake_random() % (0x600000 - 8), value = fake_random();
		bool is_store = (fake_random() & 1) != 0;
		enum mmio m = is_store ? fake_store(0, PLIC + o, len, value)
		                       : fake_load(0, PLIC + o, len, &value);

		assert_int_equal(m, len == 4 && o % 4 == 0 ? MMIO_OK : MMIO_FAULT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_level_and_gateway),
		cmocka_unit_test(test_request_outlives_line),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_completion_needs_enable),
		cmocka_unit_test(test_contexts),
		cmocka_unit_test(test_widths),
		cmocka_unit_test(test_fuzz),
		cmocka_unit_test(test_fuzz_widths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
