/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the memory is.
 *
 * Of the machine, twice: by the classes of the frame table, and by a walk over all spaces
 * that counts each frame once, while the VMs stand still.  The two have nothing in
 * common but the memory, so where they differ somebody has miscounted.
 *
 * Frames that more than one VM reaches belong to no VM, but to a family: all that descends
 * from one booted VM.  Only the merge scanner lets families share, in a named domain: such a frame
 * is counted where it is first met.
 */
#include <string.h>
#include "ctl/figure.h"
#include "ctl/fmt.h"
#include "ctl/mem.h"
#include "ctl/names.h"
#include "ctl/still.h"
#include "mm/usage.h"
#include "vm/device.h"

#define FAMILIES_SHOWN 16U

struct family {
	u64 id;
	u32 n_vms;
	char name[VM_NAME_LEN];
	struct usage_sum sum;
};

/* One count of everything.  Too big for a stack; one command at a time. */
static struct {
	struct family family[FAMILIES_SHOWN];
	struct family others; /* the sum of those that have no line */
	u32 n_families;       /* that have one */
	struct usage_sum dying;
	u64 class[FRAME_N_CLASSES];
	u64 n_free, n_records; /* by those who hand them out */
	u64 ticks;
} count;

/* ---- counting ---- */

static struct family *family_of(const struct space *s)
{
	for (u32 i = 0; i < count.n_families; i++)
		if (count.family[i].id == s->family)
			return &count.family[i];
	return NULL;
}

/* A family is called as the VM was that it began with: names of clones start with that. */
static bool add_vm(struct vm *vm, void *arg)
{
	struct family *f = family_of(&vm->space);

	(void)arg;
	if (!f && count.n_families < FAMILIES_SHOWN) {
		f = &count.family[count.n_families++];
		f->id = vm->space.family;
		memcpy(f->name, vm->name, strcspn(vm->name, "."));
	}
	(f ? f : &count.others)->n_vms++;
	return true;
}

static void add_space(struct space *s, void *arg)
{
	struct family *f = family_of(s);

	(void)arg;
	usage_add(s, &(f ? f : &count.others)->sum);
}

static void count_everything(struct cmd *c)
{
	u64 start = time_now();

	memset(&count, 0, sizeof(count));
	still_begin();
	vm_for_each(add_vm, NULL);
	usage_begin(count.class);
	space_for_each(add_space, NULL);
	usage_add_dying(&count.dying);
	count.n_free = frame_n_free() - frame_n_pooled();
	count.n_records = usage_n_records();
	usage_end();
	still_end(c);
	count.ticks = time_now() - start;
}

static u64 guest_frames(const struct usage_sum *s)
{
	return s->private_frames + s->shared_frames + s->retained_frames;
}

static void add_up(struct usage_sum *to, const struct usage_sum *s)
{
	to->private_frames += s->private_frames;
	to->shared_frames += s->shared_frames;
	to->retained_frames += s->retained_frames;
	to->table_frames += s->table_frames;
}

/* ---- showing ---- */

void mem_show_frames(struct cmd *c, const u64 n[])
{
	cmd_printf(c, "memory: %s, of which %s free\n", fmt_bytes(frame_n_total() * PAGE_SIZE).s,
	           fmt_bytes(frame_n_free() * PAGE_SIZE).s);
	figure_frames(c->json, "total", frame_n_total());
	figure_frames(c->json, "free", frame_n_free());
	json_array(c->json, "classes");
	for (u32 i = 0; i < FRAME_N_CLASSES; i++) {
		json_object(c->json, NULL);
		json_string(c->json, "name", figure_frame(i));
		json_u64(c->json, "frames", n[i]);
		figure_frames(c->json, "bytes", n[i]);
		json_end_object(c->json);
		cmd_printf(c, "  %-13s %10lu frames  %s\n", name_of_frame(i), n[i],
		           fmt_bytes(n[i] * PAGE_SIZE).s);
	}
	json_end_array(c->json);
}

static void show_family(struct cmd *c, const char *name, u32 n_vms, const struct usage_sum *s)
{
	json_object(c->json, NULL);
	json_string(c->json, "name", name);
	json_u64(c->json, "vms", n_vms);
	figure_frames(c->json, "private", s->private_frames);
	figure_frames(c->json, "shared", s->shared_frames);
	figure_frames(c->json, "retained", s->retained_frames);
	figure_frames(c->json, "tables", s->table_frames);
	json_end_object(c->json);
	cmd_printf(c, "%-24s %6u  %8s  %8s  %8s  %8s\n", name, n_vms,
	           fmt_bytes(s->private_frames * PAGE_SIZE).s,
	           fmt_bytes(s->shared_frames * PAGE_SIZE).s,
	           fmt_bytes(s->retained_frames * PAGE_SIZE).s,
	           fmt_bytes(s->table_frames * PAGE_SIZE).s);
}

/* Returns the sum over all of them. */
static struct usage_sum show_families(struct cmd *c)
{
	struct usage_sum all = count.others.sum;
	u32 n_vms = count.others.n_vms;

	cmd_printf(c, "%-24s %6s  %8s  %8s  %8s  %8s\n", "FAMILY", "VMS", "PRIVATE", "SHARED",
	           "RETAINED", "TABLES");
	json_array(c->json, "families");
	for (u32 i = 0; i < count.n_families; i++) {
		const struct family *f = &count.family[i];

		show_family(c, f->name, f->n_vms, &f->sum);
		add_up(&all, &f->sum);
		n_vms += f->n_vms;
	}
	if (guest_frames(&count.others.sum) + count.others.sum.table_frames > 0)
		show_family(c, "(others)", count.others.n_vms, &count.others.sum);
	if (guest_frames(&count.dying) + count.dying.table_frames > 0)
		show_family(c, "(being freed)", 0, &count.dying);
	add_up(&all, &count.dying);
	show_family(c, "(all)", n_vms, &all);
	json_end_array(c->json);
	return all;
}

/* Killed, and its clones still stand on it. */
static bool show_retained(struct vm *vm, void *arg)
{
	struct cmd *c = arg;
	u32 n_clones = atomic_load(&vm->refs) - 1; /* this visit's own reference */
	struct space_usage u;

	if (n_clones == 0)
		return true;
	space_usage_next(&vm->space, &u);
	json_object(c->json, NULL);
	json_string(c->json, "name", vm->name);
	figure_frames(c->json, "bytes", u.private_frames + u.shared_frames);
	json_u64(c->json, "clones", n_clones);
	json_end_object(c->json);
	cmd_printf(c, "%s (killed): %s retained for %u clone%s\n", vm->name,
	           fmt_bytes((u.private_frames + u.shared_frames) * PAGE_SIZE).s, n_clones,
	           n_clones == 1 ? "" : "s");
	return true;
}

static void show_both(struct cmd *c, const char *what, u64 walked, u64 in_table)
{
	json_object(c->json, NULL);
	json_string(c->json, "name", what);
	json_u64(c->json, "counted", walked);
	json_u64(c->json, "recorded", in_table);
	json_end_object(c->json);
	cmd_printf(c, "  %-13s %10lu  %10lu%s\n", what, walked, in_table,
	           walked == in_table ? "" : "  DIFFERENT");
}

/* `all`: by the walk over the spaces. */
static enum err show_balance(struct cmd *c, const struct usage_sum *all)
{
	const u64 *n = count.class;
	u64 n_guest = n[FRAME_COUNTED] + n[FRAME_BLOCK], in_table = 0;
	u64 walked = guest_frames(all) + all->table_frames + count.n_records + 1 + count.n_free;

	for (u32 i = 0; i < FRAME_N_CLASSES; i++)
		if (i != FRAME_OWN)
			in_table += n[i];
	cmd_printf(c, "  %-13s %10s  %10s\n", "", "counted", "recorded");
	json_array(c->json, "balance");
	show_both(c, "guest memory", guest_frames(all), n_guest);
	show_both(c, "tables", all->table_frames, n[FRAME_TABLE]);
	show_both(c, "records", count.n_records, n[FRAME_POOL]);
	show_both(c, "zero frame", 1, n[FRAME_ZERO]);
	show_both(c, "free", count.n_free, n[FRAME_FREE]);
	show_both(c, "sum", walked, in_table);
	json_end_array(c->json);
	cmd_printf(c, "counted in %s, while all VMs stood still\n", fmt_ticks(count.ticks).s);
	if (guest_frames(all) != n_guest || all->table_frames != n[FRAME_TABLE] ||
	    count.n_records != n[FRAME_POOL] || count.n_free != n[FRAME_FREE] ||
	    walked != in_table || walked != frame_n_total())
		return cmd_fail(c, ERR_STATE, "mem: the sums differ, of %lu frames in all",
		                frame_n_total());
	return ERR_OK;
}

/* ---- one VM ---- */

void mem_show_usage(struct cmd *c, struct vm *vm)
{
	struct space_usage u;

	space_usage_next(&vm->space, &u);
	json_object(c->json, "memory");
	figure_usage(c->json, &u);
	json_u64(c->json, "ram", vm->ram.len);
	json_end_object(c->json);
	cmd_printf(
		c,
		"  memory: %s private, %s shared, %s merged, %lu zero pages, %s retained, %s of tables; "
		"RAM %s\n",
		fmt_bytes(u.private_frames * PAGE_SIZE).s, fmt_bytes(u.shared_frames * PAGE_SIZE).s,
		fmt_bytes(u.merged_frames * PAGE_SIZE).s, u.zero_pages,
		fmt_bytes(u.retained_frames * PAGE_SIZE).s, fmt_bytes(u.table_frames * PAGE_SIZE).s,
		fmt_bytes(vm->ram.len).s);
}

/* A record is a frame, with the first vCPU in it. */
static void show_fixed(struct cmd *c, const struct vm *vm)
{
	u64 vcpus = (vm->n_vcpus - 1) * sizeof(struct vcpu);
	u64 ring = vm->console.ring ? VM_CONSOLE_RING_LEN : 0;

	json_u64(c->json, "fixed", PAGE_SIZE + vcpus + ring);
	cmd_printf(c, "  fixed: %s; record %s, of which vCPU 0 %s, devices %s",
	           fmt_bytes(PAGE_SIZE + vcpus + ring).s, fmt_bytes(PAGE_SIZE).s,
	           fmt_bytes(sizeof(struct vcpu)).s, fmt_bytes(device_state_len()).s);
	if (vcpus)
		cmd_printf(c, "; more vCPUs %s", fmt_bytes(vcpus).s);
	if (ring)
		cmd_printf(c, "; console %s", fmt_bytes(ring).s);
	cmd_printf(c, "\n");
}

struct clones {
	const struct vm *template;
	u64 n, private_frames, table_frames;
};

static bool add_clone(struct vm *vm, void *arg)
{
	struct clones *sum = arg;
	struct space_usage u;

	if (vm->template != sum->template)
		return true;
	space_usage_next(&vm->space, &u);
	sum->n++;
	sum->private_frames += u.private_frames;
	sum->table_frames += u.table_frames;
	return true;
}

static void show_clones(struct cmd *c, const struct vm *vm)
{
	struct clones sum = { .template = vm };

	vm_for_each(add_clone, &sum);
	json_object(c->json, "clones");
	json_u64(c->json, "n", sum.n);
	figure_frames(c->json, "private", sum.private_frames);
	figure_frames(c->json, "tables", sum.table_frames);
	json_end_object(c->json);
	if (sum.n)
		cmd_printf(c, "  %lu clone%s: %s private, %s of tables\n", sum.n,
		           sum.n == 1 ? "" : "s", fmt_bytes(sum.private_frames * PAGE_SIZE).s,
		           fmt_bytes(sum.table_frames * PAGE_SIZE).s);
}

static enum err show_vm(struct cmd *c, struct vm *vm)
{
	cmd_printf(c, "%s:\n", vm->name);
	usage_round();
	mem_show_usage(c, vm);
	show_fixed(c, vm);
	show_clones(c, vm);
	return ERR_OK;
}

enum err mem_run(struct cmd *c)
{
	struct usage_sum all;

	if (c->n_args == 1)
		return cmd_on_vm(c, show_vm);
	count_everything(c);
	mem_show_frames(c, count.class);
	all = show_families(c);
	usage_round();
	json_array(c->json, "retained");
	vm_for_each_retained(show_retained, c);
	json_end_array(c->json);
	return show_balance(c, &all);
}
