/* SPDX-License-Identifier: BSD-2-Clause */
/* Every cause with which a guest can leave, and what it gets for it. */
#include "arch/csr.h"
#include "arch/time.h"
#include "drv/irq.h"
#include "run/run.h"
#include "vm/device.h"
#include "vm_tests.h"

#define RAM     0x80000000UL
#define UART    0x10000000UL
#define MAILBOX 0x04000000UL
#define NEXT    (MAILBOX + 0x14)
#define NOWHERE 0x20000000UL

#define INSN_WFI         0x10500073U
#define INSN_LBU_A0_5_A1 0x0055c503U /* lbu a0, 5(a1) */
#define INSN_LW_ZERO_A1  0x0005a003U /* lw zero, 0(a1) */
#define INSN_LW_A0_A1    0x0005a503U /* lw a0, 0(a1) */
#define INSN_SB_A0_A1    0x00a58023U /* sb a0, 0(a1) */
#define INSN_C_LW_A0_A1  0x4188U     /* c.lw a0, 0(a1) */
#define INSN_AMOADD      0x00b6252fU /* amoadd.w a0, a1, (a2) */

static struct vcpu *v;
static u32 n_dispatched;

/* The machine's own devices are not part of this. */
void irq_dispatch(void)
{
	n_dispatched++;
}

static void up(void)
{
	fake_boot(1);
	fake_vm_run("a", 1);
	v = fake_pick(0);
	assert_non_null(v);
	assert_true(vcpu_door(v));
	v->regs.sepc = RAM + 0x100;
}

static enum next leave(u64 cause, u64 stval, u64 gpa, u64 htinst)
{
	return exit_handle(
		v, &(struct guest_exit){
			   .scause = cause, .stval = stval, .htval = gpa >> 2, .htinst = htinst });
}

static void assert_injected(u64 cause, u64 stval)
{
	assert_int_equal(fake_n_injected, 1);
	assert_int_equal(fake_inject_cause, cause);
	assert_int_equal(fake_inject_stval, stval);
	fake_n_injected = 0;
}

static void test_gpa(void **state)
{
	struct guest_exit x = { .scause = CAUSE_GUEST_LOAD_PAGE,
		                .htval = 0x80001230 >> 2,
		                .stval = 0xffffffff80000233 };

	(void)state;
	assert_int_equal(fault_gpa(&x).v, 0x80001233);
	/* Of an implicit access stval says nothing about the address of the PTE. */
	x.htinst = HTINST_READ_PTE;
	assert_int_equal(fault_gpa(&x).v, 0x80001230);
	x.htinst = HTINST_WRITE_PTE;
	assert_int_equal(fault_gpa(&x).v, 0x80001230);
}

/* A/D bits are stored: the break comes from htinst, whatever the cause says. */
static void test_implicit_write_breaks(void **state)
{
	const u64 causes[] = { CAUSE_GUEST_FETCH_PAGE, CAUSE_GUEST_LOAD_PAGE,
		               CAUSE_GUEST_STORE_PAGE };
	struct vm *c;

	(void)state;
	fake_boot(1);
	c = fake_vm_run("t", 1);
	assert_int_equal(vm_freeze(c), ERR_OK);
	assert_int_equal(vm_clone(c, &c), ERR_OK);
	assert_int_equal(vm_run(c), ERR_OK);
	v = fake_pick(0);
	for (u32 i = 0; i < 3; i++) {
		u64 gpa = RAM + (i + 3) * PAGE_SIZE;

		assert_int_equal(leave(causes[i], 0xdead, gpa, HTINST_WRITE_PTE), NEXT_RESUME);
		fake_enter(0, &c->space, 0);
		assert_non_null(fake_access(0, gpa, true));
		fake_leave(0);
	}
	assert_int_equal(v->exits[EXIT_BREAK], 3);
	/* An implicit read breaks nothing. */
	assert_int_equal(leave(CAUSE_GUEST_STORE_PAGE, 0xdead, RAM + 0x10000, HTINST_READ_PTE),
	                 NEXT_RESUME);
	fake_enter(0, &c->space, 0);
	assert_null(fake_access(0, RAM + 0x10000, true));
	assert_non_null(fake_access(0, RAM + 0x10000, false));
	fake_leave(0);
}

static void test_nothing_there(void **state)
{
	(void)state;
	up();
	assert_int_equal(leave(CAUSE_GUEST_FETCH_PAGE, 0x1000, NOWHERE, 0), NEXT_RESUME);
	assert_injected(CAUSE_FETCH_ACCESS, 0x1000);
	/* A device is no place to fetch from either. */
	assert_int_equal(leave(CAUSE_GUEST_FETCH_PAGE, 0x1000, UART, 0), NEXT_RESUME);
	assert_injected(CAUSE_FETCH_ACCESS, 0x1000);
	fake_insn = INSN_LW_A0_A1;
	assert_int_equal(leave(CAUSE_GUEST_LOAD_PAGE, 0x2000, NOWHERE, 0), NEXT_RESUME);
	assert_injected(CAUSE_LOAD_ACCESS, 0x2000);
	fake_insn = INSN_SB_A0_A1;
	assert_int_equal(leave(CAUSE_GUEST_STORE_PAGE, 0x2000, NOWHERE, 0), NEXT_RESUME);
	assert_injected(CAUSE_STORE_ACCESS, 0x2000);
	/* A guest page table in a device: of the type of the access that needed it. */
	assert_int_equal(leave(CAUSE_GUEST_STORE_PAGE, 0x2000, UART, HTINST_READ_PTE), NEXT_RESUME);
	assert_injected(CAUSE_STORE_ACCESS, 0x2000);
	assert_int_equal(leave(CAUSE_GUEST_FETCH_PAGE, 0x2000, UART, HTINST_WRITE_PTE),
	                 NEXT_RESUME);
	assert_injected(CAUSE_FETCH_ACCESS, 0x2000);
	/* An AMO on a device. */
	fake_insn = INSN_AMOADD;
	assert_int_equal(leave(CAUSE_GUEST_STORE_PAGE, 0x2000, UART, 0), NEXT_RESUME);
	assert_injected(CAUSE_STORE_ACCESS, 0x2000);
	/* A load where a store trapped: the code has changed since. */
	fake_insn = INSN_LW_A0_A1;
	assert_int_equal(leave(CAUSE_GUEST_STORE_PAGE, 0x2000, UART, 0), NEXT_RESUME);
	assert_injected(CAUSE_STORE_ACCESS, 0x2000);
	assert_int_equal(v->regs.sepc, RAM + 0x100);
}

static void test_mmio_load(void **state)
{
	(void)state;
	up();
	fake_insn = INSN_LBU_A0_5_A1;
	v->regs.x[10] = UINT64_MAX;
	assert_int_equal(leave(CAUSE_GUEST_LOAD_PAGE, 0x5, UART + 5, 0), NEXT_RESUME);
	assert_int_equal(v->regs.x[10], 0x60); /* LSR: idle */
	assert_int_equal(v->regs.sepc, RAM + 0x104);
	fake_insn = INSN_LW_ZERO_A1;
	assert_int_equal(leave(CAUSE_GUEST_LOAD_PAGE, 0, MAILBOX, 0), NEXT_RESUME);
	assert_int_equal(v->regs.x[0], 0);
	fake_insn = INSN_C_LW_A0_A1;
	assert_int_equal(leave(CAUSE_GUEST_LOAD_PAGE, 0, MAILBOX, 0), NEXT_RESUME);
	assert_int_equal(v->regs.sepc, RAM + 0x10a);
	assert_int_equal(fake_n_injected, 0);
	assert_int_equal(v->exits[EXIT_MMIO], 3);
}

static void test_mmio_store_by_htinst(void **state)
{
	char out[4];

	(void)state;
	up();
	fake_fetch_faults = true; /* htinst says it all */
	v->regs.x[10] = 0xffffff00 + 'P';
	assert_int_equal(leave(CAUSE_GUEST_STORE_PAGE, 0, UART, INSN_SB_A0_A1 & ~(0x1fU << 15)),
	                 NEXT_RESUME);
	assert_int_equal(vm_console_take(v->vm, out, sizeof(out)), 1);
	assert_int_equal(out[0], 'P');
	assert_int_equal(v->regs.sepc, RAM + 0x104);
}

/* HLVX faults although the guest has just executed the instruction: again. */
static void test_fetch_fault_retries(void **state)
{
	(void)state;
	up();
	fake_fetch_faults = true;
	assert_int_equal(leave(CAUSE_GUEST_LOAD_PAGE, 0, UART, 0), NEXT_RESUME);
	assert_int_equal(fake_n_injected, 0);
	assert_int_equal(v->regs.sepc, RAM + 0x100);
}

/* A load of NEXT parks the vCPU with its sepc where it was. */
static void test_mmio_wait(void **state)
{
	(void)state;
	up();
	fake_insn = INSN_LW_A0_A1;
	for (u64 offset = 0; offset < 0x40 && atomic_load(&v->holds) == 0; offset += 4)
		if (leave(CAUSE_GUEST_LOAD_PAGE, 0, MAILBOX + offset, 0) == NEXT_RESCHED)
			break;
		else
			v->regs.sepc = RAM + 0x100;
	assert_int_equal(v->holds, HOLD_WORK);
	assert_int_equal(v->regs.sepc, RAM + 0x100);
	assert_false(vcpu_door(v));
}

/* Guest time stands still as long as it has nothing to do, and goes on when it has. */
static void test_time_waits_for_work(void **state)
{
	struct vm *vm;
	u64 then;

	(void)state;
	up();
	vm = v->vm;
	for (u32 round = 0; round < 3; round++) {
		fake_insn = INSN_LW_A0_A1;
		fake_time += 100;
		then = vcpu_time(v);
		assert_int_equal(leave(CAUSE_GUEST_LOAD_PAGE, 0, NEXT, 0), NEXT_RESCHED);
		fake_put_back(0, v);
		fake_time += 1000000;
		if (round == 1) {
			vm_pause(vm);
			fake_time += 1000000;
			assert_int_equal(vm_run(vm), ERR_OK);
			fake_time += 1000000;
		}
		device_ops->give_work(vm, 5);
		fake_time += 1000000; /* until a hart is free */
		assert_ptr_equal(fake_pick(0), v);
		assert_int_equal(vcpu_time(v), then);
		v->regs.sepc = RAM + 0x100;
		assert_int_equal(leave(CAUSE_GUEST_LOAD_PAGE, 0, NEXT, 0), NEXT_RESUME);
		assert_int_equal(v->regs.x[10], 5);
		fake_time += 10;
		assert_int_equal(vcpu_time(v), then + 10);
	}
}

static void test_wfi(void **state)
{
	(void)state;
	up();
	assert_int_equal(leave(CAUSE_VIRTUAL_INSN, INSN_WFI, 0, 0), NEXT_RESUME);
	assert_int_equal(v->regs.sepc, RAM + 0x104);
	assert_false(vcpu_door(v));
	v->in_wfi = false;
	/* stval may be zero. */
	fake_insn = INSN_WFI;
	assert_int_equal(leave(CAUSE_VIRTUAL_INSN, 0, 0, 0), NEXT_RESUME);
	assert_true(v->in_wfi);
	v->in_wfi = false;
	/* With an interrupt pending it goes on at once. */
	csr_write(vsie, BIT(1));
	vcpu_raise(v, HVIP_VSSIP);
	assert_int_equal(leave(CAUSE_VIRTUAL_INSN, INSN_WFI, 0, 0), NEXT_RESUME);
	assert_true(vcpu_door(v));
	assert_false(v->in_wfi);
	/* In VU-mode it is illegal. */
	v->regs.sstatus &= ~SSTATUS_SPP;
	assert_int_equal(leave(CAUSE_VIRTUAL_INSN, INSN_WFI, 0, 0), NEXT_RESUME);
	assert_injected(CAUSE_ILLEGAL, INSN_WFI);
	assert_false(v->in_wfi);
}

static void test_hypervisor_instructions_are_illegal(void **state)
{
	const u32 hfence_gvma = 0x62000073;

	(void)state;
	up();
	assert_int_equal(leave(CAUSE_VIRTUAL_INSN, hfence_gvma, 0, 0), NEXT_RESUME);
	assert_injected(CAUSE_ILLEGAL, hfence_gvma);
}

/* Delegated; but a machine may refuse to delegate it. */
static void test_illegal(void **state)
{
	(void)state;
	up();
	assert_int_equal(leave(CAUSE_ILLEGAL, 0x53, 0, 0), NEXT_RESUME);
	assert_injected(CAUSE_ILLEGAL, 0x53);
}

/* Memory, devices, their edges, anything. */
static u64 random_gpa(void)
{
	const u64 bases[] = { RAM, RAM + (4UL << 20), UART, MAILBOX, 0x0c000000, 0x0c200000, 0 };
	u64 r = fake_random();

	if (r % 8 == 7)
		return r & ~3UL;
	return (bases[r % 8 % ARRAY_LEN(bases)] + (r >> 8) % 0x3000 - 0x20) & ~3UL;
}

static u64 random_htinst(void)
{
	const u64 known[] = { 0, 0, HTINST_READ_PTE, HTINST_WRITE_PTE, 0x503, 0x2023 };
	u64 r = fake_random();

	return r % 8 < ARRAY_LEN(known) ? known[r % 8] : r >> 8;
}

/* No cause, defined or not, with any operands, reaches an assertion or another VM. */
static void test_any_cause(void **state)
{
	struct vm *other;

	(void)state;
	fake_seed(3);
	for (u32 round = 0; round < 2000; round++) {
		up();
		other = fake_vm_run("other", 1);
		for (u32 i = 0; i < 8; i++) {
			u64 cause = fake_random() % 66;

			/* 64 and 65: interrupts that nobody asked for. */
			if (cause >= 64)
				cause = CAUSE_IRQ | (fake_random() & 63);
			fake_insn = (u32)fake_random();
			v->regs.x[17] = fake_random() & 1 ? 0x10 : fake_random();
			enum next next = leave(cause, fake_random(), random_gpa(), random_htinst());

			assert_true(next <= NEXT_DEAD);
			if (!vcpu_door(v))
				break;
		}
		assert_int_equal(other->state, VM_RUNNING);
	}
}

static void test_host_interrupts(void **state)
{
	(void)state;
	up();
	n_dispatched = 0;
	fake_events = HART_EV_EXT;
	assert_int_equal(leave(CAUSE_IRQ | IRQ_S_EXT, 0, 0, 0), NEXT_RESUME);
	assert_int_equal(n_dispatched, 1);
	sched_timer(v, UINT64_MAX);
	fake_events = HART_EV_TIMER;
	assert_int_equal(leave(CAUSE_IRQ | IRQ_S_TIMER, 0, 0, 0), NEXT_RESUME);
	assert_true(sched_timer_is_stale());
	/* The slice is over, and somebody waits. */
	fake_vm_run("b", 1);
	fake_time += 1000000;
	fake_events = HART_EV_TIMER;
	assert_int_equal(leave(CAUSE_IRQ | IRQ_S_TIMER, 0, 0, 0), NEXT_RESCHED);
	assert_int_equal(n_dispatched, 1);
}

static void test_unexpected_cause_stops_that_vm(void **state)
{
	(void)state;
	up();
	assert_int_equal(leave(63, 0, 0, 0), NEXT_DEAD);
	assert_int_equal(v->vm->state, VM_OFF);
	assert_non_null(v->vm->off_reason);
	assert_false(vcpu_door(v));
}

static jmp_buf others_turn;
static u32 n_asked;

/* On another hart a sibling asks for a fence whenever the last one has been taken note of. */
static void ask_again(const struct spinlock *l)
{
	static bool is_asking;
	struct vcpu_fence f = { .start = GVA(RAM), .len = PAGE_SIZE };

	if (lock_rank(l) != LOCK_VCPU_FENCE || is_asking)
		return;
	is_asking = true;
	assert_true(++n_asked < 1000); /* or this hart never does anything else */
	fake_time += time_ns_to_ticks(SCHED_SLICE_NS / 10);
	fake_hart = 1;
	vcpu_post_fence(v, &f);
	fake_hart = 0;
	is_asking = false;
}

static struct guest_exit stop_in_other(struct guest_regs *regs)
{
	assert_ptr_not_equal(regs, &v->regs);
	longjmp(others_turn, 1);
}

static void no_poll(void) {}

static bool nothing_wanted(void)
{
	return false;
}

/* However fast siblings make requests, the door comes to an end, and so does the slice. */
static void test_requests_without_end(void **state)
{
	static const struct run_ops ops = { .poll = no_poll, .wanted = nothing_wanted };

	(void)state;
	fake_boot(2);
	v = fake_vm_run("a", 1)->vcpu[0];
	vcpu_hold(fake_vm_run("unused", 1)->vcpu[0], HOLD_STOPPED); /* at home on hart 1 */
	fake_vm_run("other", 1);
	vcpu_post_fence(v, &(struct vcpu_fence){ .start = GVA(RAM), .len = PAGE_SIZE });
	fake_guest = stop_in_other;
	n_asked = 0;
	fake_on_release = ask_again;
	if (setjmp(others_turn) == 0)
		run_hart(&ops);
	fake_on_release = NULL;
	assert_in_range(n_asked, 5, 20);
	assert_int_equal(v->vm->stats.first_entry, 0); /* it has not run */
	space_leave();
	fake_put_back(0, vcpu_current());
}

static struct guest_exit run_once_then_stop(struct guest_regs *regs)
{
	assert_ptr_equal(regs, &vcpu_current()->regs);
	if (n_asked++ != 0)
		longjmp(others_turn, 1);
	fake_time += 5;
	return (struct guest_exit){ .scause = CAUSE_IRQ | IRQ_S_SOFT };
}

static void run_a_while(void)
{
	static const struct run_ops ops = { .poll = no_poll, .wanted = nothing_wanted };

	fake_guest = run_once_then_stop;
	n_asked = 0;
	if (setjmp(others_turn) == 0)
		run_hart(&ops);
	v = vcpu_current();
	atomic_store(&v->in_guest, false);
	space_leave();
	fake_put_back(0, v);
}

/* The first entry is noted once, and anew after a reset; time in the guest adds up over both lives. */
static void test_first_entry(void **state)
{
	struct vm *template, *vm;
	u64 was;

	(void)state;
	fake_boot(1);
	template = fake_vm_run("t", 1);
	assert_int_equal(vm_freeze(template), ERR_OK);
	assert_int_equal(vm_clone(template, &vm), ERR_OK);
	assert_int_equal(vm_run(vm), ERR_OK);
	was = fake_time;
	run_a_while();
	assert_in_range(vm->stats.first_entry, was, fake_time - 5);
	was = vm->stats.first_entry;
	run_a_while();
	assert_int_equal(vm->stats.first_entry, was);
	fake_time += 100;
	assert_int_equal(vm_reset(vm), ERR_OK);
	assert_int_equal(vm->stats.first_entry, 0);
	was = fake_time;
	run_a_while();
	assert_in_range(vm->stats.first_entry, was, fake_time - 5);
	assert_int_equal(v->guest_ticks, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpa),
		cmocka_unit_test(test_implicit_write_breaks),
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test(test_mmio_load),
		cmocka_unit_test(test_mmio_store_by_htinst),
		cmocka_unit_test(test_fetch_fault_retries),
		cmocka_unit_test(test_mmio_wait),
		cmocka_unit_test(test_time_waits_for_work),
		cmocka_unit_test(test_wfi),
		cmocka_unit_test(test_hypervisor_instructions_are_illegal),
		cmocka_unit_test(test_illegal),
		cmocka_unit_test(test_any_cause),
		cmocka_unit_test(test_host_interrupts),
		cmocka_unit_test(test_unexpected_cause_stops_that_vm),
		cmocka_unit_test(test_requests_without_end),
		cmocka_unit_test(test_first_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
