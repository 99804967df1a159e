// SPDX-License-Identifier: BSD-2-Clause
/*
 * Turning the machine off.  The sifive,test finisher takes a word: 0x5555 is
 * success, 0x3333 failure with a code in the upper half, which QEMU exits with.
 */
#include "drv/power.h"

#include "arch/boot.h"
#include "arch/firmware.h"
#include "drv/machine.h"

#define FINISHER_PASS 0x5555U
#define FINISHER_FAIL 0x3333U

_Noreturn void power_off(u32 code)
{
	u64 base = machine_info.finisher_base.v;

	if (base != 0)
		*(volatile u32 *)base =
			code == 0 ? FINISHER_PASS : code << 16 | FINISHER_FAIL; /* NOLINT: MMIO */
	firmware_shutdown(code != 0);
	hart_park();
}
