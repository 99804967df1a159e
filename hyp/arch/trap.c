// SPDX-License-Identifier: BSD-2-Clause
/* A trap of Pando itself that nobody expected: name it and panic. */
#include "arch/trap.h"

#include <stdio.h>

#include "arch/csr.h"
#include "arch/paging.h"
#include "arch/panic.h"
#include "arch/regs.h"

_Static_assert(sizeof(struct trap_frame) == TRAP_FRAME_LEN, "");

const char *trap_cause_name(u64 cause)
{
	static const char *const names[] = {
		[CAUSE_FETCH_MISALIGNED] = "fetch address misaligned",
		[CAUSE_FETCH_ACCESS] = "fetch access fault",
		[CAUSE_ILLEGAL] = "illegal instruction",
		[CAUSE_BREAKPOINT] = "breakpoint",
		[CAUSE_LOAD_MISALIGNED] = "load address misaligned",
		[CAUSE_LOAD_ACCESS] = "load access fault",
		[CAUSE_STORE_MISALIGNED] = "store address misaligned",
		[CAUSE_STORE_ACCESS] = "store access fault",
		[CAUSE_ECALL_U] = "environment call from U-mode",
		[CAUSE_ECALL_VS] = "environment call from VS-mode",
		[CAUSE_FETCH_PAGE] = "fetch page fault",
		[CAUSE_LOAD_PAGE] = "load page fault",
		[CAUSE_STORE_PAGE] = "store page fault",
		[CAUSE_GUEST_FETCH_PAGE] = "guest fetch page fault",
		[CAUSE_GUEST_LOAD_PAGE] = "guest load page fault",
		[CAUSE_VIRTUAL_INSN] = "virtual instruction",
		[CAUSE_GUEST_STORE_PAGE] = "guest store page fault",
	};

	if (cause < ARRAY_LEN(names) && names[cause] != NULL)
		return names[cause];
	return cause & CAUSE_IRQ ? "interrupt" : "unknown cause";
}

_Noreturn void trap_fatal(const struct trap_frame *frame)
{
	char what[96];

	if (paging_is_guard(frame->x[2]) || paging_is_guard(csr_read(stval)))
		panic_trap(frame, "stack overflow");
	snprintf(what, sizeof(what), "%s in Pando", trap_cause_name(csr_read(scause)));
	panic_trap(frame, what);
}
