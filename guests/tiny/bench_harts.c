/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Breaks on all harts at once: as many clones as there are harts, or one clone with as many vCPUs. Each vCPU has a range
 * of `pages` pages that was written before READY; `wait` ms after READY, all of them write theirs again. Then they sleep
 * until the slowest is through, and print when each began and ended: by instret, which QEMU's icount counts for the
 * machine as a whole, and by time.
 *
 * Under icount QEMU runs one hart after the other, each until the next timer of the whole machine is due. With slice=N
 * each vCPU keeps a timer, whose interrupt it masks, some N ticks ahead, so that the harts take turns within a break;
 * each another multiple of N, so that one is left to end the turn of a hart that waits for a lock.
 */
#include "guest.h"
#include <stdatomic.h>

const char guest_name[] = "bench_harts";

#define REGION (2UL << 20)
#define COMMON (1UL << 28) /* instructions: more than until the last clone has had a turn */

static u64 n_pages, slice;
static _Atomic u64 start; /* guest time; 0: not yet known */
static _Atomic u64 n_done;

static u64 area_of(u64 index)
{
	u64 base = (free_start() + REGION - 1) & ~(REGION - 1);
	return base + index * ((n_pages * PAGE + REGION - 1) & ~(REGION - 1));
}

static void write_area(u64 index, u64 value)
{
	u64 at = area_of(index), ahead = slice * (1 + mailbox_get(MB_CLONE_ID) % MAX_HARTS);
	for (u64 i = 0; i < n_pages; i++) {
		if (slice)
			csr_write(0x14d, ticks() + ahead); /* stimecmp */
		put64(at + i * PAGE, value);
	}
}

static void sleep_until(u64 deadline)
{
	sbi_set_timer(deadline);
	csr_set(sie, 1UL << IRQ_TIMER);
	while (ticks() < deadline)
		wfi();
	csr_clear(sie, 1UL << IRQ_TIMER);
}

/* All at once. A clone's time begins with its first turn, which under icount may come late; instret is the machine's. */
static void await_start(void)
{
	u64 goal = (csr_read(instret) | (COMMON - 1)) + 1;
	while (!start || ticks() < start)
		;
	while (slice && csr_read(instret) < goal)
		;
}

static void work(void *arg)
{
	u64 index = (u64)arg, begin, end, first_tick, last_tick;

	await_start();
	first_tick = ticks();
	begin = csr_read(instret);
	write_area(index, index);
	end = csr_read(instret);
	last_tick = ticks();
	sleep_until(last_tick + ms(guest_arg("rest", 100)));
	print("HART %lu: %lu pages, instret %lu to %lu, ticks %lu to %lu", index, n_pages, begin,
	      end, first_tick, last_tick);
	if (atomic_fetch_add(&n_done, 1) + 1 == machine.n_harts)
		mailbox_put(MB_DONE, 0);
	for (;;)
		wfi();
}

void guest_main(void)
{
	n_pages = guest_arg("pages", 4096);
	slice = machine.has_sstc ? guest_arg("slice", 0) : 0;
	check(area_of(machine.n_harts) <= free_end(), "not enough memory");
	for (u64 i = 0; i < machine.n_harts; i++)
		write_area(i, ~i);
	for (u64 i = 1; i < machine.n_harts; i++)
		check(hart_start(other_hart(i - 1), work, (void *)i) == SBI_OK,
		      "hart %lu does not start", i);
	u64 then = ticks() + ms(guest_arg("wait", 50));
	mailbox_put(MB_READY, 1);
	start = then;
	work(0);
}
