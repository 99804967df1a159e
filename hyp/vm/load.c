/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a new VM's images go in its RAM.
 *
 *   kernel  a RISC-V Image at the text_offset its header asks for (2 MiB for
 *           Linux), anything without that header at the base of RAM; either is
 *           entered at its first byte
 *   initrd  half-way up, at most 512 MiB above the kernel, as QEMU has it; lower
 *           in a small RAM, but never in what the kernel needs for itself
 *   tree    at the last 2 MiB boundary below the end, or at the end itself when
 *           that boundary is taken
 *
 * Image header: Linux, Documentation/arch/riscv/boot-image-header.rst.
 */
#include "lib/assert.h"
#include "mm/blob.h"
#include "mm/copy.h"
#include "mm/pool.h"
#include "vm/device.h"
#include <string.h>

#define IMAGE_TEXT_OFFSET 8U
#define IMAGE_SIZE        16U
#define IMAGE_MAGIC2      56U
#define IMAGE_HEADER_LEN  64U
#define INITRD_MAX_OFFSET (512UL << 20)

#define FDT_ORDER     3U
#define FDT_ROOM      (PAGE_SIZE << FDT_ORDER)
#define FDT_TOTALSIZE 4U /* big-endian, bytes */

#define MIB(len) (((len) + (1UL << 20) - 1) >> 20)

/* Offsets and lengths in RAM, bytes. */
struct layout {
	u64 kernel, kernel_room; /* room: with what the kernel needs behind its image (bss) */
	u64 initrd;
	u64 fdt;
};

static u64 read_le64(const void *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* A blob's first piece is a page at least: the header lies in it. */
static enum err place_kernel(const struct vm_config *c, struct layout *l, const char **why)
{
	u64 n;
	const u8 *image = c->kernel_blob != NULL ? blob_at(c->kernel_blob, 0, &n) : c->kernel;

	l->kernel_room = c->kernel_len;
	if (c->kernel_len >= IMAGE_HEADER_LEN && memcmp(image + IMAGE_MAGIC2, "RSC\x05", 4) == 0) {
		l->kernel = read_le64(image + IMAGE_TEXT_OFFSET);
		l->kernel_room = u64_max(c->kernel_len, read_le64(image + IMAGE_SIZE));
	}
	if (!IS_ALIGNED(l->kernel, BLOCK_SIZE))
		return vm_refuse(
			ERR_INVAL, why,
			"kernel: text_offset 0x%lx in its header is not a multiple of 2 MiB",
			l->kernel);
	return ERR_OK;
}

/* False: no place. */
static bool place_rest(const struct vm_config *c, struct layout *l)
{
	u64 end, top = c->ram_len - FDT_ROOM;

	if (!range_holds(0, top, l->kernel, l->kernel_room))
		return false;
	end = l->kernel + l->kernel_room;
	if (c->initrd_len != 0) {
		if (c->initrd_len > top - end)
			return false;
		l->initrd = ALIGN_UP(l->kernel + u64_min(c->ram_len / 2, INITRD_MAX_OFFSET),
		                     BLOCK_SIZE);
		l->initrd = u64_max(l->initrd, ALIGN_UP(end, BLOCK_SIZE));
		if (!range_holds(0, top, l->initrd, c->initrd_len))
			l->initrd = ALIGN_DOWN(top - c->initrd_len, BLOCK_SIZE);
		if (l->initrd < end)
			return false;
		end = l->initrd + c->initrd_len;
	}
	l->fdt = ALIGN_DOWN(top, BLOCK_SIZE);
	if (l->fdt < end)
		l->fdt = top;
	return true;
}

static void read_blob(const void *arg, u64 offset, void *to, u64 len)
{
	blob_read(arg, offset, to, len);
}

static enum err load_one(struct vm *vm, const char *property, u64 offset, const void *image,
                         const struct blob *blob, u64 len, const char **why)
{
	const struct image_reader from = { read_blob, blob };
	gpa_t gpa = GPA(vm->ram.base.v + offset);
	enum err e = blob != NULL ? space_load_from(&vm->space, gpa, &from, len)
	                          : space_load(&vm->space, gpa, image, len);

	if (e != ERR_OK)
		return vm_refuse(e, why, "%s: loading %lu MiB failed: %s", property, MIB(len),
		                 err_name(e));
	return ERR_OK;
}

static enum err load_tree(struct vm *vm, const struct vm_config *c, const struct layout *l,
                          const char **why)
{
	gpa_t initrd = GPA(c->initrd_len != 0 ? vm->ram.base.v + l->initrd : 0);
	u8 *tree = pages_alloc(FDT_ORDER, FRAME_FOR_GUEST);
	enum err e = ERR_NOMEM;
	u32 len;
	int result;

	if (tree == NULL && space_relieve())
		tree = pages_alloc(FDT_ORDER, FRAME_FOR_GUEST);
	if (tree == NULL)
		return vm_refuse(ERR_NOMEM, why, "no memory for the device tree");
	result = device_ops->build_fdt(vm, c, initrd, c->initrd_len, tree, FDT_ROOM);
	if (result == 0) {
		memcpy(&len, tree + FDT_TOTALSIZE, sizeof(len));
		len = __builtin_bswap32(len);
		assert(len <= FDT_ROOM);
		e = copy_to_guest(&vm->space, GPA(vm->ram.base.v + l->fdt), tree, len);
		if (e != ERR_OK)
			e = vm_refuse(e, why, "memory-size: loading the device tree failed: %s",
			              err_name(e));
	} else {
		e = vm_refuse(ERR_RANGE, why,
		              "bootargs: the device tree does not fit into %lu KiB (libfdt: %d)",
		              FDT_ROOM >> 10, result);
	}
	pages_free(tree, FDT_ORDER);
	return e;
}

enum err load_images(struct vm *vm, const struct vm_config *c, const char **why)
{
	struct layout l = { 0 };
	enum err e = place_kernel(c, &l, why);

	if (e != ERR_OK)
		return e;
	if (!place_rest(c, &l))
		return vm_refuse(
			ERR_RANGE, why,
			"memory-size: %lu MiB cannot hold kernel (%lu MiB%s) + initrd (%lu MiB)",
			MIB(c->ram_len), MIB(l.kernel_room),
			l.kernel != 0 ? ", 2 MiB or more above the base" : "", MIB(c->initrd_len));
	e = load_one(vm, "kernel", l.kernel, c->kernel, c->kernel_blob, c->kernel_len, why);
	if (e == ERR_OK && c->initrd_len != 0)
		e = load_one(vm, "initrd", l.initrd, c->initrd, c->initrd_blob, c->initrd_len, why);
	if (e == ERR_OK)
		e = load_tree(vm, c, &l, why);
	if (e == ERR_OK)
		vcpu_start_at(vm->vcpu[0], vm->ram.base.v + l.kernel, vm->ram.base.v + l.fdt);
	return e;
}
