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

#include "start.h"
#include "sys.h"

#define CLONE_VM_VFORK_SIGCHLD (0x100L | 0x4000L | 17L)
#define OUTPUT_LEN             256UL

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
	volatile char *window;
	volatile void *regs;
	int in[2], out[2];
	long fd, got;
	u32 n = 0;

	if (stack[0] < 4)
		quit("usage: mailbox PAGE WINDOW COMMAND\n");
	fd = open_memory();
	regs = map(fd, argv[1], PAGE_LEN);
	window = map(fd, argv[2], PAGE_LEN);
	if (syscall3(SYS_pipe2, in, O_CLOEXEC, 0) < 0 || syscall3(SYS_pipe2, out, O_CLOEXEC, 0) < 0)
		quit("mailbox: no pipe\n");

	mailbox_store(regs, READY, 1);
	/* From here on: a clone. */
	syscall3(SYS_write, in[1], payload, make_payload(payload, mailbox_load(regs, CLONE_ID)));
	syscall3(SYS_close, in[1], 0, 0); /* or the command never sees the end of its input */
	run(argv + 3, envp, in, out);
	got = syscall3(SYS_read, out[0], output, OUTPUT_LEN);
	for (; n < got && output[n] > ' '; n++)
		window[n] = output[n];
	mailbox_store(regs, DONE, n);
	syscall3(SYS_exit, 0, 0, 0);
	__builtin_unreachable();
}
