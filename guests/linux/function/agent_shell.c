/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /init of a function in shell: /function/run holds it, wrapped (scripts/lib/pando/image.py). Its input and output are files
 * in memory, so that neither side waits for the other, and its exit status says whether it has failed.
 *
 * A shell for the next call is started before the call comes: it has read its script, and waits at descriptor 3 for a
 * line, the seed of its $RANDOM. It writes its exit status to descriptor 4 and waits there again, so the answer is on its way
 * before it ends: a process that ends writes to many pages. Descriptor 4 at its end without a status means that it was killed.
 */
#include "../start.h"
#include "life.h"

enum {
	SYS_ftruncate = 46,
	SYS_fchdir = 50,
	SYS_lseek = 62,
	SYS_pread64 = 67,
	SYS_pwrite64 = 68,
	SYS_kill = 129
};

#define CLONE_VM_VFORK_SIGCHLD (0x100L | 0x4000L | 17L)
#define O_NEW                  (2L | 0100L | 01000L | O_CLOEXEC) /* read, write, create, truncate */
#define SEEK_END               2L
#define LINE_LEN               16UL

struct shell {
	long pid;
	int go, status; /* ends of its descriptors 3 and 4 */
};

static struct life life;
static int files[3]; /* input, output, errors */

static int new_file(const char *name)
{
	long fd = syscall6(SYS_openat, AT_FDCWD, (long)name, O_NEW, 0600, 0, 0);

	if (fd < 0)
		life_crash(&life, "no file in /tmp");
	return (int)fd;
}

/* The child borrows this stack until it has become the shell. */
static _Noreturn void become_shell(int go, int status)
{
	static const char *const argv[] = { "sh", "/function/run", 0 };
	static const char *const envp[] = { "PATH=/function:/bin:/usr/bin:/sbin:/usr/sbin",
		                            "HOME=/", "TERM=vt100", 0 };

	for (int i = 0; i < 3; i++)
		syscall3(SYS_dup3, files[i], i, 0);
	syscall3(SYS_dup3, go, 3, 0);
	syscall3(SYS_dup3, status, 4, 0);
	syscall3(SYS_execve, "/bin/busybox", argv, envp);
	syscall3(SYS_exit, 127, 0, 0);
	__builtin_unreachable();
}

static void empty(int fd)
{
	syscall3(SYS_ftruncate, fd, 0, 0);
	syscall3(SYS_lseek, fd, 0, 0);
}

/* The shell writes a line when it has come to where it waits. */
static long read_line(const struct shell *s, char line[LINE_LEN])
{
	return syscall3(SYS_read, s->status, line, LINE_LEN);
}

static struct shell shell_start(void)
{
	struct shell s;
	int go[2], status[2];
	char line[LINE_LEN];

	for (int i = 0; i < 3; i++)
		empty(files[i]);
	if (syscall3(SYS_pipe2, go, O_CLOEXEC, 0) < 0 ||
	    syscall3(SYS_pipe2, status, O_CLOEXEC, 0) < 0)
		life_crash(&life, "no pipe");
	s = (struct shell){ .go = go[1], .status = status[0] };
	s.pid = syscall6(SYS_clone, CLONE_VM_VFORK_SIGCHLD, 0, 0, 0, 0, 0);
	if (s.pid == 0)
		become_shell(go[0], status[1]);
	if (s.pid < 0)
		life_crash(&life, "no process for the shell");
	syscall3(SYS_close, go[0], 0, 0);
	syscall3(SYS_close, status[1], 0, 0);
	if (read_line(&s, line) <= 0) {
		/* What it says about its script. */
		long n =
			syscall6(SYS_pread64, files[2], (long)life.window, (long)PAGE_LEN, 0, 0, 0);

		syscall3(SYS_write, 2, life.window, n > 0 ? n : 0);
		life_crash(&life, "the script does not load");
	}
	return s;
}

/* Its wait status; children of its own that it has left behind go, too. */
static int shell_end(const struct shell *s)
{
	int status = 0;

	syscall3(SYS_close, s->go, 0, 0);
	syscall3(SYS_close, s->status, 0, 0);
	while (syscall6(SYS_wait4, s->pid, (long)&status, 0, 0, 0, 0) == -4)
		;
	syscall3(SYS_kill, -1, 9, 0);
	while (syscall6(SYS_wait4, -1, 0, 0, 0, 0, 0) > 0)
		;
	return status;
}

static void answer(enum status status, int fd)
{
	long len = syscall3(SYS_lseek, fd, 0, SEEK_END);

	if (status == STATUS_ANSWER && len > (long)life.room) {
		life_too_long(&life, (u64)len, life.room);
		return;
	}
	if (len > (long)life.room)
		len = (long)life.room;
	len = syscall6(SYS_pread64, fd, (long)life.window, len, 0, 0, 0);
	life_answer(&life, status, len < 0 ? 0 : (u64)len);
}

static u64 parse_number(const char *digits)
{
	u64 n = 0;

	for (; *digits >= '0' && *digits <= '9'; digits++)
		n = n * 10 + (u64)(*digits - '0');
	return n;
}

/* What it wrote to its standard error says why; a script that wrote nothing there gets its exit status as a message. */
static void answer_failed(u64 exit_status)
{
	if (syscall3(SYS_lseek, files[2], 0, SEEK_END) > 0)
		answer(STATUS_FAILED, files[2]);
	else
		life_say_number(&life, STATUS_FAILED, "exit status ", exit_status);
}

static void answer_crashed(int wait_status)
{
	if (wait_status & 127)
		life_say_number(&life, STATUS_CRASHED, "the shell was killed by signal ",
		                (u64)wait_status & 127);
	else
		life_say(&life, STATUS_CRASHED, "the shell is gone without an exit status");
}

/* One call by this shell, whose input is there; returns the next shell. */
static struct shell run(struct shell s)
{
	char line[LINE_LEN];
	u64 n = 0, exit_status;
	u32 seed = life_random(&life);
	long got;

	do
		line[n++] = (char)('0' + seed % 10);
	while (seed /= 10);
	line[n++] = '\n';
	life_start(&life);
	syscall3(SYS_write, s.go, line, n);
	got = read_line(&s, line);
	life_end(&life);
	if (got <= 0) {
		answer_crashed(shell_end(&s));
		return shell_start();
	}
	line[got < (long)LINE_LEN ? got : (long)LINE_LEN - 1] = 0;
	exit_status = parse_number(line);
	if (exit_status == 0)
		answer(STATUS_ANSWER, files[1]);
	else
		answer_failed(exit_status);
	shell_end(&s);
	return shell_start();
}

static struct shell warm_up(struct shell s)
{
	char line[LINE_LEN];
	long fd = syscall3(SYS_openat, AT_FDCWD, "/function/sample", O_CLOEXEC), len;

	if (fd < 0)
		return s;
	len = syscall3(SYS_read, fd, life.window, PAGE_LEN);
	syscall3(SYS_close, fd, 0, 0);
	syscall6(SYS_pwrite64, files[0], (long)life.window, len, 0, 0, 0);
	syscall3(SYS_write, s.go, "1\n", 2);
	read_line(&s, line);
	shell_end(&s);
	return shell_start();
}

static __attribute__((used)) _Noreturn void start(void)
{
	static const char *const names[] = { "/tmp/input", "/tmp/output", "/tmp/errors" };
	struct shell s;
	int is_new;

	life_open(&life);
	for (int i = 0; i < 3; i++)
		files[i] = new_file(names[i]);
	s = warm_up(shell_start());
	life_freeze(&life); /* the shell's own random numbers are seeded with each call */
	for (;;) {
		u64 len = life_next(&life, &is_new);

		if (len > 0)
			syscall6(SYS_pwrite64, files[0], (long)life.window, (long)len, 0, 0, 0);
		s = run(s);
	}
}
