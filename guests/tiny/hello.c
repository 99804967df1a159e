/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The least a guest can do: find its tree, print, and shut down.
 */
#include "guest.h"

const char guest_name[] = "hello";

void guest_main(void)
{
	print("hello from hart %lu of %lu, %lu MiB of RAM at 0x%lx", this_hart()->id,
	      machine.n_harts, machine.ram_len >> 20, machine.ram_base);
	print("isa %s, bootargs '%s'", machine.isa, machine.bootargs);
}
