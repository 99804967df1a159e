// SPDX-License-Identifier: BSD-2-Clause
/*
 * Bring the floors up, in order.  boot.S calls pando_main() on the boot hart with
 * translation off; once everything stands, all harts meet in hart_main().
 */
#include "arch/boot.h"
#include "arch/firmware.h"
#include "arch/log.h"
#include "arch/panic.h"
#include "arch/time.h"
#include "ctl/ctl.h"
#include "dev/dev.h"
#include "dev/entropy.h"
#include "drv/console.h"
#include "drv/irq.h"
#include "drv/machine.h"
#include "drv/power.h"
#include "drv/serial.h"
#include "drv/rtc.h"
#include "mm/frame.h"
#include "mm/space.h"
#include "run/run.h"
#include "vm/sched.h"
#include "vm/vector.h"
#include "vm/vm.h"

#define EXIT_CANNOT_RUN 1U

static const struct run_ops control = {
	.poll = ctl_poll,
	.wanted = ctl_wanted,
	.deadline = ctl_deadline,
};

/* Lack of something that Pando cannot do without: one line, and a code that scripts see. */
static void need(enum err e, const char *const *why)
{
	if (e == ERR_OK)
		return;
	log_error("%s", *why);
	power_off(EXIT_CANNOT_RUN);
}

static void hart_main(void)
{
	irq_hart_init();
	run_hart(&control);
}

_Noreturn void pando_main(u64 boot_hart_id, const void *fdt)
{
	const char *why = "";

	/* arch: the machine below us */
	hart_init_boot(boot_hart_id);
	need(firmware_probe(&why), &why);
	need(machine_probe(fdt, boot_hart_id, &why), &why);
	need(probe_machine(&why), &why);
	hart_set_ids(machine_info.hart_ids, machine_info.n_harts);
	need(machine_map(&why), &why);
	panic_set_power_hook(power_off);
	panic_set_context_hook(vm_describe_current);

	/* mm */
	why = "no room in memory for the frame table";
	need(frame_init(machine_info.ram, machine_info.n_ram, machine_info.reserved,
	                machine_info.n_reserved),
	     &why);
	space_init_all();
	scan_init(time_now() ^ time_instret() << 32);

	/* drv */
	irq_init();
	console_init();
	rtc_init(machine_info.rtc_base);
	log_set_sink(console_write);
	probe_isolation();
	machine_report();
	serial_init();

	/* vm, sbi, dev, run, ctl */
	sched_init();
	vector_init();
	dev_init();
	for (u32 i = 0; i < machine_info.n_seed_words; i++)
		entropy_seed(machine_info.rng_seed[i]);
	ctl_init();

	hart_start_all(hart_main);
	hart_main();
	hart_park();
}
