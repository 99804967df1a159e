/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vm floor that writes down what SBI calls ask of it, with real memory.  It holds definitions: a test
 * is one source file and includes it once.
 */
#ifndef SBI_FAKE_H
#define SBI_FAKE_H

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
	u32 n_waits, n_nomem, n_time_waits;
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

/* One vCPU stops itself: held already, while a starter still waits for STOPPED. */
void vm_wait(struct vm *m)
{
	u32 n = 0;

	assert_true(lock_is_held(&m->lock));
	for (u32 i = 0; i < N_VCPUS; i++)
		n += atomic_load(&vcpus[i].holds) == HOLD_STOPPED &&
		     atomic_load(&vcpus[i].hsm) == HSM_STARTED;
	assert_int_equal(n, 1);
	did.n_time_waits++;
}

static bool has_input(struct vm *m)
{
	(void)m;
	return did.in && *did.in;
}

static int take_input(struct vm *m)
{
	return has_input(m) ? (u8)*did.in++ : -1;
}

static const struct device_ops ops = { .console_take = take_input, .console_has_input = has_input };
const struct device_ops *device_ops = &ops;

static int setup(void **state)
{
	struct region ram = { GPA(RAM_BASE), RAM_LEN };

	(void)state;
	memset(&did, 0, sizeof(did));
	memset(&vm, 0, sizeof(vm));
	memset(vcpus, 0, sizeof(vcpus));
	lock_init(&vm.lock, LOCK_VM);
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

static int machine_up(void **state)
{
	(void)state;
	fake_machine(64, 2);
	return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
