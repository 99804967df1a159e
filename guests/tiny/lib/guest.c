/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start, output, verdict, traps, harts. Output goes a line at a time to the UART, which every machine here has; one
 * hart at a time, and only the first verdict counts.
 */
#include "guest.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define UART 0x10000000UL

static struct hart harts[MAX_HARTS];
static u8 stacks[MAX_HARTS][3][STACK_LEN] __attribute__((section(".pool"), aligned(4096)));
static atomic_flag printing = ATOMIC_FLAG_INIT;
static atomic_flag judged = ATOMIC_FLAG_INIT;

_Static_assert(offsetof(struct hart, catch_sp) == 256, "start.S: HART_CATCH_SP");
_Static_assert(offsetof(struct hart, trap_sp) == 264, "start.S: HART_TRAP_SP");
_Static_assert(offsetof(struct hart, stack) == 272, "start.S: HART_STACK");

/* In start.S, tree.c, and called from there. */
u64 trap_run(struct hart *h, void (*fn)(u64), u64 arg, u64 to);
extern char trap_resume[], hart_entry[];
struct hart *hart_at(u64 id);
void tree_read(u64 tree);
_Noreturn void guest_start(u64 id, u64 tree);
_Noreturn void guest_hart_start(void);
void guest_trap(struct hart *h);

/* ---- output ---- */
static void put_text(const char *text)
{
	for (; *text; text++) {
		while (!(get8(UART + 5) & 0x20))
			;
		put8(UART, (u8)*text);
	}
}

static void put_line(const char *head, const char *format, va_list args)
{
	char line[256];
	vsnprintf(line, sizeof line, format, args);
	while (atomic_flag_test_and_set(&printing))
		;
	put_text(head);
	put_text(line);
	put_text("\n");
	atomic_flag_clear(&printing);
}

void print(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	put_line("", format, args);
	va_end(args);
}

/* reason: 0 none, 1 system failure. */
static _Noreturn void shut_down(u64 reason)
{
	for (;;)
		sbi(EID_SRST, 0, 0, reason, 0, 0, 0);
}

_Noreturn void fail(const char *format, ...)
{
	char head[64];
	va_list args;
	csr_clear(sstatus, SSTATUS_SIE);
	while (atomic_flag_test_and_set(&judged))
		;
	snprintf(head, sizeof head, "PANDO-GUEST %s FAIL: ", guest_name);
	va_start(args, format);
	put_line(head, format, args);
	va_end(args);
	shut_down(1);
}

_Noreturn void finish_ok(void)
{
	csr_clear(sstatus, SSTATUS_SIE);
	while (atomic_flag_test_and_set(&judged))
		;
	print("PANDO-GUEST %s ok", guest_name);
	shut_down(0);
}

/* ---- start ---- */
struct hart *hart_at(u64 id)
{
	struct hart *h = &harts[id % MAX_HARTS];
	h->id = id;
	h->stack = (u64)stacks[id % MAX_HARTS][0] + STACK_LEN;
	h->trap_sp = (u64)stacks[id % MAX_HARTS][1] + STACK_LEN;
	return h;
}

_Noreturn void guest_start(u64 id, u64 tree)
{
	(void)id;
	tree_read(tree);
	guest_main();
	finish_ok();
}

_Noreturn void guest_hart_start(void)
{
	struct hart *h = this_hart();
	h->fn(h->arg);
	sbi(EID_HSM, 1, 0, 0, 0, 0, 0);
	fail("hart %lu: HSM stop came back", h->id);
}

/* ---- traps ---- */
static void take_interrupt(struct hart *h, u64 irq)
{
	h->irqs[irq & 15]++;
	if (irq == IRQ_SOFT)
		csr_clear(sip, 1UL << IRQ_SOFT);
	else if (!h->irq_fn)
		csr_clear(sie, 1UL << irq);
	if (h->irq_fn)
		h->irq_fn(h, irq);
}

void guest_trap(struct hart *h)
{
	u64 cause = csr_read(scause);
	if (cause & CAUSE_IRQ) {
		take_interrupt(h, cause & 63);
		return;
	}
	h->cause = cause;
	h->epc = h->regs[0];
	h->tval = csr_read(stval);
	h->status = csr_read(sstatus);
	if (h->catch_sp) {
		h->regs[0] = (u64)trap_resume;
		csr_set(sstatus, SSTATUS_SPP);
		return;
	}
	if (h->trap_fn && h->trap_fn(h))
		return;
	fail("hart %lu: trap %lu at 0x%lx, stval 0x%lx, sstatus 0x%lx", h->id, cause, h->epc,
	     h->tval, h->status);
}

bool catch_s(void (*fn)(u64), u64 arg)
{
	return trap_run(this_hart(), fn, arg, 0) != 0;
}

u64 user_alias;

u64 user_stack(void)
{
	return (u64)stacks[this_hart()->id % MAX_HARTS][2] + STACK_LEN +
	       (csr_read(satp) ? user_alias : 0);
}

void catch_u(void (*fn)(u64), u64 arg)
{
	u64 sie = csr_read(sstatus) & SSTATUS_SIE;
	csr_clear(sstatus, SSTATUS_SIE | SSTATUS_SPIE);
	trap_run(this_hart(), fn, arg, user_stack());
	csr_set(sstatus, sie);
}

void expect_trap(const char *what, u64 cause, u64 tval, u64 spp)
{
	const struct hart *h = this_hart();
	check(h->cause == cause, "%s: cause %lu at 0x%lx, stval 0x%lx, not cause %lu", what,
	      h->cause, h->epc, h->tval, cause);
	check(h->tval == tval, "%s: stval 0x%lx, not 0x%lx", what, h->tval, tval);
	check(!!(h->status & SSTATUS_SPP) == spp, "%s: previous privilege %d, not %lu", what,
	      !!(h->status & SSTATUS_SPP), spp);
}

/* ---- harts ---- */
long hart_start(u64 id, void (*fn)(void *), void *arg)
{
	struct hart *h = hart_at(id);
	h->fn = fn;
	h->arg = arg;
	__asm__ volatile("fence rw, rw" ::: "memory");
	return sbi(EID_HSM, 0, id, (u64)hart_entry, (u64)h, 0, 0).error;
}

void hart_await(u64 id, long state)
{
	u64 end = ticks() + ms(10000);
	for (;;) {
		struct sbi_ret r = sbi(EID_HSM, 2, id, 0, 0, 0, 0);
		check(r.error == SBI_OK, "HSM status of hart %lu: error %ld", id, r.error);
		if ((long)r.value == state)
			return;
		check(ticks() < end, "hart %lu stays in state %lu, not %ld", id, r.value, state);
	}
}

u64 other_hart(u64 n)
{
	u64 self = this_hart()->id;
	for (u64 i = 0; i < machine.n_harts; i++)
		if (machine.hart_id[i] != self && n-- == 0)
			return machine.hart_id[i];
	fail("this guest needs more harts than %lu", machine.n_harts);
}

/* ---- SBI ---- */
struct sbi_ret sbi(u64 eid, u64 fid, u64 x0, u64 x1, u64 x2, u64 x3, u64 x4)
{
	register u64 a0 __asm__("a0") = x0;
	register u64 a1 __asm__("a1") = x1;
	register u64 a2 __asm__("a2") = x2;
	register u64 a3 __asm__("a3") = x3;
	register u64 a4 __asm__("a4") = x4;
	register u64 a6 __asm__("a6") = fid;
	register u64 a7 __asm__("a7") = eid;
	__asm__ volatile("ecall"
	                 : "+r"(a0), "+r"(a1)
	                 : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7)
	                 : "memory");
	return (struct sbi_ret){ (long)a0, a1 };
}

bool sbi_has(u64 eid)
{
	return sbi(EID_BASE, 3, eid, 0, 0, 0, 0).value != 0;
}

void sbi_set_timer(u64 deadline)
{
	struct sbi_ret r = sbi(EID_TIME, 0, deadline, 0, 0, 0, 0);
	check(r.error == SBI_OK, "SBI set_timer: error %ld", r.error);
}

bool timer_pending(void)
{
	struct hart *h = this_hart();
	u64 n = h->irqs[IRQ_TIMER], sie = csr_read(sstatus) & SSTATUS_SIE;
	bool shows = csr_read(sip) >> IRQ_TIMER & 1;
	csr_set(sie, 1UL << IRQ_TIMER);
	csr_set(sstatus, SSTATUS_SIE);
	csr_clear(sstatus, SSTATUS_SIE);
	csr_clear(sie, 1UL << IRQ_TIMER);
	csr_set(sstatus, sie);
	bool taken = h->irqs[IRQ_TIMER] != n;
	check(taken || !shows, "sip shows a timer interrupt that is not taken");
	/* A timer may fire between the two looks. */
	if (taken && !shows && guest_arg("sip", 1))
		check(csr_read(sip) >> IRQ_TIMER & 1,
		      "a timer interrupt is taken that sip does not show");
	return taken;
}

void send_ipi(u64 hart_id)
{
	struct sbi_ret r = sbi(EID_IPI, 0, 1, hart_id, 0, 0, 0);
	check(r.error == SBI_OK, "SBI send_ipi to %lu: error %ld", hart_id, r.error);
}

void delay_ms(u64 n)
{
	u64 end = ticks() + ms(n);
	while (ticks() < end)
		;
}

u64 access_cost(u64 at, bool is_store, u64 value)
{
	u64 before, after, v;

	if (is_store)
		__asm__ volatile("rdinstret %0\n\tsd %2, 0(%3)\n\trdinstret %1"
		                 : "=&r"(before), "=&r"(after)
		                 : "r"(value), "r"(at)
		                 : "memory");
	else
		__asm__ volatile("rdinstret %0\n\tld %2, 0(%3)\n\trdinstret %1"
		                 : "=&r"(before), "=&r"(after), "=&r"(v)
		                 : "r"(at)
		                 : "memory");
	return after - before - 2;
}

void leave_guest(u64 round)
{
	switch (round % 4) {
	case 0: (void)sbi_has(EID_TIME); break;
	case 1:
		sbi_set_timer(ticks() + ms(1));
		csr_set(sie, 1UL << IRQ_TIMER);
		wfi();
		csr_clear(sie, 1UL << IRQ_TIMER);
		break;
	case 2: delay_ms(5); break;
	default: (void)get8(UART + 5); break;
	}
}
