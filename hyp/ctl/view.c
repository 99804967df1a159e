/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's output waits in its VM's ring until it is fetched here.  The VM posts
 * VM_EV_OUTPUT while somebody is attached and the ring was empty or a line is
 * complete; polls empty the ring, so none is missed.
 *
 * Each watched VM has a line buffer, so that two guests that print at once do not
 * mix within a line.  What is typed faster than the guest reads waits in `typed`,
 * so that the escape key always works.
 *
 * A guest on another hart may print faster than the machine's UART takes it.  So
 * one poll shows no more than a whole ring of each VM, and asks to be called again:
 * the keyboard comes in between.
 */
#include <string.h>
#include "arch/time.h"
#include "ctl/shell.h"
#include "ctl/view.h"
#include "drv/console.h"
#include "vm/device.h"

#define WATCHED_MAX     8U
#define LINE_LEN        160U
#define TYPED_LEN       4096U               /* a text that somebody pastes */
#define RETRY_NS        2000000UL           /* how soon a full input FIFO is tried again */
#define OUTPUT_PER_POLL VM_CONSOLE_RING_LEN /* at least: what a VM said before it went off */

struct watched {
	struct vm *vm; /* holds a reference; NULL: free */
	u32 len;
	char line[LINE_LEN];
};

static struct watched watched[WATCHED_MAX];
static bool is_behind; /* there may be more in some ring */

static struct {
	struct vm *vm; /* holds a reference; NULL: nobody is attached */
	char typed[TYPED_LEN];
	u32 head, len;
	u64 retry; /* host ticks: the guest's FIFO was full, try again then */
} attached;

static struct watched *find(const struct vm *vm)
{
	for (u32 i = 0; i < WATCHED_MAX; i++)
		if (watched[i].vm == vm)
			return &watched[i];
	return NULL;
}

static void show_line(struct watched *w)
{
	shell_say("[%s] %.*s", w->vm->name, (int)w->len, w->line);
	w->len = 0;
}

static void show_char(struct watched *w, char c)
{
	if (c == '\n') {
		show_line(w);
	} else if (c != '\r' && c != 0) {
		w->line[w->len++] = c;
		if (w->len == LINE_LEN)
			show_line(w);
	}
}

static void show(struct watched *w)
{
	char buf[256];
	u32 n, sum = 0;

	while (sum < OUTPUT_PER_POLL && (n = vm_console_take(w->vm, buf, sizeof(buf))) > 0) {
		for (u32 i = 0; i < n; i++)
			show_char(w, buf[i]);
		sum += n;
	}
	is_behind |= sum >= OUTPUT_PER_POLL;
}

static void show_raw(struct vm *vm)
{
	char buf[256];
	u32 n, sum = 0;

	while (sum < OUTPUT_PER_POLL && (n = vm_console_take(vm, buf, sizeof(buf))) > 0) {
		console_write(buf, n);
		sum += n;
	}
	is_behind |= sum >= OUTPUT_PER_POLL;
}

static void drop(struct watched *w)
{
	struct vm *vm = w->vm;

	show(w);
	if (w->len > 0)
		show_line(w);
	w->vm = NULL;
	if (vm != attached.vm)
		vm_console_attach(vm, false);
	vm_put(vm);
}

enum err view_watch(struct vm *vm)
{
	struct watched *w;

	if (find(vm))
		return ERR_OK;
	w = find(NULL);
	if (!w)
		return ERR_LIMIT;
	vm_get(vm);
	w->vm = vm;
	w->len = 0;
	vm_console_attach(vm, true);
	return ERR_OK;
}

void view_unwatch(struct vm *vm)
{
	struct watched *w = find(vm);

	if (w)
		drop(w);
}

bool view_is_watched(const struct vm *vm)
{
	return find(vm) != NULL;
}

void view_attach(struct vm *vm)
{
	struct watched *w = find(vm);

	view_detach();
	vm_get(vm);
	attached.vm = vm;
	attached.len = 0;
	attached.retry = 0;
	vm_console_attach(vm, true);
	if (w) { /* the line without an end, such as a prompt, that has left the ring already */
		console_write(w->line, w->len);
		w->len = 0;
	}
	show_raw(vm);
}

void view_detach(void)
{
	struct vm *vm = attached.vm;

	if (!vm)
		return;
	attached.vm = NULL;
	if (!find(vm))
		vm_console_attach(vm, false);
	vm_put(vm);
}

struct vm *view_attached(void)
{
	return attached.vm;
}

/* Gives the guest what its FIFO takes. */
static void pass_on(void)
{
	while (attached.len > 0) {
		if (!device_ops->console_input(attached.vm, attached.typed[attached.head])) {
			attached.retry = time_now() + time_ns_to_ticks(RETRY_NS);
			return;
		}
		attached.head = (attached.head + 1) % TYPED_LEN;
		attached.len--;
	}
}

void view_input(char c)
{
	if (attached.len == TYPED_LEN)
		return; /* the guest has not read for a long time: as a real line would */
	attached.typed[(attached.head + attached.len) % TYPED_LEN] = c;
	attached.len++;
	pass_on();
}

u64 view_deadline(void)
{
	if (is_behind)
		return 0;
	return attached.vm && attached.len > 0 ? attached.retry : TIME_NEVER;
}

static bool is_dying(struct vm *vm)
{
	return atomic_load(&vm->state) == VM_DYING;
}

void view_poll(void)
{
	is_behind = false;
	if (attached.vm) {
		show_raw(attached.vm);
		pass_on();
		if (is_dying(attached.vm)) {
			view_detach();
			shell_detached();
		}
	}
	for (u32 i = 0; i < WATCHED_MAX; i++) {
		struct watched *w = &watched[i];

		if (!w->vm)
			continue;
		if (w->vm == attached.vm)
			continue;
		show(w);
		if (is_dying(w->vm))
			drop(w);
	}
}
