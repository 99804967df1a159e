// SPDX-License-Identifier: BSD-2-Clause
/* Whose VMID it is: what a hart flushes when it changes space, vCPU or VMID generation, and what it loads
 * when it has none. */
#include "mm_unit.h"

#include "arch/csr.h"
#include "arch/phys.h"
#include "fake_guest.h"

static struct space a, b, c;

static u64 vmid(u32 h)
{
	return mm_hgatp(h) >> HGATP_VMID_SHIFT & 0x3fff;
}

/* What a hart flushes when it enters `s` now. */
static void flushed(u32 h, struct space *s, u32 n[FAKE_N_FENCES])
{
	u32 before[FAKE_N_FENCES];

	memcpy(before, fake_n_fences[h], sizeof(before));
	fake_enter(h, s, 0);
	fake_leave(h);
	for (u32 k = 0; k < FAKE_N_FENCES; k++)
		n[k] = fake_n_fences[h][k] - before[k];
}

/* Another VM has run here: fence.i alone. */
static void test_no_fence_without_need(void **state)
{
	u32 n[FAKE_N_FENCES];

	(void)state;
	mm_family(&a, &b);
	flushed(0, &a, n);
	flushed(0, &b, n);
	flushed(0, &a, n);
	for (u32 k = 0; k < FAKE_N_FENCES; k++)
		assert_int_equal(n[k], k == FAKE_FENCE_I);
	flushed(0, &a, n);
	for (u32 k = 0; k < FAKE_N_FENCES; k++)
		assert_int_equal(n[k], 0);
	flushed(1, &a, n);
	assert_true(n[FAKE_GVMA_ALL] + n[FAKE_GVMA_VMID] > 0 && n[FAKE_VVMA_ALL] > 0);
	mm_end_family(&a, &b);
}

/* vCPUs of one VM share its VMID and, as far as they like, ASIDs. */
static void test_vcpus_on_one_hart(void **state)
{
	u32 n;

	(void)state;
	mm_family(&a, &b);
	fake_hart = 0;
	space_attach(&b, 0, true);
	n = mm_fences(0, FAKE_VVMA_ALL);
	space_attach(&b, 0, false);
	assert_int_equal(mm_fences(0, FAKE_VVMA_ALL), n);
	space_attach(&b, 1, false);
	assert_int_equal(mm_fences(0, FAKE_VVMA_ALL), n + 1);
	space_attach(&b, 0, false);
	assert_int_equal(mm_fences(0, FAKE_VVMA_ALL), n + 2);
	space_attach(&b, 0, true); /* it was on another hart meanwhile */
	assert_int_equal(mm_fences(0, FAKE_VVMA_ALL), n + 3);
	mm_end_family(&a, &b);
}

/* VMIDs run out: whoever enters next flushes all, and VS-stage entries of the VMID's former owner. */
static void test_roll_over(void **state)
{
	u32 n[FAKE_N_FENCES];
	u64 vmid_of_b;

	(void)state;
	mm_family(&a, &b);
	machine.vmid_bits = 2; /* 1, 2, 3 */
	tlb_init_all();
	tlb_init(&a.tlb, ptr_hpa(a.root->pte));
	tlb_init(&b.tlb, ptr_hpa(b.root->pte));
	space_clone(&c, &a);
	flushed(0, &a, n);
	assert_int_equal(vmid(0), 1);
	flushed(0, &b, n);
	assert_int_equal(vmid(0), 2);
	vmid_of_b = vmid(0);
	flushed(0, &c, n);
	space_fini(&c);
	space_clone(&c, &a);
	flushed(0, &c, n); /* one too many */
	assert_int_equal(vmid(0), 1);
	assert_int_equal(n[FAKE_GVMA_ALL],
	                 2); /* before hgatp and after it: both VMIDs may be anybody's */
	flushed(0, &a, n);
	assert_int_equal(vmid(0), vmid_of_b);
	assert_true(n[FAKE_VVMA_ALL] > 0);
	assert_int_equal(n[FAKE_GVMA_ALL], 0);
	flushed(0, &a, n);
	assert_int_equal(n[FAKE_VVMA_ALL], 0);
	flushed(1, &a, n);
	assert_int_equal(n[FAKE_GVMA_ALL], 2); /* each hart by itself */
	space_fini(&c);
	mm_end_family(&a, &b);
}

static u64 old_tag;

/* While a hart begins the next generation a sibling, which was late, notes a VMID of the last one. */
static void late_sibling(const struct spinlock *l)
{
	(void)l;
	if (old_tag != 0)
		atomic_store(&a.tlb.vmid_tag, old_tag);
	old_tag = 0;
}

/* What is somebody else's in the new generation is not used. */
static void test_late_sibling(void **state)
{
	u32 n[FAKE_N_FENCES];

	(void)state;
	mm_family(&a, &b);
	machine.vmid_bits = 2;
	tlb_init_all();
	tlb_init(&a.tlb, ptr_hpa(a.root->pte));
	for (u32 k = 1; k <= 3; k++) { /* all of the first generation */
		tlb_init(&b.tlb, ptr_hpa(b.root->pte));
		flushed(1, &b, n);
		assert_int_equal(vmid(1), k);
	}
	old_tag = atomic_load(&b.tlb.vmid_tag);
	fake_hart = 0;
	fake_on_release = late_sibling;
	space_attach(&a, 0, true);
	fake_on_release = NULL;
	assert_int_equal(old_tag, 0);
	assert_int_not_equal(vmid(0), 3);
	mm_end_family(&a, &b);
}

/* Without VMIDs every change of space flushes both stages. */
static void test_zero_vmid_bits(void **state)
{
	u32 n[FAKE_N_FENCES];

	(void)state;
	mm_family(&a, &b);
	machine.vmid_bits = 0;
	tlb_init_all();
	tlb_init(&a.tlb, ptr_hpa(a.root->pte));
	tlb_init(&b.tlb, ptr_hpa(b.root->pte));
	for (u32 k = 0; k < 4; k++) {
		flushed(0, k & 1 ? &a : &b, n);
		assert_int_equal(vmid(0), 0);
		assert_int_equal(n[FAKE_GVMA_ALL], 1);
		assert_true(n[FAKE_VVMA_ALL] > 0);
	}
	flushed(0, &a, n);
	assert_int_equal(n[FAKE_GVMA_ALL] + n[FAKE_VVMA_ALL], 0);
	fake_hart = 0;
	space_unload();
	flushed(0, &a, n);
	assert_int_equal(n[FAKE_GVMA_ALL], 1);
	mm_end_family(&a, &b);
}

/* hgatp = Bare would translate GPAs to themselves: a hart without a space has an empty root. */
static void test_unloaded_is_not_bare(void **state)
{
	u64 hgatp, *root;

	(void)state;
	mm_family(&a, &b);
	fake_hart = 1;
	space_enter(&b);
	space_leave();
	space_unload();
	hgatp = csr_read(hgatp);
	assert_int_equal(hgatp >> 60, 8);
	assert_int_equal(vmid(1), 0);
	assert_int_not_equal(hgatp & HGATP_PPN, ptr_hpa(b.root->pte).v >> PAGE_SHIFT);
	/* Outside the arena: its address there has a sign, of which hgatp keeps 56 bits. */
	root = (u64 *)(void *)(fake_ram + ((s64)(hgatp << 20) >> 8) - FAKE_RAM_BASE);
	for (u32 i = 0; i < ROOT_ENTRIES; i++)
		assert_int_equal(root[i], 0);
	fake_hart = 0;
	mm_end_family(&a, &b);
}

/* A guest's remote fence is honoured under its own VMID, though the hart let go of it meanwhile. */
static void test_guest_fence_after_unload(void **state)
{
	struct vm *vm;
	struct vcpu *v;

	(void)state;
	fake_boot(1);
	vm = fake_vm_run("one", 1);
	v = fake_pick(0);
	assert_ptr_equal(v, vm->vcpu[0]);
	assert_true(vcpu_door(v));
	space_unload(); /* looked for memory */
	vcpu_post_fence(v, &(struct vcpu_fence){ .start = GVA(0x1000), .len = PAGE_SIZE });
	assert_true(vcpu_door(v));
	assert_int_equal(fake_fence_addr, 0x1000);
	assert_int_equal(fake_fence_hgatp & HGATP_PPN,
	                 ptr_hpa(vm->space.root->pte).v >> PAGE_SHIFT);
	fake_put_back(0, v);
}

/* A space and a vCPU may take a record that was another's: nothing of that is left. */
static void test_record_reused(void **state)
{
	u32 n[FAKE_N_FENCES];

	(void)state;
	mm_family(&a, &b);
	flushed(0, &b, n);
	space_fini(&b);
	space_clone(&b, &a);
	flushed(0, &b, n);
	assert_true(n[FAKE_GVMA_VMID] + n[FAKE_GVMA_ALL] > 0 && n[FAKE_VVMA_ALL] > 0);
	assert_true(n[FAKE_FENCE_I] > 0);
	mm_end_family(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_fence_without_need),
		cmocka_unit_test(test_vcpus_on_one_hart),
		cmocka_unit_test(test_roll_over),
		cmocka_unit_test(test_late_sibling),
		cmocka_unit_test(test_zero_vmid_bits),
		cmocka_unit_test(test_unloaded_is_not_bare),
		cmocka_unit_test(test_record_reused),
		cmocka_unit_test(test_guest_fence_after_unload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
