// SPDX-License-Identifier: BSD-2-Clause
/*
 * What commands say about VMs, memory and time: lists, the balance of mem, and top.
 */
#include "ctl_fake.h"
#include "caller.h"
#include "arch/time.h"
#include "ctl/shell.h"

/* A name stands for a VM and all that descends from it, and not for another that begins like it. */
static void test_lists(void **state)
{
	const char *screen;

	(void)state;
	assert_has(fake_type("vms\r"), "0 VMs\n");
	fake_type("boot linux -n 2\rfreeze linux\rclone linux -n 3\rpause linux.2\r");
	screen = fake_type("vms\r");
	assert_has(screen, "linux-2 ");
	assert_has(screen,
	           "5 VMs: 3 running, 1 paused, 1 template; 0 B private, 16 KiB of tables\n");
	screen = fake_type("vms linux\r");
	assert_has(screen, "linux.3 ");
	assert_has_not(screen, "linux-2 ");
	assert_has(screen, "4 VMs: 2 running, 1 paused, 1 template; ");
	screen = fake_type("vms linux -s\r");
	assert_has_not(screen, "NAME");
	assert_has(screen, "4 VMs: ");
	assert_has(fake_type("vms linux.3\r"), "1 VM: 1 running; ");
	screen = fake_type("vms #5000\r");
	assert_has(screen, "no VM \"#5000\"; try vms");
	/* The template has gone, its clones are to be found under its name. */
	fake_type("kill linux\r");
	assert_has(fake_type("vms linux -s\r"), "3 VMs: 2 running, 1 paused; ");
}

/* A program is told how many clones there are, be it all or not. */
static void test_clone_count(void **state)
{
	struct request r;

	(void)state;
	fake_type("boot linux\rfreeze linux\r");
	request(&r, "clone linux -n 3", NULL, 0);
	assert_int_equal(r.e, ERR_OK);
	assert_has(r.data, "\"vms\":[\"linux.1\",\"linux.2\",\"linux.3\"],\"n\":3,");
	fc.fail_next = ERR_NOMEM;
	request(&r, "clone linux -n 3", NULL, 0);
	assert_int_equal(r.e, ERR_NOMEM);
	assert_has(r.error, "linux: clone 1 of 3: ");
	assert_has(r.data, "\"vms\":[],\"n\":0,");
}

static void store(struct vm *vm, u64 offset)
{
	assert_int_equal(copy_to_guest(&vm->space, GPA(vm->ram.base.v + offset), "x", 1), ERR_OK);
}

/* Both sides of the balance, families, what a killed template keeps, and what one VM costs. */
static void test_memory(void **state)
{
	const char *screen;
	struct frame *f;

	(void)state;
	fake_type("boot linux -n 2\r");
	for (u64 n = 0; n < 16; n++)
		store(fc.vms[0], n * PAGE_SIZE);
	store(fc.vms[1], 0);
	fake_type("freeze linux\rclone linux -n 3\r");
	store(fc.vms[2], 0);
	screen = fake_type("mem\r");
	assert_has(screen,
	           "linux                         4     4 KiB    64 KiB       0 B    48 KiB\n");
	assert_has(screen,
	           "linux-2                       1     4 KiB       0 B       0 B    24 KiB\n");
	assert_has(screen, "(all)                         5 ");
	assert_has_not(screen, "DIFFERENT");
	assert_has_not(screen, "error");
	assert_has_not(screen, "(killed)");
	screen = fake_type("mem linux\r");
	assert_has(
		screen,
		"0 B private, 64 KiB shared, 0 B merged, 0 zero pages, 0 B retained, 0 B of tables; RAM 4 MiB\n");
	assert_has(screen, "3 clones: 4 KiB private, 24 KiB of tables\n");
	assert_has(screen, "  fixed: ");
	fake_type("kill linux\r");
	assert_has(fake_type("mem\r"), "\nlinux (killed): 64 KiB retained for 3 clones\n");
	assert_has(fake_type("mem linux\r"), "no VM \"linux\"; try vms");
	/* A frame that nobody knows of: the two sides differ, and that is said. */
	f = frame_alloc(FRAME_FOR_PANDO);
	f->class = FRAME_COUNTED;
	screen = fake_type("mem\r");
	assert_has(screen, "  DIFFERENT\n  tables ");
	assert_has(screen, "  DIFFERENT\ncounted in ");
	assert_has(screen, "error: mem: the sums differ");
	frame_free(f);
}

static void test_stat_of_many(void **state)
{
	const char *screen;

	(void)state;
	fake_type("boot linux -n 32\r");
	assert_has(fake_type("stat\r"), "\nlinux-32: running");
	fake_type("freeze linux\rclone linux\r");
	screen = fake_type("stat\r");
	assert_has_not(screen, "linux-32: running");
	assert_has(screen, "33 VMs: stat VM shows one, top the busiest\n");
}

static void test_many_families(void **state)
{
	const char *screen;

	(void)state;
	fake_type("boot linux -n 19\r");
	screen = fake_type("mem\r");
	assert_has(screen, "\nlinux-16 ");
	assert_has_not(screen, "\nlinux-17 ");
	assert_has(screen, "(others)                      3 ");
	assert_has(screen, "(all)                        19 ");
}

/* A vCPU was in its guest for `guest` and in the hypervisor for `hypervisor` ticks. */
static void run_vcpu(struct vm *vm, u64 guest, u64 hypervisor)
{
	vm->vcpu[0]->guest_ticks += guest;
	vm->vcpu[0]->loaded.sum += guest + hypervisor;
	vm->vcpu[0]->exits[EXIT_SBI] += 100;
}

static void test_top(void **state)
{
	u64 second = time_ns_to_ticks(1000000000);
	const char *screen;

	(void)state;
	fake_type("boot linux -n 22\r");
	fake_type("top -n 1\r");
	fake_time += 10 * second;
	run_vcpu(fc.vms[3], 2 * second, second);
	run_vcpu(fc.vms[7], 5 * second, 0);
	store(fc.vms[9], 0);
	screen = fake_type("top -n 1\r");
	assert_has(
		screen,
		"last 10 s\nlinux-8                    50.0 %     0.0 %         10          0       0 B       0 B\n"
		"linux-4                    20.0 %    10.0 %         10          0       0 B       0 B\n");
	assert_has(screen, "and 4 more\n");
	assert_has_not(screen, "\033[J");
	/* Nothing has happened since. */
	fake_time += second;
	assert_has(
		fake_type("top memory -n 1\r"),
		"last 1 s\nlinux-10                    0.0 %     0.0 %          0          0     4 KiB       0 B\n");
	assert_has(fake_type("top -n 1 x\r"), "usage: top [memory]");
	assert_has(fake_type("top -d 0\r"), "-d wants a number from 1 to 3600");
}

/* It draws over itself until its time is over or a key comes; that key is used up. */
static void test_top_goes_on(void **state)
{
	u64 second = time_ns_to_ticks(1000000000);

	(void)state;
	fake_type("boot linux\r");
	assert_has_not(fake_type("top -d 3\r\n"), "pando> \n");
	assert_int_equal(ctl_deadline(), fake_time + 3 * second);
	fake_time += 3 * second;
	fake_poll();
	assert_has(fake_screen(), "\033[2A\033[KNAME");
	/* What somebody says is not drawn over. */
	shell_say("news");
	fake_time += 3 * second;
	fake_poll();
	assert_has(fake_screen(), "news\n\033[KNAME");
	assert_has_not(fake_type("q"), "q");
	assert_int_equal(ctl_deadline(), TIME_NEVER);
	assert_has(fake_type("vms\r"), "1 VM: ");
	/* An arrow key is one key, for the line; three looks are three. */
	fake_type("top\r");
	assert_has(fake_type("\033[A\x15vms\r"), "1 VM: ");
	fake_type("top -n 3 -d 1\r");
	fake_time += second;
	fake_poll();
	assert_int_not_equal(ctl_deadline(), TIME_NEVER);
	fake_time += second;
	fake_poll();
	assert_int_equal(ctl_deadline(), TIME_NEVER);
	assert_has(fake_screen(), "pando> ");
}

/* A program's look is its own: the one on the screen goes on as it was. */
static void test_top_of_two(void **state)
{
	u64 second = time_ns_to_ticks(1000000000);
	struct request r;

	(void)state;
	fake_type("boot linux -n 2\r");
	store(fc.vms[1], 0);
	fake_type("top -d 3\r\n");
	request(&r, "top memory -n 7 -d 1", NULL, 0);
	assert_int_equal(r.e, ERR_OK);
	assert_has(r.text, "\nlinux-2 ");
	assert_has_not(r.text, "\033");
	assert_true(strstr(r.text, "\nlinux-2 ") < strstr(r.text, "\nlinux "));
	assert_int_equal(ctl_deadline(), fake_time + 3 * second);
	fake_time += second;
	run_vcpu(fc.vms[0], second, 0);
	fake_time += 2 * second;
	fc.n_screen = 0;
	fake_poll();
	assert_has(fake_screen(), "\033[3A\033[KNAME");
	assert_has(fc.screen, "\n\033[Klinux  ");
	assert_true(strstr(fc.screen, "linux ") < strstr(fc.screen, "linux-2 "));
	assert_int_equal(ctl_deadline(), fake_time + 3 * second);
	fake_type("q");
}

#define TEST(t) cmocka_unit_test_teardown(t, fake_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lists),         TEST(test_clone_count),  TEST(test_memory),
		TEST(test_many_families), TEST(test_stat_of_many), TEST(test_top),
		TEST(test_top_goes_on),   TEST(test_top_of_two),
	};

	fake_seed(4);
	return cmocka_run_group_tests(tests, fake_up, NULL);
}
