/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiled three times: into the static programs of C functions and of the shell, and as a flat image that Python maps
 * anywhere. So it has no C library, and no address in its data.
 */
#include "life.h"

#include "../settle.h"

enum {
	SYS_mount = 40,
	SYS_chdir = 49,
	SYS_clock_settime = 112,
	SYS_sigaltstack = 132,
	SYS_rt_sigaction = 134,
	SYS_reboot = 142,
	SYS_uname = 160,
	SYS_sethostname = 161
};

enum mailbox_reg_2 {
	VERSION = 0x04,
	ENTROPY = 0x1c,
	STATUS = 0x28,
	MARK = 0x2c,
	CLOCK = 0x30,
	CLOCK_NS = 0x38
};

#define CLOCK_REALTIME 0L
#define CLOCK_SLACK_NS 10000000UL /* less is not worth a system call that writes to six pages */
#define O_WRONLY       1L

#define REBOOT_MAGIC_1   0xfee1deadUL
#define REBOOT_MAGIC_2   672274793UL
#define REBOOT_POWER_OFF 0x4321fedcUL

#define ALT_STACK_LEN 8192UL
#define SA_FLAGS      0x08000004UL /* SA_ONSTACK, SA_SIGINFO */

/* ---- text */

struct text {
	char *at;
	u64 len, room;
};

static void put_char(struct text *t, char c)
{
	if (t->len < t->room)
		t->at[t->len++] = c;
}

static void put(struct text *t, const char *s)
{
	for (; *s; s++)
		put_char(t, *s);
}

static void put_number(struct text *t, u64 n, u64 base)
{
	char digits[20];
	u64 d = 0;

	do {
		u64 digit = n % base;

		digits[d++] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
	} while (n /= base);
	while (d)
		put_char(t, digits[--d]);
}

static struct text window_text(const struct life *l)
{
	return (struct text){ .at = (char *)l->window, .room = PAGE_LEN };
}

/* ---- ends */

static _Noreturn void power_off(void)
{
	syscall3(SYS_reboot, REBOOT_MAGIC_1, REBOOT_MAGIC_2, REBOOT_POWER_OFF);
	for (;;)
		;
}

static _Noreturn void give_up(const char *why)
{
	syscall3(SYS_write, 2, "function: ", 10);
	syscall3(SYS_write, 2, why, length(why));
	syscall3(SYS_write, 2, "\n", 1);
	power_off();
}

static u32 load(const struct life *l, u32 reg)
{
	return *(volatile u32 *)((volatile u8 *)l->regs + reg);
}

static u64 load_pair(const struct life *l, u32 reg)
{
	return *(volatile u64 *)((volatile u8 *)l->regs + reg);
}

static void store(const struct life *l, u32 reg, u32 value)
{
	*(volatile u32 *)((volatile u8 *)l->regs + reg) = value;
}

void life_answer(struct life *l, enum status status, u64 len)
{
	if (status != STATUS_ANSWER)
		store(l, STATUS, status);
	store(l, DONE, (u32)len);
}

void life_say(struct life *l, enum status status, const char *text)
{
	struct text t = window_text(l);

	put(&t, text);
	life_answer(l, status, t.len);
}

void life_say_number(struct life *l, enum status status, const char *text, u64 number)
{
	struct text t = window_text(l);

	put(&t, text);
	put_number(&t, number, 10);
	life_answer(l, status, t.len);
}

void life_too_long(struct life *l, u64 len, u64 room)
{
	struct text t = window_text(l);

	put(&t, "answer of ");
	put_number(&t, len, 10);
	put(&t, " bytes, ");
	put_number(&t, room, 10);
	put(&t, " fit");
	life_answer(l, STATUS_TOO_LONG, t.len);
}

void life_crash(struct life *l, const char *why)
{
	if (!l->is_ready)
		give_up(why);
	life_end(l);
	life_say(l, STATUS_CRASHED, why);
	power_off();
}

/* ---- signals: the handler runs in this very process, so what it does wrong arrives here */

static struct life *caught; /* of this process */
static u8 alt_stack[ALT_STACK_LEN] __attribute__((aligned(16)));

static const struct {
	u32 number;
	char name[12];
} signals[] = { { 4, "SIGILL" }, { 5, "SIGTRAP" },  { 6, "SIGABRT" }, { 7, "SIGBUS" },
	        { 8, "SIGFPE" }, { 11, "SIGSEGV" }, { 31, "SIGSYS" } };

#define N_SIGNALS (sizeof(signals) / sizeof(signals[0]))

/* Linux's riscv layout: si_code and si_addr in siginfo, pc in ucontext. A signal that a program has sent has no address. */
static void on_signal(int number, const u8 *info, const u8 *context)
{
	char line[128];
	struct text t = { .at = line, .room = sizeof(line) - 1 };

	put(&t, "signal ");
	put_number(&t, (u64)number, 10);
	for (u64 i = 0; i < N_SIGNALS; i++) {
		if (signals[i].number == (u32)number) {
			put(&t, " (");
			put(&t, signals[i].name);
			put(&t, ")");
		}
	}
	put(&t, " at pc 0x");
	put_number(&t, *(const u64 *)(context + 176), 16);
	if (*(const int *)(info + 8) > 0) {
		put(&t, ", address 0x");
		put_number(&t, *(const u64 *)(info + 16), 16);
	}
	line[t.len] = 0;
	life_crash(caught, line);
}

void life_catch(struct life *l)
{
	struct {
		void *base;
		u64 flags, len;
	} stack = { .base = alt_stack, .len = ALT_STACK_LEN };
	struct {
		void (*handler)(int, const u8 *, const u8 *);
		u64 flags, mask;
	} action = { .handler = on_signal, .flags = SA_FLAGS };

	caught = l;
	syscall3(SYS_sigaltstack, &stack, 0, 0);
	for (u64 i = 0; i < N_SIGNALS; i++)
		syscall6(SYS_rt_sigaction, (long)signals[i].number, (long)&action, 0, 8, 0, 0);
}

/* ---- birth */

static u64 big_endian(const u8 *at)
{
	u64 v = 0;

	for (u32 i = 0; i < 8; i++)
		v = v << 8 | at[i];
	return v;
}

static void *map_memory(long fd, u64 at, u64 len)
{
	long to = syscall6(SYS_mmap, 0, (long)len, PROT_READ_WRITE, MAP_SHARED, fd, (long)at);

	if (to < 0 && to > -(long)PAGE_LEN)
		give_up("/dev/mem does not map the mailbox");
	return (void *)to;
}

static void open_mailbox(struct life *l)
{
	static const char node[] = "/sys/firmware/devicetree/base/soc/mailbox@4000000/reg";
	u8 reg[32]; /* registers: address, length; window: address, length */
	long fd = syscall3(SYS_openat, AT_FDCWD, node, O_CLOEXEC);

	if (fd < 0 || syscall3(SYS_read, fd, reg, sizeof(reg)) != sizeof(reg))
		give_up("this machine has no mailbox of Pando");
	syscall3(SYS_close, fd, 0, 0);
	fd = open_memory();
	if (fd < 0)
		give_up("there is no /dev/mem");
	l->regs = map_memory(fd, big_endian(reg), PAGE_LEN);
	if (load(l, VERSION) < 2)
		give_up("this Pando's mailbox is older than functions");
	l->room = big_endian(reg + 24);
	l->window = map_memory(fd, big_endian(reg + 16), l->room);
	syscall3(SYS_close, fd, 0, 0);
}

static void read_name(struct life *l)
{
	char names[6][65]; /* of struct new_utsname: the second is the host's */

	syscall3(SYS_uname, names, 0, 0);
	while (l->name_len < HOST_NAME_LEN && names[1][l->name_len]) {
		l->name[l->name_len] = names[1][l->name_len];
		l->name_len++;
	}
}

/* Zero seconds if this machine has no clock. */
static struct time machine_time(const struct life *l)
{
	struct time now = { .seconds = load_pair(l, CLOCK) };

	if (now.seconds != 0)
		now.ns = load(l, CLOCK_NS);
	return now;
}

static void set_clock(const struct time *now)
{
	if (now->seconds != 0)
		syscall3(SYS_clock_settime, CLOCK_REALTIME, now, 0);
}

static u64 apart(const struct time *a, const struct time *b)
{
	u64 ns = (a->seconds - b->seconds) * 1000000000UL + a->ns - b->ns;

	return (long)ns < 0 ? -ns : ns;
}

/* Guest time stands still while there is no work. Who was new has the template's time for sure. */
static void correct_clock(struct life *l)
{
	struct time now = machine_time(l), own;

	if (!l->is_clock_wrong) {
		syscall3(SYS_clock_gettime, CLOCK_REALTIME, &own, 0);
		if (apart(&now, &own) < CLOCK_SLACK_NS)
			return;
	}
	l->is_clock_wrong = 0;
	set_clock(&now);
}

/* Takes the console from the kernel, not from programs: a line of its log then dirties fewer pages (docs/linux-guest.md). */
static void quiet_kernel(void)
{
	long fd = syscall3(SYS_openat, AT_FDCWD, "/sys/class/tty/ttyS0/console",
	                   O_WRONLY | O_CLOEXEC);

	syscall3(SYS_write, fd, "N", 1);
	syscall3(SYS_close, fd, 0, 0);
}

void life_open(struct life *l)
{
	struct time now;

	syscall6(SYS_mount, (long)"proc", (long)"/proc", (long)"proc", 0, 0, 0);
	syscall6(SYS_mount, (long)"sysfs", (long)"/sys", (long)"sysfs", 0, 0, 0);
	if (syscall3(SYS_chdir, "/function", 0, 0) < 0)
		give_up("the initrd has no /function");
	open_mailbox(l);
	read_name(l);
	now = machine_time(l);
	set_clock(&now);
	life_catch(l);
}

/* ---- what precedes the freeze */

/* A page that the guest has written is marked so in its page table; a clone's first store then writes no table. */
static void touch_window(const struct life *l)
{
	for (u64 at = 0; at < l->room; at += PAGE_LEN) {
		volatile u8 *byte = l->window + at;

		*byte = *byte;
	}
}

/* ---- the freeze, and calls */

static void set_host_name(struct life *l)
{
	struct text t = { .at = l->name, .len = l->name_len, .room = HOST_NAME_LEN };

	put(&t, "-");
	put_number(&t, load(l, CLONE_ID), 10);
	syscall3(SYS_sethostname, l->name, t.len, 0);
}

/* Repairs what another generation has left. */
static int renew(struct life *l, u32 generation)
{
	if (generation == l->generation)
		return 0;
	l->generation = generation;
	l->is_clock_wrong = 1;
	set_host_name(l);
	return 1;
}

int life_freeze(struct life *l)
{
	quiet_kernel();
	touch_window(l);
	let_kernel_settle();
	await_tick();
	l->is_ready = 1;
	store(l, READY, 1);
	/* Before there is work: a clone that was made ahead has it behind itself when its call comes. */
	return renew(l, load(l, GENERATION));
}

u64 life_next(struct life *l, int *is_new)
{
	/* GENERATION below, NEXT above: a load that waits is done again, so both belong to whoever takes the work. */
	u64 pair = load_pair(l, GENERATION);

	*is_new = renew(l, (u32)pair);
	correct_clock(l);
	return pair >> 32;
}

void life_start(struct life *l)
{
	store(l, MARK, 1);
}

void life_end(struct life *l)
{
	store(l, MARK, 2);
}

u32 life_random(const struct life *l)
{
	return load(l, ENTROPY);
}
