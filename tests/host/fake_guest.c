/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_guest.h"
#include "arch/csr.h"
#include "arch/time.h"
#include "dev/dev.h"
#include "lib/assert.h"
#include "vm/sched.h"
#include <string.h>

u32 fake_insn;
bool fake_fetch_faults;
struct guest_exit (*fake_guest)(struct guest_regs *regs);
u32 fake_n_injected;
u64 fake_inject_cause, fake_inject_stval;

#define FAKE_MIB 256U
static struct vcpu *loaded[HART_MAX];

void vcpu_enter(struct guest_exit *exit, struct guest_regs *regs)
{
	*exit = fake_guest != NULL ? fake_guest(regs)
	                           : (struct guest_exit){ .scause = CAUSE_IRQ | IRQ_S_SOFT };
}

void guest_reset(struct guest_regs *regs, struct guest_csrs *csrs, struct guest_units *units,
                 u64 pc, u64 a0, u64 a1)
{
	memset(regs, 0, sizeof(*regs));
	memset(csrs, 0, sizeof(*csrs));
	memset(&units->fp, 0, sizeof(units->fp));
	if (units->vector.v != NULL)
		memset(units->vector.v, 0, GUEST_VECTOR_LEN);
	regs->sepc = pc;
	regs->x[10] = a0;
	regs->x[11] = a1;
	regs->sstatus = SSTATUS_SPP;
	regs->hstatus = HSTATUS_SPV | HSTATUS_SPVP;
	csrs->vstimecmp = TIME_NEVER;
}

void guest_load(struct guest_regs *regs, const struct guest_csrs *csrs,
                const struct guest_units *units, u64 htimedelta, bool is_fresh)
{
	(void)units;
	(void)is_fresh;
	regs->sstatus |= SSTATUS_FS_CLEAN;
	csr_write(vsstatus, csrs->vsstatus);
	csr_write(vsie, csrs->vsie);
	csr_write(vsatp, csrs->vsatp);
	csr_write(hvip, csrs->hvip);
	csr_write(htimedelta, htimedelta);
	if (machine.has_sstc)
		csr_write(vstimecmp, csrs->vstimecmp);
}

void guest_save(struct guest_csrs *csrs, struct guest_regs *regs, struct guest_units *units)
{
	(void)units;
	csrs->vsstatus = csr_read(vsstatus);
	csrs->vsie = csr_read(vsie);
	csrs->vsatp = csr_read(vsatp);
	csrs->hvip = csr_read(hvip);
	if (machine.has_sstc) {
		csrs->vstimecmp = csr_read(vstimecmp);
		csr_write(vstimecmp, TIME_NEVER);
	}
	csr_write(hvip, 0);
	regs->sstatus &= ~SSTATUS_FS;
}

void guest_inject(struct guest_regs *regs, u64 scause, u64 stval)
{
	(void)regs;
	fake_n_injected++;
	fake_inject_cause = scause;
	fake_inject_stval = stval;
}

bool guest_fetch(gva_t gva, const struct guest_regs *regs, u32 *insn)
{
	(void)gva;
	(void)regs;
	*insn = fake_insn;
	return !fake_fetch_faults;
}

static bool kill_one(struct vm *vm, void *arg)
{
	(void)arg;
	vm_kill(vm);
	return true;
}

/* What the test before has left: its VMs go, mm keeps its state as on a machine that runs on. */
static void clean_up(void)
{
	struct vm *vm;
	u32 events;

	for (u32 h = 0; h < HART_MAX; h++)
		if (loaded[h] != NULL)
			fake_put_back(h, loaded[h]);
	fake_hart = 0;
	vm_for_each(kill_one, NULL);
	while ((vm = vm_take_event(&events)) != NULL)
		vm_put(vm);
	for (u32 h = 0; h < HART_MAX; h++) {
		fake_hart = h;
		space_unload();
	}
	fake_hart = 0;
	while (space_idle_work())
		continue;
}

void fake_boot(u32 n_harts)
{
	static bool is_up;

	if (is_up)
		clean_up();
	else
		fake_machine(FAKE_MIB, HART_MAX);
	is_up = true;
	fake_n_harts = n_harts;
	fake_time += 1000000;
	fake_events = 0;
	fake_on_kick = NULL;
	fake_guest = NULL;
	fake_fetch_faults = false;
	fake_n_injected = 0;
	machine.has_sstc = true;
	machine.has_fp = true;
	memset(fake_n_fences, 0, sizeof(fake_n_fences));
	memset(fake_n_kicks, 0, sizeof(fake_n_kicks));
	for (u32 h = 0; h < HART_MAX; h++)
		fake_timer[h] = TIME_NEVER;
	machine.has_vector = false;
	sched_init();
	dev_init();
}

struct vm *fake_vm_new(const char *name, u32 n_vcpus)
{
	static const u32 kernel[] = { 0x10500073 };
	struct vm_config c = { .ram_len = 4UL << 20,
		               .n_vcpus = n_vcpus,
		               .kernel = kernel,
		               .kernel_len = sizeof(kernel) };
	const char *why = "";
	struct vm *vm = NULL;

	strncpy(c.name, name, VM_NAME_LEN - 1);
	if (vm_create(&c, &vm, &why) != ERR_OK)
		panic("fake_vm_new: %s", why);
	return vm;
}

struct vm *fake_vm_run(const char *name, u32 n_vcpus)
{
	struct vm *vm = fake_vm_new(name, n_vcpus);

	if (vm_run(vm) != ERR_OK)
		panic("fake_vm_run: it does not");
	return vm;
}

struct vcpu *fake_pick(u32 h)
{
	u32 was = fake_hart;
	struct vcpu *v;

	fake_hart = h;
	v = sched_pick();
	if (v != NULL)
		vcpu_load(v);
	loaded[h] = v;
	fake_hart = was;
	return v;
}

void fake_put_back(u32 h, struct vcpu *v)
{
	u32 was = fake_hart;

	fake_hart = h;
	loaded[h] = NULL;
	vcpu_unload(v);
	sched_put(v);
	fake_hart = was;
}
