/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * random PAGE WINDOW: be frozen with two CPUs awake, and in each clone draw random numbers from Linux as the very first
 * act on both: 16 bytes by getrandom(), 16 from /dev/urandom, one UUID. The window gets them as text, CPU 0's first.
 *
 * CPU 0 stores READY. CPU 1 loads GENERATION until it is not the template's any more: wherever the freeze meets it, what
 * it draws is drawn in the clone.
 */
#include "start.h"
#include "sys.h"
#include "thread.h"

#define SYS_sched_setaffinity 122
#define SYS_getrandom         278

#define STACK_LEN 4096UL
#define N_CPUS    2U
#define BYTES_LEN 16U
#define UUID_LEN  36U

static struct draw {
	u8 getrandom[BYTES_LEN], urandom[BYTES_LEN];
	char uuid[UUID_LEN];
} draws[N_CPUS];

static long urandom_fd, uuid_fd[N_CPUS];
static volatile void *regs;
static volatile u32 is_spinning, is_done; /* CPU 1 */
static u8 stack[STACK_LEN] __attribute__((aligned(16)));

static void stay_on(u64 cpu)
{
	u64 mask = 1UL << cpu;

	if (syscall3(SYS_sched_setaffinity, 0, sizeof(mask), &mask) != 0)
		quit("random: no such CPU\n");
}

static void draw(u32 cpu)
{
	struct draw *d = &draws[cpu];

	if (syscall3(SYS_getrandom, d->getrandom, BYTES_LEN, 0) != BYTES_LEN ||
	    syscall3(SYS_read, urandom_fd, d->urandom, BYTES_LEN) != BYTES_LEN ||
	    syscall3(SYS_read, uuid_fd[cpu], d->uuid, UUID_LEN) != UUID_LEN)
		quit("random: Linux gives no random numbers\n");
}

static void second(void *unused)
{
	(void)unused;
	stay_on(1);
	is_spinning = 1;
	while (mailbox_load(regs, GENERATION) == 0)
		;
	draw(1);
	__atomic_store_n(&is_done, 1, __ATOMIC_RELEASE);
	syscall3(SYS_exit, 0, 0, 0);
}

static u32 put_hex(volatile char *to, const u8 *bytes)
{
	static const char digits[] = "0123456789abcdef";

	for (u32 i = 0; i < BYTES_LEN; i++) {
		to[2 * i] = digits[bytes[i] >> 4];
		to[2 * i + 1] = digits[bytes[i] & 15];
	}
	to[2 * BYTES_LEN] = ' ';
	return 2 * BYTES_LEN + 1;
}

static u32 report(volatile char *window)
{
	u32 n = 0;

	for (u32 cpu = 0; cpu < N_CPUS; cpu++) {
		n += put_hex(window + n, draws[cpu].getrandom);
		n += put_hex(window + n, draws[cpu].urandom);
		for (u32 i = 0; i < UUID_LEN; i++)
			window[n++] = draws[cpu].uuid[i];
		window[n++] = ' ';
	}
	return n;
}

static long open_file(const char *name)
{
	long fd = syscall6(SYS_openat, AT_FDCWD, (long)name, 0, 0, 0, 0);

	if (fd < 0)
		quit("random: /dev/urandom or /proc is not there\n");
	return fd;
}

static __attribute__((used)) _Noreturn void start(long *stack_top)
{
	char **argv = (char **)(stack_top + 1);
	volatile char *window;
	long fd;

	if (stack_top[0] != 3)
		quit("usage: random PAGE WINDOW\n");
	fd = open_memory();
	regs = map(fd, argv[1], PAGE_LEN);
	window = map(fd, argv[2], PAGE_LEN);
	urandom_fd = open_file("/dev/urandom");
	for (u32 cpu = 0; cpu < N_CPUS; cpu++)
		uuid_fd[cpu] = open_file("/proc/sys/kernel/random/uuid");
	stay_on(0);
	if (thread_start(THREAD_FLAGS, stack + STACK_LEN, second, 0) < 0)
		quit("random: no second thread\n");
	while (!is_spinning)
		;
	mailbox_store(regs, READY, 1);
	/* From here on: a clone. */
	draw(0);
	while (!__atomic_load_n(&is_done, __ATOMIC_ACQUIRE))
		;
	mailbox_store(regs, DONE, report(window));
	/* Quiet from now on, and nobody to come back to. */
	for (;;)
		syscall6(SYS_ppoll, 0, 0, 0, 0, 0, 0);
}
