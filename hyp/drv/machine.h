/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the machine's device tree says, read once at boot with libfdt.
 */
#ifndef DRV_MACHINE_H
#define DRV_MACHINE_H

#include "arch/hart.h"
#include "lib/err.h"
#include "lib/types.h"

#define MEM_RANGES_MAX     32
#define MACHINE_SEED_WORDS 8
#define PLIC_NO_CONTEXT    UINT32_MAX
#define VIRTIO_MMIO_MAX    16U

struct virtio_slot {
	hpa_t base;
	u64 len;
	u32 irq; /* 0: none */
};

struct machine_info {
	struct mem_range ram[MEM_RANGES_MAX];
	u32 n_ram;
	struct mem_range
		reserved[MEM_RANGES_MAX]; /* firmware, initrd, device tree, Pando's image */
	u32 n_reserved;
	struct mem_range initrd; /* the VM bundle; len 0 when there is none */
	u64 hart_ids[HART_MAX];  /* the boot hart first, then ascending */
	u32 n_harts;
	u32 n_harts_present; /* may be more than Pando uses */
	hpa_t uart_base;
	u64 uart_len;
	u32 uart_irq;       /* 0: none */
	u32 uart_reg_shift; /* register n is at uart_base + (n << shift) */
	u32 uart_io_width;  /* bytes per access: 1 or 4 */
	hpa_t plic_base;    /* 0: the machine has no PLIC */
	u64 plic_len;
	u32 plic_n_sources;
	u32 plic_s_context[HART_MAX]; /* S-mode context of hart_ids[i], or PLIC_NO_CONTEXT */
	hpa_t finisher_base;          /* sifive,test device; 0 when absent */
	u64 finisher_len;
	hpa_t rtc_base; /* google,goldfish-rtc; 0 when absent */
	u64 rtc_len;
	struct virtio_slot virtio[VIRTIO_MMIO_MAX]; /* with a device in it, or without */
	u32 n_virtio;
	u64 rng_seed[MACHINE_SEED_WORDS]; /* /chosen/rng-seed */
	u32 n_seed_words;
	char model[64];
};
extern struct machine_info machine_info;

/* Fills machine_info and the isa-derived part of `machine`.  On failure `*why` is one
 * clear line for the user. */
enum err machine_probe(const void *fdt, u64 boot_hart_id, const char **why);

/* Builds Pando's page table from machine_info (RAM and devices) and switches
 * translation on for this hart. */
enum err machine_map(const char **why);

/* Says in the log what this machine is: the banner. */
void machine_report(void);

#endif
