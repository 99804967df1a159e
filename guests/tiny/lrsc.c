/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A reservation does not outlive the vCPU's time on the hart. One vCPU does nothing but LR; the other stores
 * conditionally without ever having reserved: each success was made with the other's reservation. Then both increment
 * one counter by LR/SC with room for a preemption in between, and no count may be lost.
 * Arguments: ms=1500 rounds=20000
 */
#include "guest.h"
#include <stdatomic.h>

const char guest_name[] = "lrsc";

static u64 cell __attribute__((aligned(64)));
static u64 counter __attribute__((aligned(64)));
static _Atomic u64 stop, ready;

static void reserve_only(void *arg)
{
	(void)arg;
	atomic_store(&ready, 1);
	while (!atomic_load(&stop))
		for (u32 i = 0; i < 1000; i++)
			__asm__ volatile("lr.d t0, (%0)" ::"r"(&cell) : "t0", "memory");
}

static void test_reservation(u64 other)
{
	check(hart_start(other, reserve_only, NULL) == SBI_OK, "start");
	while (!atomic_load(&ready))
		;
	u64 end = ticks() + ms(guest_arg("ms", 1500)), failed;
	while (ticks() < end)
		for (u32 i = 0; i < 100; i++) {
			__asm__ volatile("sc.d %0, %1, (%2)"
			                 : "=&r"(failed)
			                 : "r"(7UL), "r"(&cell)
			                 : "memory");
			check(failed, "SC succeeded on another vCPU's reservation");
		}
	check(cell == 0, "the cell changed");
	atomic_store(&stop, 1);
	hart_await(other, 1);
}

/* counter++ with a pause between LR and SC. */
static void increment(u64 pause)
{
	u64 failed = 1;
	while (failed)
		__asm__ volatile("lr.d t0, (%1)\n"
		                 "addi t0, t0, 1\n"
		                 "mv t1, %2\n"
		                 "1: addi t1, t1, -1\n"
		                 "bgtz t1, 1b\n"
		                 "sc.d %0, t0, (%1)"
		                 : "=&r"(failed)
		                 : "r"(&counter), "r"(pause)
		                 : "t0", "t1", "memory");
}

static void count(void *arg)
{
	u64 rounds = guest_arg("rounds", 20000);
	(void)arg;
	for (u64 i = 0; i < rounds; i++) {
		increment(i % 256 == 0 ? 20000 : i % 16);
		__asm__ volatile("amoadd.d zero, %0, (%1)" ::"r"(1UL), "r"(&cell) : "memory");
	}
}

void guest_main(void)
{
	u64 other = other_hart(0), rounds = guest_arg("rounds", 20000);
	test_reservation(other);
	check(hart_start(other, count, NULL) == SBI_OK, "second start");
	count(NULL);
	hart_await(other, 1);
	check(counter == 2 * rounds, "LR/SC lost %lu of %lu increments", 2 * rounds - counter,
	      2 * rounds);
	check(cell == 2 * rounds, "AMO lost %lu of %lu increments", 2 * rounds - cell, 2 * rounds);
}
