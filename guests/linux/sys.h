/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest's programs need of Linux and of Pando's mailbox (docs/guest-abi.md). They have no C library: a template
 * then has as few pages as that takes, and nothing runs that is not written here.
 */
#ifndef GUESTS_LINUX_SYS_H
#define GUESTS_LINUX_SYS_H

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

enum mailbox_reg {
	READY = 0x08,
	CLONE_ID = 0x0c,
	GENERATION = 0x10,
	NEXT = 0x14,
	DONE = 0x18,
	WINDOW_LEN = 0x20
};

enum {
	SYS_dup3 = 24,
	SYS_openat = 56,
	SYS_close = 57,
	SYS_pipe2 = 59,
	SYS_read = 63,
	SYS_write = 64,
	SYS_ppoll = 73,
	SYS_exit = 93,
	SYS_nanosleep = 101,
	SYS_clock_gettime = 113,
	SYS_clone = 220,
	SYS_execve = 221,
	SYS_mmap = 222,
	SYS_wait4 = 260
};

#define AT_FDCWD               -100L
#define O_RDWR_SYNC            (2L | 04010000L)
#define O_CLOEXEC              02000000L
#define PROT_READ_WRITE        3L
#define MAP_SHARED             1L
#define CLOCK_MONOTONIC_COARSE 6L
#define PAGE_LEN               4096UL

struct time {
	u64 seconds, ns;
};

static inline long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;
	register long a7 __asm__("a7") = number;

	__asm__ volatile("ecall"
	                 : "+r"(a0)
	                 : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7)
	                 : "memory");
	return a0;
}

#define syscall3(number, a, b, c) syscall6(number, (long)(a), (long)(b), (long)(c), 0, 0, 0)

static inline u64 length(const char *s)
{
	u64 n = 0;

	while (s[n])
		n++;
	return n;
}

static inline _Noreturn void quit(const char *why)
{
	syscall3(SYS_write, 2, why, length(why));
	syscall3(SYS_exit, 1, 0, 0);
	__builtin_unreachable();
}

static inline u64 parse_hex(const char *s)
{
	u64 v = 0;

	if (s[0] == '0' && s[1] == 'x')
		s += 2;
	for (; *s; s++)
		v = v << 4 | (u64)(*s <= '9' ? *s - '0' : (*s | 0x20) - 'a' + 10);
	return v;
}

/* ---- the mailbox: registers and window, at the physical addresses that /init has read from the device tree */

static inline long open_memory(void)
{
	return syscall6(SYS_openat, AT_FDCWD, (long)"/dev/mem", O_RDWR_SYNC | O_CLOEXEC, 0, 0, 0);
}

static inline volatile void *map(long fd, const char *address, u64 len)
{
	long at = syscall6(SYS_mmap, 0, (long)len, PROT_READ_WRITE, MAP_SHARED, fd,
	                   (long)parse_hex(address));

	if (at < 0 && at > -(long)PAGE_LEN)
		quit("mailbox: /dev/mem does not map the mailbox\n");
	return (volatile void *)at;
}

static inline u32 mailbox_load(volatile void *regs, enum mailbox_reg reg)
{
	return *(volatile u32 *)((volatile char *)regs + reg);
}

static inline void mailbox_store(volatile void *regs, enum mailbox_reg reg, u32 value)
{
	*(volatile u32 *)((volatile char *)regs + reg) = value;
}

/* "pando clone <id>", for at most 32 bytes; returns its length. */
static inline u64 make_payload(char *to, u32 id)
{
	static const char words[] = "pando clone ";
	char digits[10];
	u64 n = 0, d = 0;

	for (; words[n]; n++)
		to[n] = words[n];
	do
		digits[d++] = (char)('0' + id % 10);
	while (id /= 10);
	while (d)
		to[n++] = digits[--d];
	return n;
}

#endif
