/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vm floor that only writes down what devices ask of it, for tests of one device
 * at a time.  It holds definitions: a test is one source file and includes it once,
 * so its own vcpu_post() and the like come before those of the library it is linked
 * with.  What belongs to arch is weak and gives way to the fake arch.
 */
#ifndef DEV_FAKE_H
#define DEV_FAKE_H

#include "arch/time.h"
#include "dev/dev.h"
#include "lib/assert.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>

#define WEAK __attribute__((weak))

struct dev_fake {
	struct vm vm;
	struct vcpu vcpus[VM_MAX_VCPUS];
	u32 posted[VM_MAX_VCPUS]; /* requests or-ed together */
	u32 n_posts;
	u32 events;
	char output[256]; /* console output, the first bytes */
	u32 n_output;
};

static struct dev_fake fake;
static const struct device_ops *ops;
static u64 random_state;
WEAK struct machine machine = { .timebase_hz = 10000000 };

WEAK _Noreturn void panic(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprint_error(fmt, ap);
	va_end(ap);
	abort();
}

WEAK void lock_acquire(struct spinlock *l)
{
	assert(l->owner == l->next);
	l->next++;
}

WEAK void lock_release(struct spinlock *l)
{
	assert(l->owner != l->next);
	l->owner++;
}

WEAK u64 time_now(void)
{
	static u64 now;

	return ++now;
}

WEAK u64 time_instret(void)
{
	return 0;
}

void device_set_ops(const struct device_ops *o)
{
	ops = o;
}

void *device_state(struct vm *vm, u32 type_index)
{
	u64 offset = 0;

	for (u32 i = 0; i < type_index; i++)
		offset += ALIGN_UP(dev_types[i]->state_len, 8);
	return (char *)vm->dev_state + offset;
}

void vcpu_post(struct vcpu *v, u32 req)
{
	fake.posted[v->id] |= req;
	fake.n_posts++;
}

void vcpu_hold(struct vcpu *v, u32 holds)
{
	v->holds |= holds;
}

void vcpu_unhold(struct vcpu *v, u32 holds)
{
	v->holds &= ~holds;
}

void gate_close(struct vm *vm, struct vcpu *leader)
{
	vm->gate.leader = leader;
}

void gate_open(struct vm *vm)
{
	vm->gate.leader = NULL;
}

void vm_post_event(struct vm *vm, u32 events)
{
	assert_ptr_equal(vm, &fake.vm);
	fake.events |= events;
}

void vm_console_put(struct vm *vm, char c)
{
	assert_ptr_equal(vm, &fake.vm);
	if (fake.n_output < sizeof(fake.output))
		fake.output[fake.n_output++] = c;
}

/* A VM with `n` vCPUs, all devices freshly initialised. */
static inline void fake_vm(u32 n)
{
	memset(&fake, 0, sizeof(fake));
	dev_init();
	lock_init(&fake.vm.dev_lock, LOCK_DEV);
	fake.vm.n_vcpus = n;
	fake.vm.state = VM_RUNNING;
	fake.vm.ram = (struct region){ GPA(0x80000000), 64UL << 20 };
	fake.vm.window = (struct region){ GPA(0x1000000000), 4UL << 20 };
	for (u32 i = 0; i < n; i++) {
		fake.vcpus[i].id = i;
		fake.vcpus[i].vm = &fake.vm;
		fake.vm.vcpu[i] = &fake.vcpus[i];
	}
	for (u32 i = 0; i < ops->n_types; i++)
		ops->types[i]->init(&fake.vm, device_state(&fake.vm, i));
}

static u32 device_at(u64 gpa, u32 len)
{
	for (u32 i = 0; i < ops->n_types; i++) {
		if (range_holds(ops->types[i]->base, ops->types[i]->len, gpa, len))
			return i;
	}
	fail_msg("no device at %#llx", (unsigned long long)gpa);
	return 0;
}

/* Accesses by vCPU `id`, dev_lock held as the vm floor does. */
static inline enum mmio fake_load(u32 id, u64 gpa, u32 len, u64 *value)
{
	u32 i = device_at(gpa, len);
	const struct device_type *t = ops->types[i];
	enum mmio result;

	lock_acquire(&fake.vm.dev_lock);
	result = t->load(&fake.vcpus[id], device_state(&fake.vm, i), gpa - t->base, len, value);
	lock_release(&fake.vm.dev_lock);
	return result;
}

static inline enum mmio fake_store(u32 id, u64 gpa, u32 len, u64 value)
{
	u32 i = device_at(gpa, len);
	const struct device_type *t = ops->types[i];
	enum mmio result;

	lock_acquire(&fake.vm.dev_lock);
	result = t->store(&fake.vcpus[id], device_state(&fake.vm, i), gpa - t->base, len, value);
	lock_release(&fake.vm.dev_lock);
	return result;
}

/* The same, for those that must succeed. */
static inline u64 fake_get(u32 id, u64 gpa, u32 len)
{
	u64 value = 0;

	assert_int_equal(fake_load(id, gpa, len, &value), MMIO_OK);
	assert_true(len == 8 || value >> 8 * len == 0);
	return value;
}

static inline void fake_put(u32 id, u64 gpa, u32 len, u64 value)
{
	assert_int_equal(fake_store(id, gpa, len, value), MMIO_OK);
}

/* PANDO_SEED in the environment replays a run. */
static inline void fake_seed(void)
{
	const char *s = getenv("PANDO_SEED");

	random_state = s != NULL ? strtoull(s, NULL, 0) : arc4random();
	print_message("PANDO_SEED=%#llx\n", (unsigned long long)random_state);
}

/* splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014) */
static inline u64 fake_random(void)
{
	u64 z = random_state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

#endif
