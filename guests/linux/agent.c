/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * agent PAGE WINDOW [idle]: be frozen, and in each clone answer out of as few pages as can be.
 *
 * PAGE and WINDOW are the physical addresses, in hex, of the two parts of Pando's mailbox (docs/guest-abi.md). A clone's
 * first answer is the SHA-256 of "pando clone <number>" in hex digits. After that it waits in NEXT, and answers each
 * request with the SHA-256 of its payload; with `idle` it sleeps in Linux instead.
 *
 * What a clone writes is what it costs, and a page alone in its 2 MiB costs as much again for a table: so the stack is
 * the window's last page. Between READY and DONE this program makes no system call, and it has run all
 * that code once before READY: stack and window are mapped, dirty and marked so in the guest's page tables. What could
 * still come in between is the kernel's timer tick, so READY waits for one: the next is a whole period away. It waits
 * for the kernel, too: a clone in which timers, RCU or kernel threads find no work left writes a third fewer pages there.
 */
#include "settle.h"
#include "sha256.h"
#include "start.h"

#define DIGEST_DIGITS (SHA256_WORDS * 8)

struct mailbox {
	volatile void *regs;
	volatile u8 *window;
	u64 window_len; /* less its last page, the stack */
	int is_idle;
};

/* Puts the digest of a message, in hex digits, into the window, and returns their number. The message may be there, too. */
static u32 answer(const struct mailbox *m, const volatile u8 *message, u64 len)
{
	u32 h[SHA256_WORDS];

	sha256(message, len, h);
	for (u32 i = 0; i < DIGEST_DIGITS; i++)
		m->window[i] = (u8) "0123456789abcdef"[h[i / 8] >> (28 - i % 8 * 4) & 15];
	return DIGEST_DIGITS;
}

static u32 first_answer(const struct mailbox *m)
{
	char payload[32];

	return answer(m, (u8 *)payload, make_payload(payload, mailbox_load(m->regs, CLONE_ID)));
}

static struct mailbox open_mailbox(const char *page, const char *window)
{
	long fd = open_memory();
	struct mailbox m;

	m.regs = map(fd, page, PAGE_LEN);
	m.window_len = mailbox_load(m.regs, WINDOW_LEN) - PAGE_LEN;
	m.window = map(fd, window, m.window_len + PAGE_LEN);
	syscall3(SYS_close, fd, 0, 0);
	return m;
}

static __attribute__((used)) _Noreturn void serve(const struct mailbox *m)
{
	struct mailbox own = *m;

	first_answer(&own);
	let_kernel_settle();
	await_tick();

	mailbox_store(own.regs, READY, 1);
	/* From here on: a clone. */
	mailbox_store(own.regs, DONE, first_answer(&own));
	while (!own.is_idle) {
		u32 len = mailbox_load(own.regs, NEXT);

		mailbox_store(own.regs, DONE,
		              len <= own.window_len ? answer(&own, own.window, len) : 0);
	}
	for (;;)
		syscall6(SYS_ppoll, 0, 0, 0, 0, 0, 0);
}

static __attribute__((used)) _Noreturn void start(long *stack)
{
	char **argv = (char **)(stack + 1);
	struct mailbox m;

	if (stack[0] < 3)
		quit("usage: agent PAGE WINDOW [idle]\n");
	m = open_mailbox(argv[1], argv[2]);
	m.is_idle = stack[0] > 3;
	__asm__ volatile("mv sp, %0\n"
	                 "mv a0, %1\n"
	                 "tail serve"
	                 :
	                 : "r"(m.window + m.window_len + PAGE_LEN), "r"(&m)
	                 : "a0", "memory");
	__builtin_unreachable();
}
