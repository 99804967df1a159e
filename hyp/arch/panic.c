// SPDX-License-Identifier: BSD-2-Clause
/*
 * A bug in Pando: one hart prints, the others stop, the machine powers off.
 *
 * The first hart to panic owns the report; a hart that panics later parks.  A
 * panic inside a panic (n_panics > 1 on one hart) prints one line and powers
 * off, a third one only powers off.  Output goes through firmware, because the
 * lock of the console may be held by whoever has just died.
 *
 * There are no frame pointers (they cost each guest exit some thirty instructions).  The
 * backtrace is every word on the stack that a call could have left there as its return
 * address; a stale one may be among them.
 */
#include "arch/panic.h"

#include <stdarg.h>
#include <stdio.h>

#include "arch/boot.h"
#include "arch/csr.h"
#include "arch/firmware.h"
#include "arch/hart_local.h"
#include "arch/paging.h"

#define BACKTRACE_MAX 24U
#define N_REGS        32U

static _Atomic u32 is_on;
static void (*context_hook)(char *buf, size_t len);
static void (*power_hook)(u32 code);

void panic_set_context_hook(void (*hook)(char *buf, size_t len))
{
	context_hook = hook;
}

void panic_set_power_hook(void (*hook)(u32 code))
{
	power_hook = hook;
}

bool panic_is_on(void)
{
	return atomic_load_explicit(&is_on, memory_order_relaxed) != 0;
}

static void PRINTF_LIKE(1, 2) print(const char *fmt, ...)
{
	char line[256];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (n > 0)
		firmware_console_write(line,
		                       (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void print_registers(const struct trap_frame *frame)
{
	static const char *const names[N_REGS] = {
		"0",  "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "fp", "s1", "a0",
		"a1", "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
		"s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"
	};
	u32 i;

	for (i = 1; i < N_REGS; i++)
		print("  %-3s %016lx%s", names[i], frame->x[i],
		      i % 4 == 3 || i == N_REGS - 1 ? "\r\n" : "");
}

/* Does a call end at `pc`?  jal ra, jalr ra, or c.jalr, which is c.add with rs2 = x0. */
static bool is_return_address(u64 pc)
{
	u32 call, c_jalr;

	if ((pc & 1) != 0 || !paging_is_text(pc - 4) || !paging_is_text(pc - 1))
		return false;
	c_jalr = *(const u16 *)(pc - 2); /* NOLINT: checked just above */
	call = *(const u16 *)(pc - 4);   /* NOLINT */
	return (call & 0xfff) == 0x0ef || (call & 0xfff) == 0x0e7 ||
	       ((c_jalr & 0xf07f) == 0x9002 && c_jalr != 0x9002);
}

/* Innermost first, from the stack pointer on; `ra` may be stale, but after a wild jump it alone names
 * the culprit. */
static void print_backtrace(u64 pc, u64 sp, u64 ra)
{
	u64 base = (u64)boot_stacks[hart_index()], end = base + STACK_SLOT_LEN;
	u32 n = 0;

	print("backtrace: %lx, ra %lx, stack", pc, ra);
	for (u64 at = ALIGN_UP(sp, 8); at >= base && at < end && n < BACKTRACE_MAX; at += 8) {
		u64 word;

		if (paging_is_guard(at))
			break;
		word = *(const u64 *)at; /* NOLINT: in this hart's stack */
		if (!is_return_address(word))
			continue;
		print(" %lx", word);
		n++;
	}
	print("\r\n");
}

static _Noreturn void turn_off(void)
{
	if (power_hook != NULL && hart_self()->n_panics <= 2)
		power_hook(PANIC_EXIT_CODE);
	firmware_shutdown(true);
	hart_park();
}

/* Makes this hart the one that reports; does not return on any other. */
static void take_over(void)
{
	u32 i;

	hart_self()->n_panics++;
	if (hart_self()->n_panics == 2)
		print("panic inside panic: hart %lu, pc %016lx, cause %lu\r\n", hart_self()->id,
		      csr_read(sepc), csr_read(scause));
	if (hart_self()->n_panics >= 2)
		turn_off();
	if (atomic_exchange(&is_on, 1) != 0)
		hart_park();
	for (i = 0; i < hart_count(); i++)
		if (i != hart_index())
			hart_kick(i);
}

static void print_context(void)
{
	char text[128] = "";

	if (context_hook != NULL)
		context_hook(text, sizeof(text));
	print("context: %s\r\n", text[0] != '\0' ? text : "none");
}

_Noreturn void panic_trap(const struct trap_frame *frame, const char *what)
{
	take_over();
	print("\r\npanic: %s\r\n", what);
	print("hart %lu (index %u), pc %016lx, cause %lu, stval %016lx\r\n", hart_self()->id,
	      hart_index(), csr_read(sepc), csr_read(scause), csr_read(stval));
	print_context();
	print_registers(frame);
	print_backtrace(csr_read(sepc), frame->x[2], frame->x[1]);
	turn_off();
}

_Noreturn void panic(const char *fmt, ...)
{
	char what[256];
	u64 caller = (u64)__builtin_return_address(0);
	u64 sp = (u64)__builtin_frame_address(0);
	va_list args;

	take_over();
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	print("\r\npanic: %s\r\n", what);
	print("hart %lu (index %u), pc %016lx, sp %016lx\r\n", hart_self()->id, hart_index(),
	      caller, sp);
	print("last trap: cause %lu, pc %016lx, stval %016lx\r\n", csr_read(scause), csr_read(sepc),
	      csr_read(stval));
	print_context();
	print_backtrace(caller, sp, caller);
	turn_off();
}
