/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What people read instead of numbers.  A value that has no word here (an enum
 * has grown) is shown as "?", which is wrong nowhere.
 */
#include "ctl/names.h"
#include "mm/frame.h"
#include "vm/admission.h"
#include <string.h>

#define LOOKUP(table, i) ((i) < ARRAY_LEN(table) && (table)[i] ? (table)[i] : "?")

const char *name_of_state(u32 vm_state)
{
	static const char *const words[] = {
		[VM_NEW] = "new",           [VM_RUNNING] = "running", [VM_PAUSED] = "paused",
		[VM_TEMPLATE] = "template", [VM_OFF] = "off",         [VM_DYING] = "dying",
	};

	return LOOKUP(words, vm_state);
}

const char *name_of_sched(u32 sched_state)
{
	static const char *const words[] = {
		[SCHED_ASLEEP] = "asleep",
		[SCHED_QUEUED] = "queued",
		[SCHED_RUNNING] = "running",
	};

	return LOOKUP(words, sched_state);
}

const char *name_of_hsm(u32 hsm_state)
{
	static const char *const words[] = {
		[HSM_STARTED] = "started",
		[HSM_STOPPED] = "stopped",
		[HSM_START_PENDING] = "start pending",
		[HSM_STOP_PENDING] = "stop pending",
		[HSM_SUSPENDED] = "suspended",
	};

	return LOOKUP(words, hsm_state);
}

const char *name_of_exit(u32 exit_class)
{
	static const char *const words[] = {
		[EXIT_SBI] = "SBI calls",  [EXIT_WFI] = "WFI",
		[EXIT_MMIO] = "MMIO",      [EXIT_BREAK] = "memory",
		[EXIT_IRQ] = "interrupts", [EXIT_INJECT] = "traps passed on",
	};

	return LOOKUP(words, exit_class);
}

const char *name_of_break(u32 break_class)
{
	static const char *const words[] = {
		[BREAK_ZERO_FILL] = "zeroed page", [BREAK_ZERO_MAP] = "zero page mapped",
		[BREAK_COPY] = "page copied",      [BREAK_OWN] = "page owned",
		[BREAK_SPURIOUS] = "spurious",     [BREAK_ROOT] = "root derived",
		[BREAK_DERIVE] = "table derived",  [BREAK_SPLIT] = "block split",
	};

	return LOOKUP(words, break_class);
}

const char *name_of_frame(u32 frame_class)
{
	static const char *const words[] = {
		[FRAME_OWN] = "Pando's own",     [FRAME_FREE] = "free",
		[FRAME_COUNTED] = "guest pages", [FRAME_BLOCK] = "guest blocks",
		[FRAME_TABLE] = "tables",        [FRAME_POOL] = "records",
		[FRAME_ZERO] = "zero frame",
	};

	return LOOKUP(words, frame_class);
}

const char *name_of_isolation(bool strong)
{
	return strong ? "strong" : "weak (machine updates A/D bits in shared frames)";
}

const char *name_of_holds(u32 holds)
{
	static const struct {
		u32 hold;
		const char *word;
	} words[] = {
		{ HOLD_PAUSED, "paused" }, { HOLD_STOPPED, "stopped" }, { HOLD_NOMEM, "no memory" },
		{ HOLD_READY, "ready" },   { HOLD_WORK, "wants work" }, { HOLD_GATE, "identity" },
	};

	for (u32 i = 0; i < ARRAY_LEN(words); i++)
		if (holds & words[i].hold)
			return words[i].word;
	return "-";
}

const char *name_of_err(enum err e)
{
	return e == ERR_RESERVE ? admission_why() : err_name(e);
}

enum err cmd_take_vm(struct cmd *c, const char *name, struct vm **vm)
{
	*vm = vm_find(name);
	return *vm ? ERR_OK : cmd_fail(c, ERR_ABSENT, "no VM \"%.40s\"; try vms", name);
}

enum err cmd_on_vm(struct cmd *c, enum err (*fn)(struct cmd *c, struct vm *vm))
{
	struct vm *vm;
	enum err e = cmd_take_vm(c, c->arg[0], &vm);

	if (e != ERR_OK)
		return e;
	e = fn(c, vm);
	if (e != ERR_OK && !c->error[0])
		cmd_fail(c, e, "%s: %s (it is %s)", vm->name, name_of_err(e),
		         name_of_state(atomic_load(&vm->state)));
	vm_put(vm);
	return e;
}

bool name_is_plain(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < NAME_PLAIN_LEN &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
	               len;
}
