/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fields of a template's file, but for its memory: what kind of machine it ran on,
 * what kind of VM it is, and the state of vCPUs and devices.
 *
 * A vCPU is saved as its guest could see it.  What Pando adds is put back as for any
 * vCPU: the rest of hstatus, what is in hvip beyond the guest's own, holds and requests.
 * Pending interrupts are in one place in the file, whether they were on their way (`raise`) or had
 * arrived; the external one is the PLIC's to say.
 */
#include <string.h>
#include "arch/csr_bits.h"
#include "drv/rtc.h"
#include "vm/device.h"
#include "vm/snapshot_format.h"

#define ANY UINT64_MAX

/* What a guest may have in its own registers.  UBE: bit 6. */
#define VSSTATUS_GUEST                                                                 \
	(SSTATUS_SIE | SSTATUS_SPIE | BIT(6) | SSTATUS_SPP | SSTATUS_VS | SSTATUS_FS | \
	 SSTATUS_SUM | SSTATUS_MXR)
#define VSIE_GUEST       (BIT(IRQ_S_SOFT) | BIT(IRQ_S_TIMER) | BIT(IRQ_S_EXT))
#define HVIP_GUEST       (HVIP_VSSIP | HVIP_VSTIP)
#define SENVCFG_GUEST    (HENVCFG_FIOM | HENVCFG_CBIE_INVAL | HENVCFG_CBCFE | HENVCFG_CBZE)
#define SCOUNTEREN_GUEST UINT32_MAX
#define FCSR_GUEST       0xffUL
#define VCSR_GUEST       7UL
#define VTYPE_GUEST      (VTYPE_VILL | 0xffUL)
#define VSATP_MODE_SHIFT 60
#define VSATP_MODES      (BIT(0) | BIT(8) | BIT(9) | BIT(10)) /* Bare, Sv39, Sv48, Sv57 */

#define DEVICE_NAME_LEN 16U

/* Earlier versions offered it to guests. */
static const bool has_svpbmt = false;

/* In the order of their bits in the file: what a guest's device tree may have promised. */
static const struct {
	const bool *has;
	const char *missing;
} features[] = {
	{ &machine.has_fp, "no F and D here" },      { &machine.has_vector, "no V here" },
	{ &machine.has_sstc, "no sstc here" },       { &has_svpbmt, "no svpbmt here" },
	{ &machine.has_svinval, "no svinval here" }, { &machine.has_zicbom, "no zicbom here" },
	{ &machine.has_zicboz, "no zicboz here" },   { &machine.has_zba, "no zba here" },
	{ &machine.has_zbb, "no zbb here" },         { &machine.has_zbs, "no zbs here" },
};

/* A number that is the same here, if it matters. */
static void same(struct fields *f, const char *otherwise, u64 here, bool matters)
{
	u64 there = here;

	fields_u64(f, &there, ANY);
	fields_check(f, otherwise, !matters || there == here);
}

void snapshot_machine(struct fields *f)
{
	u64 used = 0;

	for (u32 i = 0; i < ARRAY_LEN(features); i++)
		used |= (u64)*features[i].has << i;
	fields_u64(f, &used, ANY);
	for (u32 i = 0; i < ARRAY_LEN(features); i++)
		fields_check(f, features[i].missing, (used >> i & 1) == 0 || *features[i].has);
	fields_check(f, "an extension that nobody knows", used >> ARRAY_LEN(features) == 0);
	same(f, "another timebase", machine.timebase_hz, true);
	same(f, "vector registers of another length", machine.vlenb, (used & 2) != 0);
	same(f, "cache blocks of another size", machine.cbom_block_len, (used & BIT(5)) != 0);
	same(f, "cache blocks of another size", machine.cboz_block_len, (used & BIT(6)) != 0);
}

/* ---- configuration ---- */

void snapshot_config(struct fields *f, struct snapshot_config *c)
{
	fields_u64(f, &c->ram_len, ANY);
	fields_check(f, "memory", vm_is_ram_len(c->ram_len));
	fields_u32(f, "vcpus", &c->n_vcpus, VM_MAX_VCPUS);
	fields_check(f, "vcpus", c->n_vcpus != 0);
	fields_u8(f, "policy time", &c->policy.time, TIME_JUMP);
	fields_u8(f, "policy memory", &c->policy.memory, MEMORY_RESERVE);
	fields_u8(f, "policy nomem", &c->policy.nomem, NOMEM_KILL);
	fields_u8(f, "policy dedup", &c->policy.dedup, DEDUP_WITH_DOMAIN);
	fields_u8(f, "policy secure", &c->policy.secure, SECURE_ON);
	_Static_assert(sizeof(c->policy) == 6, "a policy that is not in the file");
	fields_bytes(f, c->domain, sizeof(c->domain));
	fields_check(f, "domain", c->domain[sizeof(c->domain) - 1] == 0);
	fields_u64(f, &c->frozen_time, ANY);
	fields_u64(f, &c->time, ANY);
	fields_u64(f, &c->wall_s, ANY);
	fields_u32(f, "clock", &c->wall_ns, 999999999);
	fields_u32(f, "generation", &c->generation, UINT32_MAX);
	fields_bool(f, "compact", &c->is_compact);
}

void snapshot_config_of(struct snapshot_config *c, const struct vm *vm)
{
	struct wall_time wall = rtc_now();

	*c = (struct snapshot_config){
		.ram_len = vm->ram.len,
		.n_vcpus = vm->n_vcpus,
		.policy = vm->policy,
		.frozen_time = vm->frozen_time,
		.time = time_now() + vm->time_delta,
		.wall_s = wall.s,
		.wall_ns = wall.ns,
		.generation = vm->generation,
		.is_compact = vm->is_compact,
	};
	if (vm->policy.dedup == DEDUP_WITH_DOMAIN)
		strcpy(c->domain, dedup_domain_name(vm->policy.domain));
}

/* Ticks from then until now by people's clock; 0 if one of the two machines has none. */
static u64 ticks_away(const struct snapshot_config *c)
{
	struct wall_time now = rtc_now();
	u64 hz = machine.timebase_hz;
	s64 ns = (s64)now.ns - (s64)c->wall_ns;
	s64 ticks = (s64)((now.s - c->wall_s) * hz) + ns * (s64)(hz / 1000) / 1000000;

	return now.s != 0 && c->wall_s != 0 && ticks > 0 ? (u64)ticks : 0;
}

struct vm *snapshot_config_build(const struct snapshot_config *c)
{
	struct vm *vm = vm_alloc(c->n_vcpus);

	if (vm == NULL)
		return NULL;
	if (vm_back(vm, c->ram_len) != ERR_OK) {
		vm_free(vm);
		return NULL;
	}
	vm->stats.created = time_now();
	vm->policy = c->policy;
	vm->generation = c->generation;
	vm->is_compact = c->is_compact;
	vm->frozen_time = c->frozen_time;
	vm->time_delta = c->time + ticks_away(c) - time_now();
	for (u32 i = 0; i < vm->n_vcpus; i++)
		vcpu_start_at(vm->vcpu[i], 0, 0);
	device_init(vm);
	return vm;
}

/* ---- vCPUs ---- */

static void reg_fields(struct fields *f, struct guest_regs *r)
{
	bool is_vs_mode = (r->sstatus & SSTATUS_SPP) != 0;

	for (u32 i = 1; i < 32; i++)
		fields_u64(f, &r->x[i], ANY);
	fields_u64(f, &r->sepc, ~1UL);
	fields_bool(f, "mode", &is_vs_mode);
	if (f->is_reading && !is_vs_mode) {
		r->sstatus &= ~SSTATUS_SPP;
		r->hstatus &= ~HSTATUS_SPVP;
	}
}

static void csr_fields(struct fields *f, struct guest_csrs *c)
{
	fields_u64(f, &c->vsstatus, VSSTATUS_GUEST);
	fields_u64(f, &c->vsie, VSIE_GUEST);
	fields_u64(f, &c->vstvec, ~2UL);
	fields_u64(f, &c->vsscratch, ANY);
	fields_u64(f, &c->vsepc, ~1UL);
	fields_u64(f, &c->vscause, ANY);
	fields_u64(f, &c->vstval, ANY);
	fields_u64(f, &c->vsatp, ANY);
	fields_check(f, "vsatp", (VSATP_MODES >> (c->vsatp >> VSATP_MODE_SHIFT) & 1) != 0);
	fields_u64(f, &c->scounteren, SCOUNTEREN_GUEST);
	fields_u64(f, &c->senvcfg, SENVCFG_GUEST);
	if (f->is_reading)
		c->vsstatus |= SSTATUS_UXL_64;
}

/* A guest that programs its timer by SBI may go on where there is Sstc: what is due is so by its deadline then. */
static void timer_fields(struct fields *f, struct vcpu *v)
{
	u64 deadline = machine.has_sstc ? v->csrs.vstimecmp : v->soft_deadline;
	u64 pending = (v->csrs.hvip | atomic_load(&v->raise)) & HVIP_GUEST;

	fields_u64(f, &pending, HVIP_GUEST);
	fields_u64(f, &deadline, ANY);
	if (!f->is_reading)
		return;
	if (machine.has_sstc && (pending & HVIP_VSTIP) != 0) {
		pending &= ~HVIP_VSTIP;
		deadline = 0;
	}
	v->csrs.hvip = pending;
	v->csrs.vstimecmp = v->soft_deadline = deadline;
}

/* Registers that the file's machine did not have are as at birth. */
static void vector_fields(struct fields *f, struct guest_vector *vector)
{
	u32 vlenb = vector->v != NULL ? machine.vlenb : 0;
	u32 here = vlenb;

	fields_u32(f, "vlenb", &vlenb, here);
	fields_check(f, "vlenb", vlenb == 0 || vlenb == here);
	if (vlenb == 0 || f->bad != NULL)
		return;
	fields_u64(f, &vector->vstart, 8UL * vlenb - 1);
	fields_u64(f, &vector->vcsr, VCSR_GUEST);
	fields_u64(f, &vector->vl, ANY);
	fields_check(f, "vl", vector->vl <= 8UL * vlenb);
	fields_u64(f, &vector->vtype, VTYPE_GUEST);
	fields_bytes(f, vector->v, 32 * vlenb);
}

static void state_fields(struct fields *f, struct vcpu *v)
{
	bool waits_for_work = (atomic_load(&v->holds) & HOLD_WORK) != 0;
	u32 hsm = atomic_load(&v->hsm), holds = HOLD_PAUSED;

	fields_u32(f, "hsm", &hsm, HSM_SUSPENDED);
	fields_check(f, "hsm", hsm != HSM_START_PENDING && hsm != HSM_STOP_PENDING);
	fields_bool(f, "waits for work", &waits_for_work);
	fields_bool(f, "wfi", &v->in_wfi);
	if (!f->is_reading)
		return;
	holds |= hsm == HSM_STOPPED ? HOLD_STOPPED : 0;
	holds |= waits_for_work ? HOLD_WORK : 0;
	atomic_store(&v->hsm, hsm);
	atomic_store(&v->holds, holds);
	/* Neither stale translations nor old code: its first hart flushes both anyway. */
	atomic_store(&v->requests, 0);
}

void snapshot_vcpu(struct fields *f, struct vcpu *v)
{
	struct guest_fp *fp = &v->units.fp;

	reg_fields(f, &v->regs);
	csr_fields(f, &v->csrs);
	timer_fields(f, v);
	for (u32 i = 0; i < 32; i++)
		fields_u64(f, &fp->f[i], ANY);
	fields_u64(f, &fp->fcsr, FCSR_GUEST);
	vector_fields(f, &v->units.vector);
	state_fields(f, v);
}

/* ---- devices ---- */

void snapshot_device(struct fields *f, struct vm *vm, u32 type_index)
{
	const struct device_type *t = device_ops->types[type_index];
	char here[DEVICE_NAME_LEN] = { 0 }, name[DEVICE_NAME_LEN];

	strncpy(here, t->name, sizeof(here) - 1);
	memcpy(name, here, sizeof(name));
	fields_bytes(f, name, sizeof(name));
	fields_check(f, "name", memcmp(name, here, sizeof(name)) == 0);
	lock_acquire(&vm->dev_lock);
	t->fields(vm, device_state(vm, type_index), f);
	lock_release(&vm->dev_lock);
}

void snapshot_settle(struct vm *vm)
{
	lock_acquire(&vm->dev_lock);
	for (u32 i = 0; i < vm->n_vcpus; i++)
		if (device_ops->ext_pending(vm, i))
			vm->vcpu[i]->csrs.hvip |= HVIP_VSEIP;
	lock_release(&vm->dev_lock);
}
