/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VM bundle: a device-tree blob that names VMs and carries their images.
 *
 *	/ {
 *		compatible = "pando,bundle";
 *		quit-when-off;			 optional: power off when no VM runs any more
 *		vms {
 *			linux {
 *				compatible = "pando,vm";
 *				memory-size = <0x0 0x10000000>;	 bytes, 64 bit, multiple of 2 MiB
 *				vcpus = <2>;			 optional, 1
 *				bootargs = "console=ttyS0";	 optional
 *				kernel = /incbin/("Image");
 *				initrd = /incbin/("initrd.cpio"); optional
 *				autoboot = <1>;			 optional: how many to boot at start; an auto
 *								 demo boots its template itself
 *			};
 *		};
 *		demo {				 optional
 *			template = "linux";
 *			clones = <100>;
 *			expect = /incbin/("expect.bin"); 32 bytes for each clone: its sha256
 *			auto;			 run it at boot, then power off ...
 *			keep;			 ... or stay in the shell
 *		};
 *	};
 */
#ifndef CTL_BUNDLE_H
#define CTL_BUNDLE_H

#include "vm/vm.h"

#define BUNDLE_VMS_MAX      16
#define BUNDLE_CLONES_MAX   4096U
#define BUNDLE_AUTOBOOT_MAX 256U
#define BUNDLE_HASH_LEN     32U /* bytes of a sha256 */
#define BUNDLE_WHY_LEN      200U

struct bundle_vm {
	struct vm_config config; /* pointers go into the blob */
	u32 autoboot;
};

struct bundle_demo {
	bool is_present, is_auto, keep;
	const struct bundle_vm *template;
	u32 n_clones;
	const u8 *expect; /* n_expect hashes, the first is clone 1's */
	u32 n_expect;
};

struct bundle {
	struct bundle_vm vm[BUNDLE_VMS_MAX];
	u32 n_vms;
	struct bundle_demo demo;
	bool quit_when_off;
};

/*
 * Checks the blob of at most `len` bytes at an 8-byte aligned address and fills `b`, which refers
 * to it from then on.  On failure `why` is one line that names node and property.
 * ERR_ABSENT: no bundle there; ERR_INVAL: broken; ERR_LIMIT: more than a limit.
 */
enum err must_check bundle_read(const void *blob, u64 len, struct bundle *b,
                                char why[BUNDLE_WHY_LEN]);

/* NULL: no such VM in the bundle. */
const struct bundle_vm *bundle_find(const struct bundle *b, const char *name);

#endif
