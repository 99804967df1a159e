// SPDX-License-Identifier: BSD-2-Clause
/*
 * Turning the machine off.  The sifive,test finisher takes a word: 0x5555 is
 * success, 0x3333 failure with a code in the upper half, which QEMU exits with.
 */
#include "drv/power.h"

#include "arch/boot.h"
#include "arch/firmware.h"
#include "arch/hart.h"
#include "arch/time.h"
#include "drv/machine.h"

#define FINISHER_PASS 0x5555U
#define FINISHER_FAIL 0x3333U

/* The machine goes on for a moment after the finisher was told.  A call to the firmware in
 * that moment would replace the exit code by one of its own.  In ticks, about a second:
 * the timebase may be what could not be read. */
#define FINISHER_GRACE_TICKS 10000000UL

static void finish(u32 code)
{
	volatile u32 *finisher = (volatile u32 *)machine_info.finisher_base.v; /* NOLINT: MMIO */
	u64 end = time_now() + FINISHER_GRACE_TICKS;

	*finisher = code == 0 ? FINISHER_PASS : code << 16 | FINISHER_FAIL;
	while (time_now() < end)
		hart_relax();
}

_Noreturn void power_off(u32 code)
{
	if (machine_info.finisher_base.v != 0)
		finish(code);
	firmware_shutdown(code != 0);
	hart_park();
}
