// SPDX-License-Identifier: BSD-2-Clause
/* Where time goes (account.h). */
#include "vm/account.h"
#include "arch/hart.h"
#include "arch/time.h"
#include "vm/vcpu.h"

/* A guest leaves within microseconds of a kick; QEMU may not run its hart for a while. */
#define LEAVE_NS 1000000UL

struct account {
	struct time_span vcpus, idle; /* the hart's own, read by others */
	u64 exits;                    /* the same */
} __attribute__((aligned(64)));

static struct account accounts[HART_MAX];

u64 account_exits(const struct vcpu *v)
{
	u64 sum = 0;

	for (u32 i = 0; i < EXIT_N_CLASSES; i++)
		sum += v->exits[i];
	return sum;
}

u64 account_new_exits(const struct vcpu *v)
{
	return account_exits(v) - v->exits_noted;
}

void account_load(struct vcpu *v)
{
	time_span_start(&v->loaded);
	time_span_start(&accounts[hart_index()].vcpus);
}

void account_unload(struct vcpu *v)
{
	struct account *a = &accounts[hart_index()];

	time_span_stop(&v->loaded);
	time_span_stop(&a->vcpus);
	a->exits += account_new_exits(v);
	v->exits_noted = account_exits(v);
}

void account_wait(void)
{
	struct account *a = &accounts[hart_index()];

	time_span_start(&a->idle);
	hart_wait();
	time_span_stop(&a->idle);
}

/* Waits until what the vCPU has spent in its guest so far is counted. */
static void leave_guest(struct vcpu *v)
{
	u64 was = __atomic_load_n(&v->guest_ticks, __ATOMIC_RELAXED);
	u64 end = time_now() + time_ns_to_ticks(LEAVE_NS);

	if (!atomic_load(&v->in_guest))
		return;
	hart_kick(atomic_load(&v->home));
	while (atomic_load(&v->in_guest) && time_now() < end &&
	       __atomic_load_n(&v->guest_ticks, __ATOMIC_RELAXED) == was)
		hart_relax();
}

struct vcpu_time account_vcpu(struct vcpu *v)
{
	struct vcpu_time t;
	u64 loaded;

	leave_guest(v);
	t.guest = __atomic_load_n(&v->guest_ticks, __ATOMIC_RELAXED);
	loaded = time_span_ticks(&v->loaded);
	t.hypervisor = loaded > t.guest ? loaded - t.guest : 0;
	return t;
}

struct hart_time account_hart(u32 hart)
{
	const struct account *a = &accounts[hart];

	return (struct hart_time){ time_span_ticks(&a->vcpus), time_span_ticks(&a->idle),
		                   __atomic_load_n(&a->exits, __ATOMIC_RELAXED) };
}
