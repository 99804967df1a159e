/* SPDX-License-Identifier: BSD-2-Clause */
/* SBI calls as guests make them, with real memory; the vm floor below writes down what it is asked for. */
#include "unit.h"
#include "arch/csr.h"
#include "fake_arch/fake.h"
#include "mm/copy.h"
#include "mm/frame.h"
#include "sbi/sbi.h"
#include "vm/device.h"
#include "vm/sched.h"

#define RAM_BASE 0x80000000UL
#define RAM_LEN  (4UL << 20)
#define N_VCPUS  4U
#define ALL      UINT64_MAX

enum { A0 = 10, A1, A2, A3, A4, A5, A6, A7 };
enum { BASE = 0x10, TIME = 0x54494d45, IPI = 0x735049, RFENCE = 0x52464e43 };
enum { HSM = 0x48534d, SRST = 0x53525354, DBCN = 0x4442434e };

static struct vm vm;
static struct vcpu vcpus[VM_MAX_VCPUS];

/* What the vm floor was asked for. */
static struct {
	struct vcpu_fence fence[VM_MAX_VCPUS];
	u32 n_fences[VM_MAX_VCPUS];
	u32 posted[VM_MAX_VCPUS];
	u64 raised[VM_MAX_VCPUS];
	u64 timer;
	u32 n_waits, n_nomem;
	const char *off;
	char out[1 << 16];
	u32 n_out;
	const char *in; /* what the guest's UART has received */
	void (*during_wait)(struct vcpu *v);
} did;

void vcpu_post(struct vcpu *v, u32 req)
{
	did.posted[v->id] |= req;
	atomic_fetch_or(&v->requests, req);
	/* The kick: it leaves the guest. */
	atomic_store(&v->in_guest, false);
}

void vcpu_post_fence(struct vcpu *v, const struct vcpu_fence *f)
{
	did.fence[v->id] = *f;
	did.n_fences[v->id]++;
	vcpu_post(v, VREQ_FENCE);
}

void vcpu_raise(struct vcpu *v, u64 hvip_bits)
{
	did.raised[v->id] |= hvip_bits;
}

void vcpu_hold(struct vcpu *v, u32 holds)
{
	atomic_fetch_or(&v->holds, holds);
}

void vcpu_unhold(struct vcpu *v, u32 holds)
{
	atomic_fetch_and(&v->holds, ~holds);
}

void vcpu_set_timer(struct vcpu *v, u64 deadline)
{
	(void)v;
	did.timer = deadline;
}

void vcpu_start_at(struct vcpu *v, u64 pc, u64 opaque)
{
	assert_int_equal(atomic_load(&v->hsm), HSM_START_PENDING);
	assert_true(atomic_load(&v->holds) & HOLD_STOPPED);
	v->regs.sepc = pc;
	v->regs.x[A0] = v->id;
	v->regs.x[A1] = opaque;
}

void sched_wait_stopped(struct vcpu *v)
{
	did.n_waits++;
	if (did.during_wait)
		did.during_wait(v);
}

bool nomem_wait(struct vcpu *v)
{
	return v == vm.vcpu[0] && ++did.n_nomem;
}

void vm_stop(struct vm *m, const char *reason)
{
	(void)m;
	did.off = reason;
}

void vm_console_put(struct vm *m, char c)
{
	assert_true(lock_is_held(&m->dev_lock));
	assert_true(did.n_out < sizeof(did.out));
	did.out[did.n_out++] = c;
}

enum mmio device_access(struct vcpu *v, gpa_t gpa, u32 len, bool is_store, u64 *value)
{
	(void)v;
	assert_false(is_store);
	assert_int_equal(len, 1);
	if (gpa.v == 0x10000005)
		*value = did.in && *did.in ? 0x61 : 0x60;
	else if (gpa.v == 0x10000000)
		*value = (u8)*did.in++;
	else
		fail();
	return MMIO_OK;
}

static int setup(void **state)
{
	struct region ram = { GPA(RAM_BASE), RAM_LEN };

	(void)state;
	memset(&did, 0, sizeof(did));
	memset(&vm, 0, sizeof(vm));
	memset(vcpus, 0, sizeof(vcpus));
	lock_init(&vm.dev_lock, LOCK_DEV);
	assert_int_equal(space_init(&vm.space, &ram, 1), ERR_OK);
	vm.n_vcpus = N_VCPUS;
	for (u32 i = 0; i < N_VCPUS; i++) {
		vm.vcpu[i] = &vcpus[i];
		vcpus[i].vm = &vm;
		vcpus[i].id = i;
		atomic_store(&vcpus[i].state, SCHED_ASLEEP);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	space_fini(&vm.space);
	while (space_reap(64))
		;
	return 0;
}

/* An ecall of vCPU `id`; returns a0, `*value` gets a1. */
static long ecall_of(u32 id, u64 eid, u64 fid, const u64 a[6], u64 *value)
{
	struct vcpu *v = &vcpus[id];

	for (u32 i = 0; i < 6; i++)
		v->regs.x[A0 + i] = a[i];
	v->regs.x[A6] = fid;
	v->regs.x[A7] = eid;
	v->regs.sepc = 0x1000;
	sbi_handle(v);
	if (value)
		*value = v->regs.x[A1];
	return (long)v->regs.x[A0];
}

#define CALL(eid, fid, ...) ecall_of(0, eid, fid, (const u64[6]){ __VA_ARGS__ }, NULL)

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

static int machine_up(void **state)
{
	(void)state;
	fake_machine(64, 2);
	return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_convention),  TEST(test_probe),
		                            TEST(test_hart_masks),  TEST(test_time),
		                            TEST(test_ipi),         TEST(test_rfence_ranges),
		                            TEST(test_rfence),      TEST(test_rfence_waits),
		                            TEST(test_hsm_start),   TEST(test_hsm_start_race),
		                            TEST(test_hsm_stop),    TEST(test_hsm_status),
		                            TEST(test_hsm_suspend), TEST(test_srst),
		                            TEST(test_dbcn_write),  TEST(test_dbcn_bounds),
		                            TEST(test_dbcn_read),   TEST(test_dbcn_nomem),
		                            TEST(test_fuzz) };

	return cmocka_run_group_tests(tests, machine_up, NULL);
}
