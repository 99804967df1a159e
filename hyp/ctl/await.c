/* SPDX-License-Identifier: BSD-2-Clause */
/* Who waits for which VM, and until when: a short list, looked through at each event that may end a wait. */
#include "ctl/await.h"
#include "arch/time.h"
#include "ctl/reply.h"
#include "mm/pool.h"

struct await {
	TAILQ_ENTRY(await) link;
	struct vm *vm; /* a reference */
	struct reply *reply;
	u64 deadline; /* host ticks */
};

static struct pool records = POOL_INIT("awaits", struct await, FRAME_FOR_PANDO);
static TAILQ_HEAD(, await) waits = TAILQ_HEAD_INITIALIZER(waits);

static void forget(struct await *w)
{
	TAILQ_REMOVE(&waits, w, link);
	vm_put(w->vm);
	pool_free(&records, w);
}

static void dropped(void *arg)
{
	forget(arg);
}

enum err await_ready(struct cmd *c, struct vm *vm, u64 ns)
{
	struct await *w = pool_alloc(&records);

	if (w == NULL)
		return ERR_NOMEM;
	w->reply = cmd_defer(c, dropped, w);
	if (w->reply == NULL) {
		pool_free(&records, w);
		return ERR_NOMEM;
	}
	vm_get(vm);
	w->vm = vm;
	w->deadline = time_now() + time_ns_to_ticks(ns);
	TAILQ_INSERT_TAIL(&waits, w, link);
	return ERR_OK;
}

static void answer(struct await *w, enum err e, const char *problem)
{
	const struct vm *vm = w->vm;
	struct cmd *c = reply_open(w->reply);

	if (e == ERR_OK) {
		json_string(c->json, "vm", vm->name);
		json_u64(c->json, "ready_ns",
		         time_ticks_to_ns(vm->stats.ready - vm->stats.created));
	} else {
		cmd_fail(c, e, "%s: %s", vm->name, problem);
	}
	reply_close(c, e);
	forget(w);
}

static void end_all(const struct vm *vm, enum err e, const char *problem)
{
	struct await *w, *next;

	for (w = TAILQ_FIRST(&waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->vm == vm)
			answer(w, e, problem);
	}
}

void await_event(struct vm *vm, u32 events)
{
	if (TAILQ_EMPTY(&waits))
		return;
	if (events & VM_EV_READY)
		end_all(vm, ERR_OK, NULL);
	else if (events & VM_EV_OFF)
		end_all(vm, ERR_CRASH, vm->off_reason != NULL ? vm->off_reason : "stopped");
}

void await_killed(struct vm *vm)
{
	end_all(vm, ERR_CRASH, "killed");
}

u64 await_deadline(void)
{
	u64 deadline = TIME_NEVER;
	const struct await *w;

	TAILQ_FOREACH (w, &waits, link)
		deadline = u64_min(deadline, w->deadline);
	return deadline;
}

void await_poll(void)
{
	struct await *w, *next;

	for (w = TAILQ_FIRST(&waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, link);
		if (time_now() >= w->deadline)
			answer(w, ERR_TIMEOUT, "is not ready yet");
	}
}
