/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole VMs in tests: their memory by address, and all memory by count. */
#ifndef VM_LIFE_H
#define VM_LIFE_H

#include "mm/audit.h"
#include "mm/copy.h"
#include "mm/frame.h"
#include "vm_tests.h"

#define RAM 0x80000000UL

static inline void settle_memory(void)
{
	for (u32 h = 0; h < HART_MAX; h++) {
		fake_hart = h;
		space_unload();
	}
	fake_hart = 0;
	while (space_idle_work())
		continue;
	while (space_relieve())
		continue;
}

static inline u64 free_frames(void)
{
	settle_memory();
	return frame_n_free();
}

static inline void check_audit(void)
{
	struct audit_result r;

	audit_run(&r);
	if (r.faults != 0)
		print_error("audit: %s\n", r.first);
	assert_int_equal(r.faults, 0);
}

static inline struct vm *clone(struct vm *template)
{
	struct vm *vm = NULL;

	assert_int_equal(vm_clone(template, &vm), ERR_OK);
	return vm;
}

static inline struct vm *template_of(const char *name, u32 n_vcpus)
{
	struct vm *vm = fake_vm_run(name, n_vcpus);

	assert_int_equal(vm_freeze(vm), ERR_OK);
	assert_int_equal(vm->state, VM_TEMPLATE);
	return vm;
}

static inline void store(struct vm *vm, u64 gpa, u32 value)
{
	assert_int_equal(copy_to_guest(&vm->space, GPA(gpa), &value, sizeof(value)), ERR_OK);
}

static inline u32 load(struct vm *vm, u64 gpa)
{
	u32 value = 0;

	assert_int_equal(copy_from_guest(&vm->space, &value, GPA(gpa), sizeof(value)), ERR_OK);
	return value;
}

#endif
