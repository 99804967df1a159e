/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who a clone is: the generation id changes, the interrupt that says so comes before the clone's first instruction, and
 * the second vCPU finds it served. Argument mode:
 *   0  a driver that has the source enabled
 *   1  none yet: the id is another all the same, and enabling the source brings no interrupt
 *   2  a driver that does not listen: the second vCPU does not wait for ever
 */
#include "guest.h"

const char guest_name[] = "identity";

#define ID             0x04001000UL
#define SOURCE         64UL
#define PLIC           0x0c000000UL
#define PLIC_PRIORITY  (PLIC + 4 * SOURCE)
#define PLIC_ENABLE(h) (PLIC + 0x2000 + 0x80 * (2 * (h) + 1) + SOURCE / 32 * 4)
#define PLIC_CLAIM(h)  (PLIC + 0x200004 + 0x1000 * (2 * (h) + 1))
#define SIE_EXT        (1UL << IRQ_EXT)

enum mode { DRIVEN, LATE, DEAF };

struct id {
	u64 low, high;
};

static struct id old, served;
static volatile u32 n_served, n_seen,
	is_second_up; /* n_seen: n_served when the second vCPU woke, plus 1 */

static struct id read_id(void)
{
	return (struct id){ get64(ID), get64(ID + 8) };
}

static bool is_same(struct id a, struct id b)
{
	return a.low == b.low && a.high == b.high;
}

static void serve(struct hart *h, u64 irq)
{
	u32 source = get32(PLIC_CLAIM(h->id));

	(void)irq;
	check(source == SOURCE, "source %u was claimed", source);
	served = read_id();
	n_served++;
	put32(PLIC_CLAIM(h->id), source);
}

static void second(void *arg)
{
	(void)arg;
	is_second_up = 1;
	while (mailbox_get(MB_GENERATION) == 0)
		;
	n_seen = n_served + 1;
}

static void test_widths(void)
{
	for (u32 i = 0; i < 16; i++)
		check(get8(ID + i) == (u8)((i < 8 ? old.low : old.high) >> i % 8 * 8),
		      "byte %u of the id", i);
	check(get32(ID + 4) == old.low >> 32 && get32(ID + 8) == (u32)old.high,
	      "the id in words of 32 bits");
	put64(ID, 0);
	check(is_same(read_id(), old), "a store has changed the id");
}

static void await_second(const char *what)
{
	u64 end = ticks() + ms(20000);

	while (n_seen == 0)
		check(ticks() < end, "the second vCPU does not come: %s", what);
}

void guest_main(void)
{
	struct hart *h = this_hart();
	enum mode mode = (enum mode)guest_arg("mode", DRIVEN);
	struct id mine;

	old = read_id();
	test_widths();
	h->irq_fn = serve;
	put32(PLIC_PRIORITY, 1);
	if (mode != LATE)
		put32(PLIC_ENABLE(h->id), 1);
	csr_set(sie, SIE_EXT);
	check(hart_start(other_hart(0), second, NULL) == SBI_OK, "start of the second vCPU");
	while (!is_second_up)
		;
	print("ready");
	if (mode != DEAF)
		csr_set(sstatus, SSTATUS_SIE);
	mailbox_ready();
	check(n_served == (mode == DRIVEN), "%u interrupts before the clone's first instruction",
	      n_served);
	mine = read_id();
	check(!is_same(mine, old), "the id of the template");
	await_second(mode == DEAF ? "nobody serves the interrupt"
	                          : "it was served, or not to come");
	if (mode == DRIVEN) {
		check(is_same(served, mine), "the id has changed after the interrupt");
		check(n_seen == 2, "the second vCPU came before the interrupt was served");
	}
	csr_set(sstatus, SSTATUS_SIE);
	put32(PLIC_ENABLE(h->id), 1);
	delay_ms(20);
	check(n_served == (mode != LATE), "%u interrupts", n_served);
	print("id %016lx%016lx", mine.low, mine.high);
}
