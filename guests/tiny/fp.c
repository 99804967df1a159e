/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Floating-point state belongs to one vCPU: all 32 registers and fcsr keep their values over exits, preemption and
 * sleep, on every hart at once, while the neighbours (other vCPUs, another VM with another seed) do the same with
 * other values. And sstatus.FS tells the truth: Off traps, reading keeps it, writing makes it Dirty.
 * Arguments: seed=1 ms=1500
 */
#include "guest.h"
#include <stdatomic.h>

const char guest_name[] = "fp";

#define FS_OFF     0UL
#define FS_INITIAL 1UL
#define FS_CLEAN   2UL
#define FS_DIRTY   3UL

void fp_fill(u64 seed, u64 fcsr);
u64 fp_check(u64 seed, u64 fcsr);
void fp_write_one(u64 value);
u64 fp_sum(u64 n);

static u64 fs(void)
{
	return csr_read(sstatus) >> 13 & 3;
}

static void set_fs(u64 state)
{
	csr_clear(sstatus, SSTATUS_FS);
	csr_set(sstatus, state << 13);
}

static void test_fs(void)
{
	set_fs(FS_OFF);
	check(catch_s(fp_write_one, 1), "no trap with FS = Off");
	check(this_hart()->cause == C_ILLEGAL, "FS = Off: cause %lu", this_hart()->cause);
	set_fs(FS_INITIAL);
	fp_write_one(5);
	check(fs() == FS_DIRTY, "FS = %lu after a write", fs());
	check(csr_read(sstatus) >> 63, "SD is clear though FS is dirty");
	fp_fill(100, 0x20);
	set_fs(FS_CLEAN);
	check(fp_check(100, 0x20) == 0, "registers lost when the guest cleaned FS");
	set_fs(FS_OFF);
	delay_ms(20);
	set_fs(FS_CLEAN);
	check(fp_check(100, 0x20) == 0, "registers lost while FS was off");
	fp_write_one(5);
	check(fs() == FS_DIRTY, "FS = %lu after a write to clean registers", fs());
}

static void keep(void *arg)
{
	u64 seed = (u64)arg << 32 | this_hart()->id << 24,
	    end = ticks() + ms(guest_arg("ms", 1500));
	set_fs(FS_INITIAL);
	for (u64 round = 0; goes_on(end); round++) {
		u64 fcsr = (round % 5) << 5 | (seed >> 32) % 32;
		fp_fill(seed + round, fcsr);
		leave_guest(round);
		u64 n = fp_check(seed + round, fcsr);
		check(n == 0, "hart %lu, round %lu: %lu registers lost", this_hart()->id, round, n);
		/* A change to fcsr alone, while the registers are as they were. */
		leave_guest(1);
		csr_write(0x003, fcsr ^ 1);
		leave_guest(1);
		n = fp_check(seed + round, fcsr ^ 1);
		check(n == 0, "hart %lu, round %lu: fcsr lost", this_hart()->id, round);
		csr_write(0x003, 0);
		check(fp_sum(1000) == 500500, "a sum in doubles is %lu", fp_sum(1000));
	}
}

void guest_main(void)
{
	void *seed = (void *)guest_arg("seed", 1);
	test_fs();
	for (u64 i = 0; i + 1 < machine.n_harts; i++)
		check(hart_start(other_hart(i), keep, seed) == SBI_OK, "start");
	keep(seed);
	for (u64 i = 0; i + 1 < machine.n_harts; i++)
		hart_await(other_hart(i), 1);
}
