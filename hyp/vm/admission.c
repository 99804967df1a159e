/* SPDX-License-Identifier: BSD-2-Clause */
/* The policy memory=reserve; see admission.h and docs/memory.md, "Promises". */
#include "vm/admission.h"

#include <stdio.h>
#include "mm/frame.h"
#include "vm/dedup.h"

static u64 wanted, left; /* frames, of the last one refused */

static enum err refuse(u64 n_frames)
{
	wanted = n_frames;
	left = frame_n_for_guests();
	return ERR_RESERVE;
}

enum err admission_take(struct vm *vm)
{
	/* Its output must not be lost either, so the ring is there from the start. */
	if (!vm_console_prepare(vm) || promise_make(&vm->space) != ERR_OK)
		return refuse(promise_worst(&vm->space));
	return ERR_OK;
}

enum err admission_admit(struct vm *vm)
{
	dedup_apply(&vm->space, &vm->policy);
	return vm->policy.memory == MEMORY_RESERVE ? admission_take(vm) : ERR_OK;
}

static enum err refuse_more(const struct vm *vm, u32 n)
{
	return refuse(n * promise_worst(&vm->space) - vm->space.promise.n_frames);
}

enum err admission_seek(struct vm *vm, u32 n)
{
	return promise_seek(&vm->space, n) == ERR_OK ? ERR_OK : refuse_more(vm, n);
}

enum err admission_seek_fork(struct vm *parent, struct vm *child)
{
	if (parent->policy.memory == MEMORY_RESERVE && !vm_console_prepare(child))
		return refuse_more(parent, 2);
	return admission_seek(parent, 2);
}

enum err admission_renew(struct vm *vm, u32 n)
{
	return promise_renew(&vm->space, n) == ERR_OK ? ERR_OK : refuse_more(vm, n);
}

enum err admission_set_policy(struct vm *vm, const struct vm_policy *p)
{
	bool is_template = atomic_load(&vm->state) == VM_TEMPLATE;
	enum err e = ERR_OK;

	if (p->memory == MEMORY_RESERVE && !is_template)
		e = admission_take(vm);
	else
		promise_end(&vm->space);
	if (e != ERR_OK)
		return e;
	lock_acquire(&vm->lock);
	vm->policy = *p;
	dedup_apply(&vm->space, p);
	lock_release(&vm->lock);
	return ERR_OK;
}

#define FRAMES_PER_MIB (1UL << 20 >> PAGE_SHIFT)

const char *admission_why(void)
{
	static char text[80];

	snprintf(text, sizeof(text), "reserve: wants %lu.%lu MiB, %lu.%lu MiB left",
	         wanted / FRAMES_PER_MIB, wanted % FRAMES_PER_MIB * 10 / FRAMES_PER_MIB,
	         left / FRAMES_PER_MIB, left % FRAMES_PER_MIB * 10 / FRAMES_PER_MIB);
	return text;
}
