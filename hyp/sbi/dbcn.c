/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DBCN (SBI 2.0 chapter 12): the debug console.
 *
 * A guest may name any length: the range is checked whole, but no more than
 * CALL_MAX bytes are moved in one call, through a small buffer on the stack.
 * The spec lets both directions move less than asked and say how much.
 */
#include "mm/copy.h"
#include "sbi/ext.h"
#include "vm/device.h"
#include "vm/nomem.h"

enum dbcn_fid { DBCN_WRITE, DBCN_READ, DBCN_WRITE_BYTE };

#define CALL_MAX  4096UL
#define CHUNK_LEN 256UL

static void put(struct vm *vm, const char *text, u64 len)
{
	lock_acquire(&vm->dev_lock);
	for (u64 i = 0; i < len; i++)
		vm_console_put(vm, text[i]);
	lock_release(&vm->dev_lock);
}

static long dbcn_write(struct vcpu *v, gpa_t src, u64 len, u64 *done)
{
	struct space *s = &v->vm->space;
	char chunk[CHUNK_LEN];

	for (*done = 0; *done < len;) {
		u64 n = u64_min(len - *done, CHUNK_LEN);
		if (copy_from_guest(s, chunk, GPA(src.v + *done), n) != ERR_OK)
			return *done ? SBI_SUCCESS : SBI_ERR_FAILED;
		put(v->vm, chunk, n);
		*done += n;
	}
	return SBI_SUCCESS;
}

/* What has been taken from the device cannot be put back: the page comes first. */
static enum err dbcn_read(struct vcpu *v, gpa_t dst, u64 len, u64 *done)
{
	u64 n = 0, max = u64_min(len, CHUNK_LEN);
	char chunk[CHUNK_LEN];
	enum err e;
	int ch;

	*done = 0;
	if (max == 0 || !device_ops->console_has_input(v->vm))
		return ERR_OK;
	e = copy_prepare(&v->vm->space, dst, max);
	if (e != ERR_OK)
		return e;
	while (n < max && (ch = device_ops->console_take(v->vm)) >= 0)
		chunk[n++] = (char)ch;
	*done = n;
	return copy_to_guest(&v->vm->space, dst, chunk, n);
}

/* a0 = bytes, a1 = low, a2 = high half of the physical address. */
static long transfer(struct vcpu *v, struct sbi_call *c)
{
	u64 len = u64_min(c->a[0], CALL_MAX);
	gpa_t gpa = GPA(c->a[1]);
	enum err e;

	if (c->a[2] != 0 || !space_has(&v->vm->space, gpa, c->a[0]))
		return SBI_ERR_INVALID_PARAM;
	if (c->fid == DBCN_WRITE)
		return dbcn_write(v, gpa, len, &c->value);
	e = dbcn_read(v, gpa, len, &c->value);
	if (e == ERR_NOMEM) {
		/* Held, and it repeats the call; or its VM is being killed. */
		nomem_wait(v);
		c->no_return = true;
	}
	return e == ERR_OK ? SBI_SUCCESS : SBI_ERR_FAILED;
}

static void dbcn_call(struct vcpu *v, struct sbi_call *c)
{
	char byte = (char)c->a[0];

	switch (c->fid) {
	case DBCN_WRITE:
	case DBCN_READ: c->error = transfer(v, c); break;
	case DBCN_WRITE_BYTE:
		put(v->vm, &byte, 1);
		c->error = SBI_SUCCESS;
		break;
	default: c->error = SBI_ERR_NOT_SUPPORTED; break;
	}
}

const struct sbi_ext sbi_dbcn = {
	.name = "DBCN", .first_eid = 0x4442434e, .last_eid = 0x4442434e, .call = dbcn_call
};
