// SPDX-License-Identifier: BSD-2-Clause
/* The banner: what this machine is, and how well it can keep VMs apart. */
#include <stdio.h>
#include <string.h>

#include "arch/log.h"
#include "drv/machine.h"

static u64 ram_mib(void)
{
	u64 total = 0;
	u32 i;

	for (i = 0; i < machine_info.n_ram; i++)
		total += machine_info.ram[i].len;
	return total >> 20;
}

static void list_extensions(char *buf, size_t len)
{
	const struct {
		bool has;
		const char *name;
	} all[] = {
		{ machine.has_fp, "fd" },         { machine.has_vector, "v" },
		{ machine.has_sstc, "sstc" },     { machine.has_svinval, "svinval" },
		{ machine.has_svadu, "svadu" },   { machine.has_zicbom, "zicbom" },
		{ machine.has_zicboz, "zicboz" }, { machine.has_smstateen, "smstateen" },
		{ machine.has_zba, "zba" },       { machine.has_zbb, "zbb" },
		{ machine.has_zbs, "zbs" },
	};
	size_t i;

	buf[0] = '\0';
	for (i = 0; i < ARRAY_LEN(all); i++)
		if (all[i].has && strlen(buf) + strlen(all[i].name) + 2 < len) {
			strcat(buf, " ");
			strcat(buf, all[i].name);
		}
}

void machine_report(void)
{
	u32 n_harts = machine_info.n_harts;
	char extensions[128];

	list_extensions(extensions, sizeof(extensions));
	log_info("Pando on %s: %u hart%s, %lu MiB of RAM, timebase %lu kHz", machine_info.model,
	         n_harts, n_harts == 1 ? "" : "s", ram_mib(), machine.timebase_hz / 1000);
	log_info("extensions: h%s; %u VMID bits", extensions, machine.vmid_bits);
	if (machine.isolation_strong)
		log_info("isolation: strong");
	else
		log_info("isolation: weak (machine updates A/D bits in shared frames)");
	if (machine_info.n_harts_present > n_harts)
		log_info("%u harts are present, Pando uses %u", machine_info.n_harts_present,
		         n_harts);
	if (machine_info.initrd.len != 0)
		log_info("bundle: %lu KiB at 0x%lx", machine_info.initrd.len >> 10,
		         machine_info.initrd.base.v);
	else
		log_info("bundle: none");
}
