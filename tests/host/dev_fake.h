/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM floor that only writes down what devices ask of it, for tests of one
 * device at a time.  Link with hyp/dev and libfdt; the arch floor may be the fake
 * one or the small one inside dev_fake.c.
 */
#ifndef DEV_FAKE_H
#define DEV_FAKE_H

#include "dev/dev.h"
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

struct dev_fake {
	struct vm vm;
	struct vcpu vcpus[VM_MAX_VCPUS];
	u32 posted[VM_MAX_VCPUS]; /* requests or-ed together */
	u32 n_posts;
	u32 events;
	char output[256]; /* console output, the first bytes */
	u32 n_output;
};
extern struct dev_fake fake;

/* A VM with `n` vCPUs, all devices freshly initialised. */
void fake_vm(u32 n);

/* Accesses by vCPU `id`, dev_lock held as the vm floor does. */
enum mmio fake_load(u32 id, u64 gpa, u32 len, u64 *value);
enum mmio fake_store(u32 id, u64 gpa, u32 len, u64 value);

/* The same, for those that must succeed. */
u64 fake_get(u32 id, u64 gpa, u32 len);
void fake_put(u32 id, u64 gpa, u32 len, u64 value);

/* A small generator with a printed seed (PANDO_SEED replays it). */
void fake_seed(void);
u64 fake_random(void);

#endif
