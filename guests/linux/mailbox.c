/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mailbox PAGE WINDOW COMMAND: be frozen, and in each clone run a busybox command on a payload made of the clone's number.
 *
 * PAGE and WINDOW are the physical addresses, in hex, of the two parts of Pando's mailbox (docs/guest-abi.md). The payload
 * "pando clone <number>" is the command's input; the first word of its output goes into the window, and DONE reports
 * its length.
 *
 * The shell can do all this with devmem, at 1.2 M instructions for each word it stores; a thousand clones do
 * better with one program. It needs no C library: the template has as few pages as that takes, and everything that can be
 * done before READY is, for a clone inherits it.
 */

typedef unsigned int u32;
typedef unsigned long u64;

enum { READY = 0x08, CLONE_ID = 0x0c, DONE = 0x18 };
enum {
	SYS_dup3 = 24,
	SYS_openat = 56,
	SYS_close = 57,
	SYS_pipe2 = 59,
	SYS_read = 63,
	SYS_write = 64,
	SYS_exit = 93,
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
#define CLONE_VM_VFORK_SIGCHLD (0x100L | 0x4000L | 17L)
#define PAGE_LEN               4096L
#define OUTPUT_LEN             256UL

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

static u64 length(const char *s)
{
	u64 n = 0;

	while (s[n])
		n++;
	return n;
}

static _Noreturn void quit(const char *why)
{
	syscall3(SYS_write, 2, why, length(why));
	syscall3(SYS_exit, 1, 0, 0);
	__builtin_unreachable();
}

static u64 parse_hex(const char *s)
{
	u64 v = 0;

	if (s[0] == '0' && s[1] == 'x')
		s += 2;
	for (; *s; s++)
		v = v << 4 | (u64)(*s <= '9' ? *s - '0' : (*s | 0x20) - 'a' + 10);
	return v;
}

static volatile char *map(long fd, u64 address)
{
	long at = syscall6(SYS_mmap, 0, PAGE_LEN, PROT_READ_WRITE, MAP_SHARED, fd, (long)address);

	if (at < 0 && at > -PAGE_LEN)
		quit("mailbox: /dev/mem does not map the mailbox\n");
	return (volatile char *)at;
}

/* "pando clone <id>"; returns its length. */
static u64 make_payload(char *to, u32 id)
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

/* Runs the command between the two pipes; the child borrows this stack until it has become the command. */
static void run(char **argv, char **envp, const int in[2], const int out[2])
{
	long child = syscall6(SYS_clone, CLONE_VM_VFORK_SIGCHLD, 0, 0, 0, 0, 0);

	if (child == 0) {
		syscall3(SYS_dup3, in[0], 0, 0);
		syscall3(SYS_dup3, out[1], 1, 0);
		syscall3(SYS_execve, "/bin/busybox", argv, envp);
		quit("mailbox: no /bin/busybox\n");
	}
	if (child < 0 || syscall6(SYS_wait4, child, 0, 0, 0, 0, 0) != child)
		quit("mailbox: the command does not run\n");
}

static __attribute__((used)) _Noreturn void start(long *stack)
{
	char **argv = (char **)(stack + 1), **envp = argv + stack[0] + 1;
	char payload[32], output[OUTPUT_LEN];
	volatile char *page, *window;
	int in[2], out[2];
	long fd, got;
	u32 n = 0;

	if (stack[0] < 4)
		quit("usage: mailbox PAGE WINDOW COMMAND\n");
	fd = syscall6(SYS_openat, AT_FDCWD, (long)"/dev/mem", O_RDWR_SYNC | O_CLOEXEC, 0, 0, 0);
	page = map(fd, parse_hex(argv[1]));
	window = map(fd, parse_hex(argv[2]));
	if (syscall3(SYS_pipe2, in, O_CLOEXEC, 0) < 0 || syscall3(SYS_pipe2, out, O_CLOEXEC, 0) < 0)
		quit("mailbox: no pipe\n");

	*(volatile u32 *)(page + READY) = 1;
	/* From here on: a clone. */
	syscall3(SYS_write, in[1], payload,
	         make_payload(payload, *(volatile u32 *)(page + CLONE_ID)));
	syscall3(SYS_close, in[1], 0, 0); /* or the command never sees the end of its input */
	run(argv + 3, envp, in, out);
	got = syscall3(SYS_read, out[0], output, OUTPUT_LEN);
	for (; n < got && output[n] > ' '; n++)
		window[n] = output[n];
	*(volatile u32 *)(page + DONE) = n;
	syscall3(SYS_exit, 0, 0, 0);
	__builtin_unreachable();
}

__attribute__((naked, noreturn)) void _start(void);
__attribute__((naked, noreturn)) void _start(void)
{
	__asm__("mv a0, sp\n"
	        "tail start");
}
