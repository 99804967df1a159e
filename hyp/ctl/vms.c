/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lists of VMs and of vCPUs.
 */
#include <string.h>
#include "ctl/figure.h"
#include "ctl/fmt.h"
#include "ctl/names.h"
#include "ctl/vms.h"
#include "mm/usage.h"
#include "vm/account.h"

#define N_STATES (VM_DYING + 1)

struct listing {
	struct cmd *c;
	const char *name; /* only this one, and what descends from it; NULL: all */
	bool is_summary;
	u32 n, in_state[N_STATES];
	u64 private_frames, table_frames;
};

/* "linux" stands for itself, for linux.3 and for linux.3.1; "#5" for one VM. */
static bool is_wanted(const struct listing *l, const struct vm *vm)
{
	size_t len = l->name ? strlen(l->name) : 0;
	u64 id;

	if (!l->name)
		return true;
	if (l->name[0] == '#')
		return cmd_number(l->name + 1, UINT32_MAX, &id) && id == vm->id;
	return strncmp(vm->name, l->name, len) == 0 && (vm->name[len] == 0 || vm->name[len] == '.');
}

static void show_header(struct cmd *c)
{
	cmd_printf(c, "%-24s %-6s %-9s %5s  %8s  %8s  %8s  %8s  %s\n", "NAME", "ID", "STATE",
	           "VCPUS", "RAM", "PRIVATE", "SHARED", "MERGED", "TEMPLATE");
}

static void put_one(struct json *j, const struct vm *vm, u32 state, const struct space_usage *u)
{
	json_object(j, NULL);
	json_string(j, "name", vm->name);
	json_u64(j, "id", vm->id);
	json_string(j, "state", name_of_state(state));
	json_u64(j, "vcpus", vm->n_vcpus);
	json_u64(j, "ram", vm->ram.len);
	figure_usage(j, u);
	json_string(j, "template", vm->template ? vm->template->name : NULL);
	json_end_object(j);
}

static bool list_one(struct vm *vm, void *arg)
{
	struct listing *l = arg;
	u32 state = atomic_load(&vm->state);
	struct space_usage u;

	if (!is_wanted(l, vm))
		return true;
	space_usage_next(&vm->space, &u);
	l->in_state[state < N_STATES ? state : VM_DYING]++;
	l->private_frames += u.private_frames;
	l->table_frames += u.table_frames;
	l->n++;
	if (l->is_summary)
		return true;
	put_one(l->c->json, vm, state, &u);
	cmd_printf(
		l->c, "%-24s #%-5u %-9s %5u  %8s  %8s  %8s  %8s  %s\n", vm->name, vm->id,
		name_of_state(state), vm->n_vcpus, fmt_bytes(vm->ram.len).s,
		fmt_bytes(u.private_frames * PAGE_SIZE).s, fmt_bytes(u.shared_frames * PAGE_SIZE).s,
		fmt_bytes(u.merged_frames * PAGE_SIZE).s, vm->template ? vm->template->name : "-");
	return true;
}

static void put_summary(struct json *j, const struct listing *l)
{
	json_object(j, "summary");
	json_u64(j, "n", l->n);
	for (u32 i = 0; i < N_STATES; i++)
		json_u64(j, name_of_state(i), l->in_state[i]);
	figure_frames(j, "private", l->private_frames);
	figure_frames(j, "tables", l->table_frames);
	json_end_object(j);
}

static void show_summary(const struct listing *l)
{
	const char *before = ":";

	put_summary(l->c->json, l);
	cmd_printf(l->c, "%u VM%s", l->n, l->n == 1 ? "" : "s");
	for (u32 i = 0; i < N_STATES; i++) {
		if (l->in_state[i] == 0)
			continue;
		cmd_printf(l->c, "%s %u %s", before, l->in_state[i], name_of_state(i));
		before = ",";
	}
	if (l->n)
		cmd_printf(l->c, "; %s private, %s of tables",
		           fmt_bytes(l->private_frames * PAGE_SIZE).s,
		           fmt_bytes(l->table_frames * PAGE_SIZE).s);
	cmd_printf(l->c, "\n");
}

enum err vms_run(struct cmd *c)
{
	struct listing l = { .c = c, .is_summary = cmd_take_flag(c, "-s") };

	if (c->n_args > 1)
		return cmd_fail(c, ERR_INVAL, "usage: vms [NAME] [-s]");
	if (c->n_args == 1)
		l.name = c->arg[0];
	if (!l.is_summary)
		show_header(c);
	usage_round();
	json_array(c->json, "vms");
	vm_for_each(list_one, &l);
	json_end_array(c->json);
	if (l.name && l.n == 0)
		return cmd_fail(c, ERR_ABSENT, "no VM \"%.40s\"; try vms", l.name);
	show_summary(&l);
	return ERR_OK;
}

static void put_vcpu(struct json *j, struct vcpu *v)
{
	struct vcpu_time t = account_vcpu(v);

	json_object(j, NULL);
	json_string(j, "vm", v->vm->name);
	json_u64(j, "vcpu", v->id);
	json_string(j, "state", name_of_sched(atomic_load(&v->state)));
	json_u64(j, "hart", atomic_load(&v->home));
	json_string(j, "hsm", name_of_hsm(atomic_load(&v->hsm)));
	json_string(j, "held", name_of_holds(atomic_load(&v->holds)));
	json_u64(j, "exits", account_exits(v));
	json_u64(j, "guest_ns", time_ticks_to_ns(t.guest));
	json_u64(j, "hypervisor_ns", time_ticks_to_ns(t.hypervisor));
	json_end_object(j);
}

static bool list_vcpus(struct vm *vm, void *arg)
{
	struct cmd *c = arg;

	for (u32 i = 0; i < vm->n_vcpus; i++) {
		struct vcpu *v = vm->vcpu[i];
		struct vcpu_time t = account_vcpu(v);

		put_vcpu(c->json, v);
		cmd_printf(c, "%-24s %4u  %-8s %4u  %-13s %-10s %10lu  %9s  %9s\n", vm->name, i,
		           name_of_sched(atomic_load(&v->state)), atomic_load(&v->home),
		           name_of_hsm(atomic_load(&v->hsm)), name_of_holds(atomic_load(&v->holds)),
		           account_exits(v), fmt_ticks(t.guest).s, fmt_ticks(t.hypervisor).s);
	}
	return true;
}

enum err vcpus_run(struct cmd *c)
{
	struct vm *vm = NULL;
	enum err e = c->n_args == 1 ? cmd_take_vm(c, c->arg[0], &vm) : ERR_OK;

	if (e != ERR_OK)
		return e;
	cmd_printf(c, "%-24s %4s  %-8s %4s  %-13s %-10s %10s  %9s  %9s\n", "VM", "VCPU", "STATE",
	           "HART", "HSM", "HELD", "EXITS", "IN GUEST", "IN HYP");
	json_array(c->json, "vcpus");
	if (vm) {
		list_vcpus(vm, c);
		vm_put(vm);
	} else {
		vm_for_each(list_vcpus, c);
	}
	json_end_array(c->json);
	return ERR_OK;
}
