// SPDX-License-Identifier: BSD-2-Clause
/*
 * Bring the floors up, in order.  boot.S calls pando_main() on the boot hart with
 * translation off; once the other harts run, all of them meet in hart_loop().
 */
#include "arch/boot.h"
#include "arch/firmware.h"
#include "arch/log.h"
#include "arch/panic.h"
#include "drv/console.h"
#include "drv/irq.h"
#include "drv/machine.h"
#include "drv/power.h"

#define EXIT_CANNOT_RUN 1U

/* Lack of something that Pando cannot do without: one line, and a code that scripts see. */
static void need(enum err e, const char *const *why)
{
	if (e == ERR_OK)
		return;
	log_error("%s", *why);
	power_off(EXIT_CANNOT_RUN);
}

static void hart_loop(void)
{
	irq_hart_init();
	for (;;) {
		hart_wait();
		if (hart_events() & HART_EV_EXT)
			irq_dispatch();
	}
}

_Noreturn void pando_main(u64 boot_hart_id, const void *fdt)
{
	const char *why = "";

	hart_init_boot(boot_hart_id);
	need(firmware_probe(&why), &why);
	need(machine_probe(fdt, boot_hart_id, &why), &why);
	need(probe_machine(&why), &why);
	hart_set_ids(machine_info.hart_ids, machine_info.n_harts);
	need(machine_map(&why), &why);
	panic_set_power_hook(power_off);

	irq_init();
	console_init();
	log_set_sink(console_write);
	probe_isolation();

	hart_start_all(hart_loop);
	machine_report();
	hart_loop();
	hart_park();
}
