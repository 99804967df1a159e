/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A memory checker, the /init of the Linux guests that tests/soak freezes, clones, forks, resets and kills.
 *
 * Each of a few processes, with two threads each, has some MiB of pages. A page is filled with words made of its owner, its number and its
 * version; the version stands elsewhere. A step checks every word of a page and writes the next version. A further
 * process forks without end: each child checks what it has inherited, writes over its copy, checks again and ends; so the
 * guest's own copy-on-write works on top of Pando's.
 *
 * Each process says "memcheck N: ..." now and then. A word that is wrong is reported as "MEMCHECK CORRUPT ...", and
 * then the process stands still with everything as it was.
 */
#include "start.h"
#include "sys.h"
#include "thread.h"

#define N_PROCESSES 3
#define N_PAGES     512UL /* of each thread */
#define WORDS       (PAGE_LEN / 8)
#define STACK_LEN   (4 * PAGE_LEN)
#define STEPS       4096UL /* between two lines of output */

#define PROT_PRIVATE_ANONYMOUS 0x22L
#define SIGCHLD_ONLY           17L

struct area {
	u64 owner, seed;
	u64 *page;
	u64 version[N_PAGES];
};

static u64 mix(u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9UL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebUL;
	return x ^ x >> 31;
}

static void *pages(u64 len)
{
	long at = syscall6(SYS_mmap, 0, (long)len, PROT_READ_WRITE, PROT_PRIVATE_ANONYMOUS, -1, 0);

	if (at < 0 && at > -(long)PAGE_LEN)
		quit("memcheck: no memory\n");
	return (void *)at;
}

/* Each `#` of the text becomes the next number, in hex. */
static void say(const char *text, const u64 *number)
{
	char line[200];
	u64 n = 0;

	for (; *text && n < sizeof(line) - 16; text++) {
		if (*text != '#') {
			line[n++] = *text;
			continue;
		}
		for (int shift = *number >> 32 ? 60 : *number >> 8 ? 28 : 4; shift >= 0; shift -= 4)
			line[n++] = "0123456789abcdef"[*number >> shift & 15];
		number++;
	}
	syscall3(SYS_write, 1, line, n);
}

static void stand_still(void)
{
	long ten_seconds[2] = { 10, 0 };

	for (;;)
		syscall3(SYS_nanosleep, ten_seconds, 0, 0);
}

static u64 word(const struct area *a, u64 page, u64 i)
{
	return mix(a->owner << 56 ^ page << 40 ^ i << 28 ^ a->version[page]);
}

static void fill(struct area *a, u64 page)
{
	for (u64 i = 0; i < WORDS; i++)
		a->page[page * WORDS + i] = word(a, page, i);
}

static void check(const struct area *a, u64 page)
{
	for (u64 i = 0; i < WORDS; i++) {
		u64 found = a->page[page * WORDS + i], want = word(a, page, i);

		if (found == want)
			continue;
		say("MEMCHECK CORRUPT owner # page # word #: # not #\n",
		    (u64[]){ a->owner, page, i, found, want });
		stand_still();
	}
}

/* The next version of a page; now and then only the first words of it, and then the rest. */
static void step(struct area *a)
{
	u64 page = (a->seed = mix(a->seed + 0x9e3779b97f4a7c15UL)) % N_PAGES;

	check(a, page);
	a->version[page]++;
	fill(a, page);
}

static struct area *area_new(u64 owner)
{
	struct area *a = pages(sizeof(*a));

	a->owner = owner;
	a->seed = owner;
	a->page = pages(N_PAGES * PAGE_LEN);
	for (u64 page = 0; page < N_PAGES; page++)
		fill(a, page);
	return a;
}

static void work(void *arg)
{
	struct area *a = arg;

	for (u64 n = 1;; n++) {
		step(a);
		if (n % STEPS == 0)
			say("memcheck #: # steps\n", (u64[]){ a->owner, n });
	}
}

/* Children that have copies of all of it, and write to some. */
static void fork_again_and_again(void)
{
	struct area *a = area_new(0xf0);

	for (u64 n = 1;; n++) {
		long child = syscall6(SYS_clone, SIGCHLD_ONLY, 0, 0, 0, 0, 0);

		a->seed += n;
		for (u64 k = 0; k < 64; k++)
			step(a);
		if (child == 0)
			syscall3(SYS_exit, 0, 0, 0);
		if (child < 0 || syscall6(SYS_wait4, child, 0, 0, 0, 0, 0) != child)
			quit("memcheck: no child\n");
		if (n % 64 == 0)
			say("memcheck #: # children\n", (u64[]){ a->owner, n });
	}
}

static __attribute__((used)) _Noreturn void start(void)
{
	say("memcheck: begins\n", 0);
	for (u64 p = 0; p < N_PROCESSES; p++) {
		if (syscall6(SYS_clone, SIGCHLD_ONLY, 0, 0, 0, 0, 0) != 0)
			continue;
		if (thread_start(THREAD_FLAGS, (char *)pages(STACK_LEN) + STACK_LEN, work,
		                 area_new(2 * p + 1)) < 0)
			quit("memcheck: no thread\n");
		work(area_new(2 * p + 2));
	}
	fork_again_and_again();
	__builtin_unreachable();
}
