/* SPDX-License-Identifier: BSD-2-Clause */
#include "snapshot_unit.h"
#include "arch/csr_bits.h"
#include "dev/dev.h"
#include "dev/plic.h"
#include "dev/uart.h"
#include "vm/vector.h"

#define PLIC_GPA 0x0c000000UL
#define UART_GPA 0x10000000UL

void snapshot_machine_with(u32 vlenb)
{
	fake_boot(1);
	machine.has_vector = vlenb != 0;
	machine.vlenb = vlenb;
	if (vlenb != 0)
		vector_init();
}

/* ---- random states ---- */

static void fill(void *words, u32 len)
{
	for (u32 i = 0; i < len; i += 8) {
		u64 word = fake_random();

		memcpy((u8 *)words + i, &word, 8);
	}
}

static void random_vcpu(struct vcpu *v)
{
	struct guest_vector *vector = &v->units.vector;

	fill(&v->regs.x[1], 31 * 8);
	v->regs.sepc = fake_random() & ~1UL;
	if (fake_random() % 2 != 0) {
		v->regs.sstatus &= ~SSTATUS_SPP;
		v->regs.hstatus &= ~HSTATUS_SPVP;
	}
	fill(&v->csrs, sizeof(v->csrs));
	v->csrs.vsstatus &= SSTATUS_SIE | SSTATUS_SPIE | SSTATUS_SPP | SSTATUS_FS | SSTATUS_SUM;
	v->csrs.vsstatus |= SSTATUS_UXL_64;
	v->csrs.vsie &= 0x222;
	v->csrs.vsatp = fake_random() % 2 != 0 ? 0 : 8UL << 60 | (u32)fake_random();
	v->csrs.vstvec &= ~2UL;
	v->csrs.vsepc &= ~1UL;
	v->csrs.hvip &= HVIP_VSSIP;
	v->csrs.scounteren &= 7;
	v->csrs.senvcfg &= 0xf1;
	v->soft_deadline = v->csrs.vstimecmp;
	fill(&v->units.fp, sizeof(v->units.fp));
	v->units.fp.fcsr &= 0xff;
	if (vector->v != NULL) {
		fill(vector->v, (u32)GUEST_VECTOR_LEN);
		vector->vl = fake_random() % machine.vlenb;
		vector->vtype = fake_random() & 0xff;
		vector->vcsr = fake_random() & 7;
		vector->vstart = fake_random() % machine.vlenb;
	}
	if (fake_random() % 3 == 0)
		atomic_store(&v->raise, HVIP_VSSIP);
	v->in_wfi = fake_random() % 2 != 0;
	if (fake_random() % 3 == 0) {
		atomic_store(&v->hsm, HSM_SUSPENDED);
		atomic_fetch_and(&v->holds, ~(u32)HOLD_STOPPED);
	} else if (v->id != 0 && fake_random() % 2 != 0) {
		atomic_store(&v->hsm, HSM_STARTED);
		atomic_fetch_and(&v->holds, ~(u32)HOLD_STOPPED);
	}
	if (fake_random() % 3 == 0)
		atomic_fetch_or(&v->holds, HOLD_WORK | HOLD_READY);
}

/* What a guest could have made of them, by their registers. */
static void random_devices(struct vm *vm)
{
	for (u32 i = 0; i < 400; i++) {
		static const u64 plic[] = { 0, 0x1000, 0x2080, 0x2180, 0x201000, 0x203000 };
		struct vcpu *v = vm->vcpu[fake_random() % vm->n_vcpus];
		u64 value = fake_random(), gpa = UART_GPA + fake_random() % 8;
		u32 len = 1;

		if (i % 2 != 0) {
			gpa = PLIC_GPA + plic[fake_random() % ARRAY_LEN(plic)] +
			      fake_random() % 100 * 4;
			len = 4;
			value = fake_random() % 3 != 0 ? (u32)value : value % 96;
		}
		(void)device_access(v, GPA(gpa), len, fake_random() % 3 != 0, &value);
	}
	for (u32 i = 0; i < fake_random() % 20; i++)
		(void)device_ops->console_input(vm, (char)fake_random());
}

static void random_memory(struct vm *vm, u32 n_pages)
{
	u64 len = vm->ram.len + vm->window.len;

	store(vm, RAM + BLOCK_SIZE, 1); /* always: a second slot */
	for (u32 i = 0; i < n_pages; i++) {
		u64 gpa = ALIGN_DOWN(vm->ram.base.v + fake_random() % len, PAGE_SIZE);
		u64 word = fake_random() % 4 != 0 ? fake_random() : 0;

		if (fake_random() % 4 == 0)
			(void)!space_fault(&vm->space, GPA(gpa), ACCESS_READ);
		else
			assert_int_equal(copy_to_guest(&vm->space,
			                               GPA(gpa + fake_random() % 512 * 8), &word,
			                               sizeof(word)),
			                 ERR_OK);
	}
}

struct vm *snapshot_random_template(u32 n_vcpus, u32 n_pages)
{
	struct vm *vm = fake_vm_run("t", n_vcpus);

	fake_time += fake_random() % 100000;
	vm_pause(vm);
	random_devices(vm);
	for (u32 i = 0; i < n_vcpus; i++)
		random_vcpu(vm->vcpu[i]);
	random_memory(vm, n_pages);
	vm->policy.time = fake_random() % 2;
	vm->policy.nomem = fake_random() % 2;
	vm->policy.dedup = fake_random() % 4;
	vm->policy.secure = fake_random() % 2;
	vm->generation = (u32)(fake_random() % 1000);
	if (vm->policy.dedup == DEDUP_WITH_DOMAIN)
		assert_int_equal(dedup_domain("a-domain", &vm->policy.domain), ERR_OK);
	assert_int_equal(vm_freeze(vm), ERR_OK);
	return vm;
}

/* ---- files ---- */

struct file snapshot_file_of(struct vm *vm)
{
	struct snapshot_save *s;
	struct file f;
	u64 at = 0;

	assert_int_equal(snapshot_save_begin(vm, &s), ERR_OK);
	while (snapshot_save_count(s))
		continue;
	f = (struct file){ malloc(snapshot_save_len(s)), snapshot_save_len(s) };
	while (at < f.len) {
		u32 n = (u32)u64_min(1 + fake_random() % 9000, f.len - at);

		assert_int_equal(snapshot_save_pull(s, f.bytes + at, n), n);
		at += n;
	}
	assert_int_equal(snapshot_save_pull(s, (u8 *)&at, 1), 0);
	snapshot_save_end(s);
	return f;
}

enum err snapshot_load_file(const char *name, struct file f, struct vm **vm, char *why)
{
	const char *refused = "";
	struct snapshot_load *l;
	enum err e = snapshot_load_begin(name, f.len, &l, &refused);

	strcpy(why, refused);
	if (e != ERR_OK)
		return e;
	for (u64 at = 0; at < f.len && e == ERR_OK;) {
		u32 n = fake_random() % 3 == 0 ? snapshot_load_due(l)
		                               : (u32)(1 + fake_random() % 9000);

		n = (u32)u64_min(n, f.len - at);
		e = snapshot_load_feed(l, f.bytes + at, n);
		at += n;
	}
	if (e == ERR_OK)
		e = snapshot_load_finish(l, vm);
	else
		assert_int_equal(snapshot_load_finish(l, vm), e);
	strcpy(why, snapshot_load_why(l));
	snapshot_load_end(l);
	return e;
}

/* A template of few pages, one of them in a block. */
struct file snapshot_small_file(void)
{
	struct vm *t;

	snapshot_machine_with(16);
	t = snapshot_random_template(2, 3);
	return snapshot_file_of(t);
}

/* Nothing is listed, nothing is missing. */
void snapshot_nothing_left(u64 before, u32 n_vms)
{
	assert_int_equal(vm_count(), n_vms);
	assert_int_equal(free_frames(), before);
}

/* The section that begins at `at`: false: the file is too short for it. */
static bool section_at(struct file f, u64 at, struct snapshot_head *head)
{
	if (!range_holds(0, f.len, at, sizeof(*head)))
		return false;
	memcpy(head, f.bytes + at, sizeof(*head));
	return IS_ALIGNED(head->body_len, 8) && head->body_len < f.len &&
	       range_holds(0, f.len, at, sizeof(*head) + head->body_len + SNAPSHOT_HASH_LEN);
}

u64 snapshot_body_at(struct file f, enum snapshot_kind kind, u32 number)
{
	struct snapshot_head head;
	u64 at = sizeof(struct snapshot_header);

	while (section_at(f, at, &head)) {
		if (head.kind == (u32)kind && head.number == number)
			return at + sizeof(head);
		at += sizeof(head) + head.body_len + SNAPSHOT_HASH_LEN;
	}
	return 0;
}

void snapshot_mend(struct file f)
{
	u64 at = sizeof(struct snapshot_header), sum = HASH_START, hash;
	struct snapshot_header *h = (void *)f.bytes;
	struct snapshot_head head;

	h->hash = hash_words(HASH_START, h, offsetof(struct snapshot_header, hash));
	while (section_at(f, at, &head)) {
		u64 len = sizeof(head) + head.body_len;

		if (head.kind == SNAPSHOT_LAST && head.body_len == sizeof(struct snapshot_last))
			memcpy(f.bytes + at + sizeof(head) + 8, &sum, sizeof(sum));
		hash = hash_words(HASH_START, f.bytes + at, len);
		memcpy(f.bytes + at + len, &hash, sizeof(hash));
		sum = hash_words(sum, &hash, sizeof(hash));
		at += len + SNAPSHOT_HASH_LEN;
	}
}

/* ---- the same? ---- */

static void compare_vcpus(struct vcpu *a, struct vcpu *b)
{
	u32 holds = HOLD_STOPPED | HOLD_WORK;
	u64 vsip_a = (a->csrs.hvip | a->raise) & HVIP_VSSIP;
	u64 vsip_b = (b->csrs.hvip | b->raise) & HVIP_VSSIP;

	assert_memory_equal(&a->regs.x[1], &b->regs.x[1], 31 * 8);
	assert_int_equal(a->regs.sepc, b->regs.sepc);
	assert_int_equal(a->regs.sstatus & SSTATUS_SPP, b->regs.sstatus & SSTATUS_SPP);
	assert_int_equal(a->regs.hstatus, b->regs.hstatus);
	assert_memory_equal(&a->csrs, &b->csrs, offsetof(struct guest_csrs, hvip));
	assert_int_equal(a->csrs.vstimecmp, b->csrs.vstimecmp);
	assert_int_equal(a->csrs.scounteren, b->csrs.scounteren);
	assert_int_equal(a->csrs.senvcfg, b->csrs.senvcfg);
	assert_int_equal(vsip_a, vsip_b);
	assert_memory_equal(&a->units.fp, &b->units.fp, sizeof(a->units.fp));
	if (a->units.vector.v != NULL) {
		assert_memory_equal(a->units.vector.v, b->units.vector.v, GUEST_VECTOR_LEN);
		assert_memory_equal(&a->units.vector, &b->units.vector,
		                    offsetof(struct guest_vector, v));
	}
	assert_int_equal(a->soft_deadline, b->soft_deadline);
	assert_int_equal(a->holds & holds, b->holds & holds);
	assert_int_equal(a->hsm, b->hsm);
	assert_int_equal(a->in_wfi, b->in_wfi);
	assert_int_equal(device_ops->ext_pending(a->vm, a->id) ? HVIP_VSEIP : 0,
	                 b->csrs.hvip & HVIP_VSEIP);
}

static void compare_devices(struct vm *a, struct vm *b)
{
	const struct uart *u = device_state(a, DEV_UART), *w = device_state(b, DEV_UART);

	assert_memory_equal(device_state(a, DEV_PLIC), device_state(b, DEV_PLIC),
	                    sizeof(struct plic));
	assert_memory_equal(u, w, offsetof(struct uart, head));
	assert_int_equal(u->n_input, w->n_input);
	for (u32 i = 0; i < u->n_input; i++)
		assert_int_equal(u->input[(u->head + i) % UART_INPUT_LEN],
		                 w->input[(w->head + i) % UART_INPUT_LEN]);
}

static void compare_memory(struct vm *a, struct vm *b)
{
	u64 end = a->window.base.v + a->window.len;
	struct slot s, t;
	gpa_t at = GPA(0);

	assert_int_equal(a->ram.len, b->ram.len);
	for (u64 gpa = a->ram.base.v; gpa < end; gpa += PAGE_SIZE) {
		u8 page[2][PAGE_SIZE];

		assert_int_equal(copy_from_guest(&a->space, page[0], GPA(gpa), PAGE_SIZE), ERR_OK);
		assert_int_equal(copy_from_guest(&b->space, page[1], GPA(gpa), PAGE_SIZE), ERR_OK);
		assert_memory_equal(page[0], page[1], PAGE_SIZE);
	}
	while (slot_next(&a->space, at, &s)) {
		assert_true(slot_next(&b->space, at, &t));
		assert_int_equal(s.gpa.v, t.gpa.v);
		assert_int_equal(s.is_block, t.is_block);
		assert_memory_equal(s.full, t.full, sizeof(s.full));
		assert_memory_equal(s.zero, t.zero, sizeof(s.zero));
		at = GPA(s.gpa.v + BLOCK_SIZE);
	}
	assert_false(slot_next(&b->space, at, &t));
}

void snapshot_compare(struct vm *a, struct vm *b)
{
	assert_int_equal(a->n_vcpus, b->n_vcpus);
	assert_memory_equal(&a->policy, &b->policy, sizeof(a->policy));
	assert_int_equal(a->frozen_time, b->frozen_time);
	assert_int_equal(b->state, VM_TEMPLATE);
	for (u32 i = 0; i < a->n_vcpus; i++)
		compare_vcpus(a->vcpu[i], b->vcpu[i]);
	compare_devices(a, b);
	compare_memory(a, b);
}
