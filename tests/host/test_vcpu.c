/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests, the door, VS-stage fences, interrupts and time of a vCPU; golden CSRs and fences. */
#include "arch/csr.h"
#include "arch/time.h"
#include "dev/plic.h"
#include "vm/device.h"
#include "vm_tests.h"

#define PLIC_GPA 0x0c000000UL

#define VSIE_SSIE BIT(1)
#define VSIE_STIE BIT(5)
#define VSIE_SEIE BIT(9)

static u32 n_fences(enum fake_fence kind)
{
	return fake_n_fences[0][kind];
}

/* A running VM on one hart, vCPU 0 loaded, all first-time work done and counted out. */
static struct vcpu *loaded(u32 n_vcpus)
{
	struct vcpu *v;

	fake_boot(1);
	fake_vm_run("a", n_vcpus);
	v = fake_pick(0);
	assert_non_null(v);
	assert_true(vcpu_door(v));
	for (u32 i = 0; i < FAKE_N_FENCES; i++)
		fake_n_fences[0][i] = 0;
	return v;
}

static void post_range(struct vcpu *v, u64 start, u64 len)
{
	vcpu_post_fence(v, &(struct vcpu_fence){ .start = GVA(start), .len = len });
	assert_true(vcpu_door(v));
}

static void test_fence_ranges(void **state)
{
	struct vcpu *v = loaded(1);

	(void)state;
	post_range(v, 0x1000, 3 * PAGE_SIZE);
	assert_int_equal(n_fences(FAKE_VVMA_GVA), 3);
	assert_int_equal(fake_fence_addr, 0x3000);
	/* Two pages, though it is one page long. */
	post_range(v, 0x1ffc, 8);
	assert_int_equal(n_fences(FAKE_VVMA_GVA), 5);
	assert_int_equal(fake_fence_addr, 0x2000);
	assert_int_equal(n_fences(FAKE_VVMA_ALL), 0);
	post_range(v, 0x1000, 1000 * PAGE_SIZE);
	assert_int_equal(n_fences(FAKE_VVMA_ALL), 1);
	post_range(v, 0, 0);
	assert_int_equal(n_fences(FAKE_VVMA_ALL), 2);
	post_range(v, 0, UINT64_MAX);
	assert_int_equal(n_fences(FAKE_VVMA_ALL), 3);
	post_range(v, 0x1234, UINT64_MAX);
	assert_int_equal(n_fences(FAKE_VVMA_ALL), 4);
	/* The top of the address space: no overflow, the last page is fenced. */
	post_range(v, UINT64_MAX - 2 * PAGE_SIZE + 1, 2 * PAGE_SIZE);
	assert_int_equal(fake_fence_addr, UINT64_MAX - PAGE_SIZE + 1);
	assert_int_equal(n_fences(FAKE_VVMA_GVA), 7);
	assert_int_equal(n_fences(FAKE_VVMA_ALL), 4);
}

static void test_fence_asid(void **state)
{
	struct vcpu *v = loaded(1);
	struct vcpu_fence f = { .start = GVA(0x5000), .len = 1, .asid = 7, .has_asid = true };

	(void)state;
	vcpu_post_fence(v, &f);
	assert_true(vcpu_door(v));
	assert_int_equal(n_fences(FAKE_VVMA_GVA_ASID), 1);
	assert_int_equal(fake_fence_addr, 0x5000);
	assert_int_equal(fake_fence_id, 7);
	f.len = UINT64_MAX;
	vcpu_post_fence(v, &f);
	assert_true(vcpu_door(v));
	assert_int_equal(n_fences(FAKE_VVMA_ASID), 1);
	assert_int_equal(n_fences(FAKE_VVMA_ALL), 0);
}

static void test_fence_overflow_is_its_own(void **state)
{
	struct vcpu *v = loaded(2);
	struct vcpu *sibling = v->vm->vcpu[1 - v->id];
	struct vcpu_fence f = { .start = GVA(0x1000), .len = PAGE_SIZE };

	(void)state;
	vcpu_post_fence(sibling, &f);
	for (u32 i = 0; i < VCPU_FENCES_MAX + 5; i++)
		vcpu_post_fence(v, &f);
	assert_true(vcpu_door(v));
	assert_int_equal(n_fences(FAKE_VVMA_ALL), 1);
	assert_int_equal(n_fences(FAKE_VVMA_GVA), 0);
	assert_int_equal(sibling->n_fences, 1);
	/* The queue works again. */
	vcpu_post_fence(v, &f);
	assert_true(vcpu_door(v));
	assert_int_equal(n_fences(FAKE_VVMA_ALL), 1);
	assert_int_equal(n_fences(FAKE_VVMA_GVA), 1);
}

static void test_full_queue_is_exact(void **state)
{
	struct vcpu *v = loaded(1);

	(void)state;
	for (u64 i = 0; i < VCPU_FENCES_MAX; i++)
		vcpu_post_fence(v, &(struct vcpu_fence){ .start = GVA(i << 12), .len = PAGE_SIZE });
	assert_true(vcpu_door(v));
	assert_int_equal(n_fences(FAKE_VVMA_GVA), VCPU_FENCES_MAX);
	assert_int_equal(n_fences(FAKE_VVMA_ALL), 0);
}

/* An IPI that comes as the guest clears its own SSIP must not be lost, nor the clear undone. */
static void test_raise_meets_clear(void **state)
{
	struct vcpu *v = loaded(1);

	(void)state;
	vcpu_raise(v, HVIP_VSSIP);
	assert_int_equal(csr_read(hvip) & HVIP_VSSIP, 0); /* not before the door */
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip) & HVIP_VSSIP, HVIP_VSSIP);
	/* What is pending already stays. */
	csr_set(hvip, HVIP_VSEIP);
	vcpu_raise(v, HVIP_VSSIP);
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip), HVIP_VSSIP | HVIP_VSEIP);
	csr_clear(hvip, HVIP_VSSIP); /* the guest */
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip) & HVIP_VSSIP, 0);
	vcpu_raise(v, HVIP_VSSIP);
	csr_clear(hvip, HVIP_VSSIP);
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip) & HVIP_VSSIP, HVIP_VSSIP);
}

/* A raise that comes while the vCPU is on its way to sleep, or asleep, survives save and load. */
static void test_raise_while_asleep(void **state)
{
	struct vcpu *v = loaded(1);

	(void)state;
	csr_write(vsie, VSIE_SSIE);
	v->in_wfi = true;
	assert_false(vcpu_door(v));
	vcpu_raise(v, HVIP_VSSIP);
	fake_put_back(0, v);
	assert_int_equal(v->state, SCHED_QUEUED);
	assert_ptr_equal(fake_pick(0), v);
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip), HVIP_VSSIP);
	csr_write(hvip, 0);
	v->in_wfi = true;
	fake_put_back(0, v);
	assert_int_equal(v->state, SCHED_ASLEEP);
	vcpu_raise(v, HVIP_VSSIP);
	assert_int_equal(v->state, SCHED_QUEUED);
}

static void test_wfi_looks_at_enables(void **state)
{
	struct vcpu *v = loaded(1);

	(void)state;
	csr_write(vsie, VSIE_STIE);
	csr_write(vstimecmp, TIME_NEVER);
	v->in_wfi = true;
	vcpu_raise(v, HVIP_VSSIP);
	assert_false(vcpu_door(v)); /* pending, not enabled: sleeps on */
	fake_put_back(0, v);
	assert_int_equal(v->state, SCHED_ASLEEP);
	v->csrs.vsie |= VSIE_SSIE;
	assert_true(vcpu_has_interrupt(v));
	v->csrs.vsie = VSIE_SEIE;
	assert_false(vcpu_has_interrupt(v));
	/* sstatus.SIE does not matter to WFI. */
	v->csrs.vsie = VSIE_SSIE;
	v->csrs.vsstatus = 0;
	assert_true(vcpu_has_interrupt(v));
}

/* A suspended vCPU that an interrupt has woken is started, and stays so when it sleeps in WFI. */
static void test_suspension_ends_at_the_door(void **state)
{
	struct vcpu *v = loaded(1);

	(void)state;
	csr_write(vsie, VSIE_SSIE);
	atomic_store(&v->hsm, HSM_SUSPENDED);
	v->in_wfi = true;
	assert_false(vcpu_door(v));
	assert_int_equal(v->hsm, HSM_SUSPENDED);
	vcpu_raise(v, HVIP_VSSIP);
	assert_true(vcpu_door(v));
	assert_int_equal(v->hsm, HSM_STARTED);
	csr_clear(hvip, HVIP_VSSIP); /* the guest */
	v->in_wfi = true;
	assert_false(vcpu_door(v));
	assert_int_equal(v->hsm, HSM_STARTED);
}

/* A line that is high when a vCPU is stopped, and when it is started again, is not news to anybody. */
static void test_restart_keeps_external_interrupt(void **state)
{
	enum { IRQ = 3, PRIORITY_3 = 4 * IRQ, ENABLE_0S = 0x2080 };
	struct vcpu *v = loaded(1);
	u64 one = 1, bit = BIT(IRQ);

	(void)state;
	assert_int_equal(device_access(v, GPA(PLIC_GPA + PRIORITY_3), 4, true, &one), MMIO_OK);
	assert_int_equal(device_access(v, GPA(PLIC_GPA + ENABLE_0S), 4, true, &bit), MMIO_OK);
	lock_acquire(&v->vm->dev_lock);
	plic_set_line(v->vm, IRQ, true);
	lock_release(&v->vm->dev_lock);
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip), HVIP_VSEIP);
	vcpu_hold(v, HOLD_STOPPED);
	assert_false(vcpu_door(v));
	fake_put_back(0, v);
	vcpu_start_at(v, 0x80000000, 0);
	vcpu_unhold(v, HOLD_STOPPED);
	assert_ptr_equal(fake_pick(0), v);
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip), HVIP_VSEIP);
}

static void test_guest_time(void **state)
{
	struct vcpu *v = loaded(1);

	(void)state;
	/* guest = host + delta; a guest younger than the machine has a negative one. */
	assert_int_equal(csr_read(htimedelta), v->vm->time_delta);
	assert_int_equal(vcpu_time(v), fake_time + v->vm->time_delta);
	assert_int_equal(vcpu_time(v), 0);
	fake_time += 500;
	assert_int_equal(vcpu_time(v), 500);
	vcpu_set_timer(v, 800);
	assert_int_equal(csr_read(vstimecmp), 800);
	fake_put_back(0, v);
	assert_int_equal(vcpu_wake_ticks(v), fake_time + 300);
	fake_time += 1000;
	assert_int_equal(vcpu_wake_ticks(v), fake_time);
	/* What Linux calls never: 64 bits of ones, or nearly. */
	vcpu_set_timer(v, UINT64_MAX);
	assert_int_equal(vcpu_wake_ticks(v), TIME_NEVER);
	vcpu_set_timer(v, UINT64_MAX - 1);
	assert_int_equal(vcpu_wake_ticks(v), TIME_NEVER);
	vcpu_set_timer(v, INT64_MAX);
	assert_true(vcpu_wake_ticks(v) > fake_time + (1UL << 40));
}

static void test_switch_out_leaves_nothing(void **state)
{
	struct vcpu *v = loaded(1);

	(void)state;
	csr_write(vsatp, 0x8000000000012345);
	csr_write(vstimecmp, fake_time);
	csr_set(hvip, HVIP_VSSIP);
	fake_put_back(0, v);
	assert_int_equal(csr_read(vstimecmp), TIME_NEVER);
	assert_int_equal(csr_read(hvip), 0);
	assert_int_equal(csr_read(vsatp), 0);
	assert_int_equal(v->csrs.vsatp, 0x8000000000012345);
	assert_ptr_equal(fake_pick(0), v);
	assert_int_equal(csr_read(vsatp), 0x8000000000012345);
	assert_int_equal(csr_read(hvip), HVIP_VSSIP);
}

static void test_timer_without_sstc(void **state)
{
	struct vcpu *v = loaded(1);

	(void)state;
	machine.has_sstc = false;
	vcpu_set_timer(v, 400);
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip) & HVIP_VSTIP, 0);
	sched_timer(v, TIME_NEVER);
	assert_int_equal(fake_timer[0], fake_time + 400);
	fake_time += 400;
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip) & HVIP_VSTIP, HVIP_VSTIP);
	/* It stays pending until the next deadline, and the host timer is not armed for it. */
	sched_timer(v, TIME_NEVER);
	assert_int_equal(fake_timer[0], TIME_NEVER);
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip) & HVIP_VSTIP, HVIP_VSTIP);
	vcpu_set_timer(v, 4000);
	assert_int_equal(csr_read(hvip) & HVIP_VSTIP, 0);
	assert_true(vcpu_door(v));
	assert_int_equal(csr_read(hvip) & HVIP_VSTIP, 0);
	/* Asleep: the timer queue wakes it. */
	csr_write(vsie, VSIE_STIE);
	v->in_wfi = true;
	assert_false(vcpu_door(v));
	fake_put_back(0, v);
	assert_int_equal(v->state, SCHED_ASLEEP);
	fake_time += 4000;
	sched_timer(NULL, TIME_NEVER);
	assert_int_equal(v->state, SCHED_QUEUED);
}

static void test_holds_close_the_door(void **state)
{
	struct vcpu *v = loaded(1);

	(void)state;
	vcpu_hold(v, HOLD_WORK);
	vcpu_hold(v, HOLD_READY);
	assert_false(vcpu_door(v));
	fake_put_back(0, v);
	assert_int_equal(v->state, SCHED_ASLEEP);
	vcpu_unhold(v, HOLD_WORK);
	assert_int_equal(v->state, SCHED_ASLEEP);
	vcpu_unhold(v, HOLD_READY);
	assert_int_equal(v->state, SCHED_QUEUED);
}

/* VMID and ASID are the VM's: what one vCPU cached is not the other's. */
static void test_two_vcpus_on_one_hart(void **state)
{
	struct vcpu *v = loaded(2), *w;

	(void)state;
	vcpu_unhold(v->vm->vcpu[1 - v->id], HOLD_STOPPED);
	fake_time += time_ns_to_ticks(SCHED_SLICE_NS);
	fake_put_back(0, v);
	w = fake_pick(0);
	assert_ptr_not_equal(v, w);
	assert_int_equal(n_fences(FAKE_VVMA_ALL), 1);
}

static void test_move_to_another_hart(void **state)
{
	struct vcpu *v;

	(void)state;
	fake_boot(2);
	fake_vm_run("a", 1);
	v = fake_pick(1);
	fake_put_back(1, v);
	assert_ptr_equal(fake_pick(0), v);
	fake_put_back(0, v);
	fake_n_fences[1][FAKE_VVMA_ALL] = 0;
	fake_n_fences[1][FAKE_FENCE_I] = 0;
	assert_ptr_equal(fake_pick(1), v);
	assert_int_equal(fake_n_fences[1][FAKE_VVMA_ALL], 1);
	assert_true(fake_n_fences[1][FAKE_FENCE_I] >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fence_ranges),
		cmocka_unit_test(test_fence_asid),
		cmocka_unit_test(test_fence_overflow_is_its_own),
		cmocka_unit_test(test_full_queue_is_exact),
		cmocka_unit_test(test_raise_meets_clear),
		cmocka_unit_test(test_raise_while_asleep),
		cmocka_unit_test(test_wfi_looks_at_enables),
		cmocka_unit_test(test_suspension_ends_at_the_door),
		cmocka_unit_test(test_restart_keeps_external_interrupt),
		cmocka_unit_test(test_guest_time),
		cmocka_unit_test(test_switch_out_leaves_nothing),
		cmocka_unit_test(test_timer_without_sstc),
		cmocka_unit_test(test_holds_close_the_door),
		cmocka_unit_test(test_two_vcpus_on_one_hart),
		cmocka_unit_test(test_move_to_another_hart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
