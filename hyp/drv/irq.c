// SPDX-License-Identifier: BSD-2-Clause
/*
 * The machine's PLIC (RISC-V PLIC specification 1.0).  All sources go to hart
 * index 0; the other harts keep an empty context, so that a claim cannot race.
 */
#include "drv/irq.h"

#include "arch/hart.h"
#include "drv/machine.h"
#include "lib/assert.h"

#define PLIC_PRIORITY(irq)        (4UL * (irq))
#define PLIC_ENABLE(context, irq) (0x2000UL + 0x80UL * (context) + 4UL * ((irq) / 32))
#define PLIC_THRESHOLD(context)   (0x200000UL + 0x1000UL * (context))
#define PLIC_CLAIM(context)       (0x200004UL + 0x1000UL * (context))

#define HANDLERS_MAX 8U

struct irq_handler {
	u32 irq;
	void (*fn)(void *arg);
	void *arg;
};

/* Filled at boot, on the boot hart, before interrupts of that source are enabled. */
static struct irq_handler handlers[HANDLERS_MAX];
static u32 n_handlers;
static bool is_hart_0_ready;

static volatile u32 *plic_reg(u64 offset)
{
	assert(offset + 4 <= machine_info.plic_len);
	return (volatile u32 *)(machine_info.plic_base.v + offset); /* NOLINT: MMIO */
}

static bool has_plic(void)
{
	return machine_info.plic_base.v != 0;
}

/* The S-mode context of the running hart, or PLIC_NO_CONTEXT. */
static u32 own_context(void)
{
	u32 i;

	for (i = 0; has_plic() && i < machine_info.n_harts; i++)
		if (machine_info.hart_ids[i] == hart_id(hart_index()))
			return machine_info.plic_s_context[i];
	return PLIC_NO_CONTEXT;
}

static void enable(u32 context, u32 irq)
{
	volatile u32 *word = plic_reg(PLIC_ENABLE(context, irq));

	*word = *word | 1U << (irq % 32);
	/* Last: QEMU looks anew at what is pending on this store, not on the one before.  A source whose
	 * line is high already would stay silent for ever. */
	*plic_reg(PLIC_PRIORITY(irq)) = 1;
}

void irq_init(void)
{
	u32 irq;

	for (irq = 1; has_plic() && irq <= machine_info.plic_n_sources; irq++)
		*plic_reg(PLIC_PRIORITY(irq)) = 0;
}

void irq_hart_init(void)
{
	u32 context = own_context();
	u32 i;

	if (context == PLIC_NO_CONTEXT)
		return;
	for (i = 0; i <= machine_info.plic_n_sources; i += 32)
		*plic_reg(PLIC_ENABLE(context, i)) = 0;
	*plic_reg(PLIC_THRESHOLD(context)) = 0;
	if (hart_index() != 0)
		return;
	is_hart_0_ready = true;
	for (i = 0; i < n_handlers; i++)
		enable(context, handlers[i].irq);
}

void irq_register(u32 irq, void (*handler)(void *arg), void *arg)
{
	assert(n_handlers < HANDLERS_MAX);
	assert(hart_index() == 0 && irq != 0 && irq <= machine_info.plic_n_sources);
	handlers[n_handlers] = (struct irq_handler){ .irq = irq, .fn = handler, .arg = arg };
	n_handlers++;
	if (is_hart_0_ready && own_context() != PLIC_NO_CONTEXT)
		enable(own_context(), irq);
}

void irq_dispatch(void)
{
	u32 context = own_context();
	u32 irq;
	u32 i;

	if (context == PLIC_NO_CONTEXT)
		return;
	while ((irq = *plic_reg(PLIC_CLAIM(context))) != 0) {
		for (i = 0; i < n_handlers; i++)
			if (handlers[i].irq == irq)
				handlers[i].fn(handlers[i].arg);
		*plic_reg(PLIC_CLAIM(context)) = irq;
	}
}
