/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The mailbox: one trapped page of registers, and a window of plain guest memory
 * beside it (vm->window, not of this file's making) for payload and result.
 *
 *   READY  store: "freeze me here".  The store completes, then the vCPU is held if
 *          somebody waits to freeze it; what goes on from there is a clone.
 *   NEXT   load: parks the vCPU until there is work, then gives its length, once.
 *   DONE   store: the length of the result.  More than the window holds is an
 *          access fault.
 *   STATUS store: what the next DONE means.  MARK store: the handler begins or ends.
 *
 * Parking: the look at has_work and the hold are under dev_lock, and so are the
 * new work and the end of the hold; no wake-up falls between them.  The load is
 * repeated after the hold, so several vCPUs may wait, and one of them wins.
 *
 * Accesses are 32 bits wide, or 64 bits over an aligned pair of registers, low
 * one first.  A store to a read-only register does nothing, a write-only one
 * reads as zero; what lies beyond the last register is an access fault.
 */
#include "dev/mailbox.h"
#include "arch/time.h"
#include "dev/dev.h"
#include "dev/fdt_write.h"
#include "drv/rtc.h"
#include <string.h>

#define MAILBOX_GPA 0x04000000U
#define MAILBOX_LEN 0x1000U

static bool is_register(u64 offset, u32 len)
{
	return (len == 4 || len == 8) && (offset & (len - 1)) == 0 &&
	       range_holds(0, MAILBOX_REGS_END, offset, len);
}

static u32 take_random(struct mailbox *m)
{
	u32 word;

	if (m->n_random == 0) {
		entropy_block(m->random);
		m->n_random = ENTROPY_BLOCK_WORDS;
	}
	m->n_random--;
	word = m->random[m->n_random];
	/* What has been given away is not kept: a later freeze would hand it to every clone. */
	m->random[m->n_random] = 0;
	return word;
}

static enum mmio load_next(struct vcpu *v, struct mailbox *m, u32 *value)
{
	if (!m->has_work) {
		vcpu_hold(v, HOLD_WORK);
		return MMIO_WAIT;
	}
	m->has_work = false;
	*value = m->work_len;
	return MMIO_OK;
}

/* A look at the clock is three loads: the first one latches what the others give. */
static u32 load_clock(struct mailbox *m)
{
	struct wall_time now = rtc_now();

	m->clock_high = (u32)(now.s >> 32);
	m->clock_ns = now.ns;
	return (u32)now.s;
}

/* *value stays as it is where there is nothing to load. */
static enum mmio load_register(struct vcpu *v, struct mailbox *m, u64 offset, u32 *value)
{
	const struct vm *vm = v->vm;

	switch ((enum mailbox_reg)offset) {
	case MAILBOX_REG_MAGIC: *value = MAILBOX_MAGIC; break;
	case MAILBOX_REG_VERSION: *value = MAILBOX_VERSION; break;
	case MAILBOX_REG_CLONE_ID: *value = vm->clone_id; break;
	case MAILBOX_REG_GENERATION: *value = vm->generation; break;
	case MAILBOX_REG_NEXT: return load_next(v, m, value);
	case MAILBOX_REG_ENTROPY: *value = take_random(m); break;
	case MAILBOX_REG_WINDOW_LEN: *value = (u32)vm->window.len; break;
	case MAILBOX_REG_WINDOW_LEN_HIGH: *value = (u32)(vm->window.len >> 32); break;
	case MAILBOX_REG_CLOCK: *value = load_clock(m); break;
	case MAILBOX_REG_CLOCK_HIGH: *value = m->clock_high; break;
	case MAILBOX_REG_CLOCK_NS: *value = m->clock_ns; break;
	case MAILBOX_REG_READY:
	case MAILBOX_REG_DONE:
	case MAILBOX_REG_STATUS:
	case MAILBOX_REG_MARK:
	case MAILBOX_REGS_END: break;
	}
	return MMIO_OK;
}

static enum mmio store_ready(struct vcpu *v)
{
	struct vm *vm = v->vm;

	vm->stats.ready = time_now();
	/* A clone has been through this store already, and nobody waits to freeze it. */
	if (vm->hold_at_ready && vm->template == NULL)
		vcpu_hold(v, HOLD_READY);
	vm_post_event(vm, VM_EV_READY);
	return MMIO_OK;
}

static enum mmio store_done(struct vm *vm, struct mailbox *m, u32 len)
{
	struct time_cost now = time_cost_now();

	if (len > vm->window.len)
		return MMIO_FAULT;
	vm->result_len = len;
	vm->result_status = m->status;
	m->status = RESULT_ANSWER;
	vm->stats.done = now.ticks;
	vm->stats.done_instret = now.instret;
	vm_post_event(vm, VM_EV_DONE);
	return MMIO_OK;
}

static enum mmio store_status(struct mailbox *m, u32 status)
{
	if (status >= RESULT_N_STATUSES)
		return MMIO_FAULT;
	m->status = (u8)status;
	return MMIO_OK;
}

static enum mmio store_mark(struct vm *vm, u32 mark)
{
	if (mark < 1 || mark > VM_N_MARKS)
		return MMIO_FAULT;
	vm->stats.mark[mark - 1] = time_cost_now();
	return MMIO_OK;
}

static enum mmio mailbox_load(struct vcpu *v, void *state, u64 offset, u32 len, u64 *value)
{
	u32 low = 0, high = 0;
	enum mmio result;

	if (!is_register(offset, len))
		return MMIO_FAULT;
	result = load_register(v, state, offset, &low);
	/* CLOCK latches anew what it is asked again, so a wait in the high half may repeat both. */
	if (result == MMIO_OK && len == 8)
		result = load_register(v, state, offset + 4, &high);
	if (result == MMIO_OK)
		*value = low | (u64)high << 32;
	return result;
}

static enum mmio store_register(struct vcpu *v, struct mailbox *m, u64 offset, u32 value)
{
	switch (offset) {
	case MAILBOX_REG_READY: return store_ready(v);
	case MAILBOX_REG_DONE: return store_done(v->vm, m, value);
	case MAILBOX_REG_STATUS: return store_status(m, value);
	case MAILBOX_REG_MARK: return store_mark(v->vm, value);
	default: return MMIO_OK;
	}
}

/* Before either half of a pair does anything both must be fit to: STATUS and MARK are the only pair of this kind. */
static bool is_storable_pair(u64 offset, u64 value)
{
	return offset != MAILBOX_REG_STATUS || (value >> 32 >= 1 && value >> 32 <= VM_N_MARKS);
}

static enum mmio mailbox_store(struct vcpu *v, void *state, u64 offset, u32 len, u64 value)
{
	enum mmio result;

	if (!is_register(offset, len) || (len == 8 && !is_storable_pair(offset, value)))
		return MMIO_FAULT;
	result = store_register(v, state, offset, (u32)value);
	if (result == MMIO_OK && len == 8)
		result = store_register(v, state, offset + 4, (u32)(value >> 32));
	return result;
}

void mailbox_give_work(struct vm *vm, u32 len)
{
	struct mailbox *m = device_state(vm, DEV_MAILBOX);

	lock_acquire(&vm->dev_lock);
	if (vm->state != VM_TEMPLATE) {
		m->work_len = len;
		m->has_work = true;
		for (u32 i = 0; i < vm->n_vcpus; i++)
			vcpu_unhold(vm->vcpu[i], HOLD_WORK);
	}
	lock_release(&vm->dev_lock);
}

/* A clone waits for work of its own, and its numbers must not be its template's. */
static void mailbox_reset(struct vm *vm, void *state)
{
	(void)vm;
	ZERO_WORDS_IN_LINE(state, ALIGN_UP(sizeof(struct mailbox), 8)); /* as its slice is */
}

/* reg: the page of registers, then the window. */
static int mailbox_fdt(const struct vm *vm, void *fdt)
{
	const fdt64_t reg[] = { cpu_to_fdt64(MAILBOX_GPA), cpu_to_fdt64(MAILBOX_LEN),
		                cpu_to_fdt64(vm->window.base.v), cpu_to_fdt64(vm->window.len) };

	FDT_TRY(fdt_begin_node(fdt, "mailbox@4000000"));
	FDT_TRY(fdt_write_string(fdt, "compatible", "pando,mailbox"));
	FDT_TRY(fdt_property(fdt, "reg", reg, sizeof(reg)));
	return fdt_end_node(fdt);
}

const struct device_type mailbox_type = {
	.name = "mailbox",
	.base = MAILBOX_GPA,
	.len = MAILBOX_LEN,
	.state_len = sizeof(struct mailbox),
	.init = mailbox_reset,
	.cloned = mailbox_reset,
	.load = mailbox_load,
	.store = mailbox_store,
	.fdt = mailbox_fdt,
};
