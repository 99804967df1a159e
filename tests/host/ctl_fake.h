/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine for tests of control: a console that remembers, and a vm floor of
 * records with real spaces whose guests are the test itself.  Like dev_fake.h it
 * holds definitions and is included once by a test, before the library's own.
 */
#ifndef CTL_FAKE_H
#define CTL_FAKE_H

#include "unit.h"
#include <libfdt.h>
#include "arch/phys.h"
#include "ctl/ctl.h"
#include "ctl_fake_snapshot.h"
#include "drv/console.h"
#include "drv/machine.h"
#include "drv/power.h"
#include "fake_arch/fake.h"
#include "mm/copy.h"
#include "mm/frame.h"
#include "mm/pool.h"
#include "serial_fake.h"
#include "vm/device.h"
#include "vm/nomem.h"

#define FAKE_RAM_LEN    (4UL << 20)
#define FAKE_GUEST_RAM  0x80000000UL
#define FAKE_VMS_MAX    64U
#define FAKE_CLONES     20U
#define FAKE_BLOB_ORDER 1U

static struct {
	char screen[1 << 17];
	u32 n_screen;
	char keys[4096];
	u32 n_keys, next_key;
	void (*on_key)(void);         /* what happens while a poll looks for keys */
	struct vm *vms[FAKE_VMS_MAX]; /* listed ones */
	u32 n_vms, last_id;
	struct vm *events[1024];
	u32 n_events, next_event;
	char guest_in[4096]; /* what a guest's UART was given */
	u32 n_guest_in;
	u32 fifo_room;           /* bytes that it still takes */
	struct vm *chatty;       /* prints without end, on another hart */
	struct vm *restless;     /* stores DONE without end, on another hart */
	struct vm *stuck;        /* what nomem_victim() says next */
	enum err fail_next;      /* the next vm_create or vm_clone */
	bool takes_last_frame;   /* the next vm_create leaves no memory */
	struct vm_config booted; /* of the last vm_create */
	jmp_buf off;             /* where power_off() goes */
	int off_code;
} fc;

struct machine_info machine_info;

/* drv */

void console_write(const char *text, size_t len)
{
	assert_true(fc.n_screen + len < sizeof(fc.screen));
	memcpy(fc.screen + fc.n_screen, text, len);
	fc.n_screen += (u32)len;
	fc.screen[fc.n_screen] = 0;
}

void console_printf(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	console_write(text, strlen(text));
}

int console_getc(void)
{
	if (fc.on_key)
		fc.on_key();
	return fc.next_key < fc.n_keys ? (u8)fc.keys[fc.next_key++] : -1;
}

bool console_has_input(void)
{
	return fc.next_key < fc.n_keys;
}

_Noreturn void power_off(u32 code)
{
	fc.off_code = (int)code;
	longjmp(fc.off, 1);
}

/* vm */

static struct vm *fake_new(const char *name, u32 n_vcpus)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	assert_in_range(fc.n_vms, 0, FAKE_VMS_MAX - 1);
	snprintf(vm->name, sizeof(vm->name), "%s", name);
	vm->id = ++fc.last_id;
	atomic_store(&vm->refs, 1);
	atomic_store(&vm->state, VM_NEW);
	lock_init(&vm->lock, LOCK_VM);
	lock_init(&vm->dev_lock, LOCK_DEV);
	vm->n_vcpus = n_vcpus;
	for (u32 i = 0; i < n_vcpus; i++) {
		vm->vcpu[i] = calloc(1, sizeof(struct vcpu));
		vm->vcpu[i]->vm = vm;
		vm->vcpu[i]->id = i;
	}
	vm->ram = (struct region){ GPA(FAKE_GUEST_RAM), FAKE_RAM_LEN };
	vm->window = (struct region){ GPA(FAKE_GUEST_RAM + FAKE_RAM_LEN), BLOCK_SIZE };
	fc.vms[fc.n_vms++] = vm;
	return vm;
}

void vm_get(struct vm *vm)
{
	atomic_fetch_add(&vm->refs, 1);
}

void vm_put(struct vm *vm)
{
	if (atomic_fetch_sub(&vm->refs, 1) != 1)
		return;
	assert_int_equal(atomic_load(&vm->state), VM_DYING);
	space_fini(&vm->space);
	for (u32 i = 0; i < vm->n_vcpus; i++)
		free(vm->vcpu[i]);
	free(vm->console.ring);
	if (vm->template)
		vm_put(vm->template);
	free(vm);
}

static enum err take_failure(void)
{
	enum err e = fc.fail_next;

	fc.fail_next = ERR_OK;
	return e;
}

enum err vm_create(const struct vm_config *c, struct vm **out, const char **why)
{
	struct region regions[2];
	struct vm *vm;

	*why = "as the test wants it";
	if (fc.fail_next != ERR_OK)
		return take_failure();
	vm = fake_new(c->name, c->n_vcpus);
	vm->hold_at_ready = c->hold_at_ready;
	fc.booted = *c;
	regions[0] = vm->ram;
	regions[1] = vm->window;
	assert_int_equal(space_init(&vm->space, regions, 2), ERR_OK);
	if (fc.takes_last_frame)
		frame_fail_from(1);
	fc.takes_last_frame = false;
	*out = vm;
	return ERR_OK;
}

enum err vm_run(struct vm *vm)
{
	u32 state = atomic_load(&vm->state);

	if (state != VM_NEW && state != VM_PAUSED)
		return ERR_STATE;
	atomic_store(&vm->state, VM_RUNNING);
	return ERR_OK;
}

void vm_pause(struct vm *vm)
{
	atomic_store(&vm->state, VM_PAUSED);
}

enum err vm_freeze(struct vm *vm)
{
	if (atomic_load(&vm->state) != VM_RUNNING && atomic_load(&vm->state) != VM_PAUSED)
		return ERR_STATE;
	space_freeze(&vm->space);
	atomic_store(&vm->state, VM_TEMPLATE);
	return ERR_OK;
}

enum err vm_freeze_compact(struct vm *vm)
{
	scan_compact(&vm->space);
	return vm_freeze(vm);
}

/* vm/nomem.h: fc.stuck is the VM that has to give way. */

u64 nomem_deadline(void)
{
	return fc.stuck ? fake_time : TIME_NEVER;
}

struct vm *nomem_victim(void)
{
	struct vm *vm = fc.stuck;

	fc.stuck = NULL;
	if (vm)
		vm_get(vm);
	return vm;
}

void nomem_kill(struct vm *vm, const char *reason)
{
	vm->off_reason = reason;
	atomic_store(&vm->state, VM_OFF);
	vm_post_event(vm, VM_EV_OFF | VM_EV_KILL);
}

bool vm_console_prepare(struct vm *vm)
{
	(void)vm;
	return true;
}

enum err vm_clone(struct vm *template, struct vm **out)
{
	char name[VM_NAME_LEN + 16];

	if (fc.fail_next != ERR_OK)
		return take_failure();
	if (atomic_load(&template->state) != VM_TEMPLATE)
		return ERR_STATE;
	snprintf(name, sizeof(name), "%s.%u", template->name, ++template->n_clones_made);
	*out = fake_new(name, template->n_vcpus);
	(*out)->clone_id = template->n_clones_made;
	(*out)->template = template;
	vm_get(template);
	space_clone(&(*out)->space, &template->space);
	return ERR_OK;
}

enum err vm_fork(struct vm *parent, struct vm **out)
{
	(void)parent;
	(void)out;
	return ERR_STATE;
}

enum err vm_reset(struct vm *vm)
{
	return vm->template ? ERR_OK : ERR_STATE;
}

void vm_kill(struct vm *vm)
{
	if (atomic_exchange(&vm->state, VM_DYING) == VM_DYING)
		return;
	for (u32 i = 0; i < fc.n_vms; i++)
		if (fc.vms[i] == vm) {
			memmove(&fc.vms[i], &fc.vms[i + 1], (fc.n_vms - i - 1) * sizeof(fc.vms[0]));
			fc.n_vms--;
			break;
		}
	vm_put(vm);
}

struct time_cost vm_last_kill(void)
{
	return (struct time_cost){ 30, 3000 };
}

struct vm *vm_find(const char *name)
{
	for (u32 i = 0; i < fc.n_vms; i++)
		if (name[0] == '#' ? fc.vms[i]->id == (u32)atoi(name + 1)
		                   : strcmp(fc.vms[i]->name, name) == 0) {
			vm_get(fc.vms[i]);
			return fc.vms[i];
		}
	return NULL;
}

bool vm_is_taken(const char *name)
{
	for (u32 i = 0; i < fc.n_vms; i++)
		if (strcmp(fc.vms[i]->name, name) == 0)
			return true;
	return false;
}

u32 vm_count(void)
{
	return fc.n_vms;
}

void vm_for_each(bool (*fn)(struct vm *vm, void *arg), void *arg)
{
	struct vm *vms[FAKE_VMS_MAX];
	u32 n = fc.n_vms;
	bool go_on = true;

	memcpy(vms, fc.vms, sizeof(vms));
	for (u32 i = 0; i < n; i++)
		vm_get(vms[i]);
	for (u32 i = 0; i < n; i++) {
		go_on = go_on && fn(vms[i], arg);
		vm_put(vms[i]);
	}
}

/* Each with a reference, and once. */
void vm_for_each_retained(bool (*fn)(struct vm *vm, void *arg), void *arg)
{
	struct vm *seen[FAKE_VMS_MAX];
	u32 n = 0, k;

	for (u32 i = 0; i < fc.n_vms; i++) {
		struct vm *t = fc.vms[i]->template;

		for (k = 0; k < n && seen[k] != t; k++)
			continue;
		if (!t || k < n || atomic_load(&t->state) != VM_DYING)
			continue;
		seen[n++] = t;
		vm_get(t);
		fn(t, arg);
		vm_put(t);
	}
}

void vm_post_event(struct vm *vm, u32 events)
{
	vm_get(vm);
	atomic_fetch_or(&vm->events, events);
	fc.events[fc.n_events++] = vm;
}

struct vm *vm_take_event(u32 *events)
{
	struct vm *vm;

	if (fc.restless) {
		vm_get(fc.restless);
		*events = VM_EV_DONE;
		return fc.restless;
	}
	if (fc.next_event == fc.n_events) {
		fc.next_event = fc.n_events = 0;
		return NULL;
	}
	vm = fc.events[fc.next_event++];
	*events = atomic_exchange(&vm->events, 0);
	return vm;
}

bool vm_has_events(void)
{
	return fc.restless || fc.next_event != fc.n_events;
}

void vm_console_attach(struct vm *vm, bool on)
{
	vm->console.attached = on;
}

u32 vm_console_take(struct vm *vm, char *buf, u32 max)
{
	u32 n = (u32)u64_min(vm->console.len, max);

	if (vm == fc.chatty) {
		memset(buf, 'y', max);
		return max;
	}
	if (n == 0)
		return 0;
	memcpy(buf, vm->console.ring + vm->console.head, n);
	vm->console.head += n;
	vm->console.len -= n;
	return n;
}

u32 vm_console_copy(struct vm *vm, char *buf)
{
	u32 n = (u32)u64_min(vm->console.len, VM_CONSOLE_RING_LEN);

	memcpy(buf, vm->console.ring + vm->console.head, n);
	return n;
}

void vcpu_unhold(struct vcpu *v, u32 holds)
{
	atomic_fetch_and(&v->holds, ~holds);
}

static bool fake_input(struct vm *vm, char c)
{
	(void)vm;
	if (fc.fifo_room == 0)
		return false;
	fc.fifo_room--;
	fc.guest_in[fc.n_guest_in++] = c;
	return true;
}

static const struct device_ops fake_ops = { .console_input = fake_input };

/* Guests */

/* `vm` prints `text`. */
static __attribute__((unused)) void fake_print(struct vm *vm, const char *text)
{
	u32 n = (u32)strlen(text);

	if (!vm->console.ring)
		vm->console.ring = malloc(1 << 16);
	if (vm->console.len == 0)
		vm->console.head = 0;
	memcpy(vm->console.ring + vm->console.head + vm->console.len, text, n);
	vm->console.len += n;
	if (vm->console.attached)
		vm_post_event(vm, VM_EV_OUTPUT);
}

/* The hash of clone `number`: its number, over and over. */
static void fake_hash(u32 number, u8 hash[32])
{
	memset(hash, (int)(number * 7 + 1), 32);
}

/* `vm` reports the result of clone `number`. */
static __attribute__((unused)) void fake_done(struct vm *vm, u32 number)
{
	static const char digits[] = "0123456789abcdef";
	u8 hash[32];
	char hex[64];

	fake_hash(number, hash);
	for (u32 i = 0; i < 32; i++) {
		hex[2 * i] = digits[hash[i] >> 4];
		hex[2 * i + 1] = digits[hash[i] & 15];
	}
	assert_int_equal(copy_to_guest(&vm->space, vm->window.base, hex, 64), ERR_OK);
	vm->result_len = 64;
	vm_post_event(vm, VM_EV_DONE);
}

/* The machine */

static void fake_bundle(void)
{
	void *blob = pages_alloc(FAKE_BLOB_ORDER, FRAME_FOR_GUEST);
	u64 cells = cpu_to_fdt64(FAKE_RAM_LEN);
	u8 expect[FAKE_CLONES][32];
	int error = 0;

	for (u32 i = 0; i < FAKE_CLONES; i++)
		fake_hash(i + 1, expect[i]);
	error |= fdt_create(blob, (int)(PAGE_SIZE << FAKE_BLOB_ORDER));
	error |= fdt_finish_reservemap(blob) | fdt_begin_node(blob, "");
	error |= fdt_property_string(blob, "compatible", "pando,bundle");
	error |= fdt_begin_node(blob, "vms") | fdt_begin_node(blob, "linux");
	error |= fdt_property_string(blob, "compatible", "pando,vm");
	error |= fdt_property(blob, "memory-size", &cells, 8);
	error |= fdt_property_string(blob, "kernel", "kernel");
	error |= fdt_property_u32(blob, "vcpus", 2);
	error |= fdt_end_node(blob) | fdt_end_node(blob) | fdt_begin_node(blob, "demo");
	error |= fdt_property_string(blob, "template", "linux");
	error |= fdt_property_u32(blob, "clones", FAKE_CLONES);
	error |= fdt_property(blob, "expect", expect, sizeof(expect));
	error |= fdt_end_node(blob) | fdt_end_node(blob) | fdt_finish(blob);
	assert_int_equal(error, 0);
	machine_info.initrd.base = ptr_hpa(blob);
	machine_info.initrd.len = fdt_totalsize(blob);
}

/* Everything on the screen since the last look. */
static const char *fake_screen(void)
{
	fc.n_screen = 0;
	return fc.screen;
}

/* Polls until there is nothing to do. */
static void fake_poll(void)
{
	for (u32 i = 0; i < 1000 && (i == 0 || ctl_wanted()); i++)
		ctl_poll();
	assert_false(ctl_wanted());
}

/* Types `text`; returns what came on the screen since. */
static const char *fake_type(const char *text)
{
	fc.n_keys = (u32)strlen(text);
	fc.next_key = 0;
	memcpy(fc.keys, text, fc.n_keys);
	fc.n_screen = 0;
	fc.screen[0] = 0;
	fake_poll();
	return fake_screen();
}

#define assert_has(text, part)                                       \
	do {                                                         \
		if (!strstr(text, part))                             \
			fail_msg("no \"%s\" in \"%s\"", part, text); \
	} while (0)
#define assert_has_not(text, part)                                \
	do {                                                      \
		if (strstr(text, part))                           \
			fail_msg("\"%s\" in \"%s\"", part, text); \
	} while (0)

/* A machine that has come up to its prompt; once per test program. */
static __attribute__((unused)) int fake_up(void **state)
{
	(void)state;
	fake_machine(64, 2);
	fake_bundle();
	device_set_ops(&fake_ops);
	ctl_init();
	fake_poll();
	return 0;
}

/* No VM is left to the next test. */
static __attribute__((unused)) int fake_down(void **state)
{
	(void)state;
	fake_type("\x1d\x03\rkill all\r");
	fake_poll();
	assert_int_equal(fc.n_vms, 0);
	return 0;
}

#endif
