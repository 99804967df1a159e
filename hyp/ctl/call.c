/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The life of a call.
 *
 * Between the request and the guest lie a clone, the payload's copy and the scheduler; between the guest's
 * DONE and the answer a copy and a kill.  Everything else happens before, or afterwards: the table of
 * timeouts is a bound that is looked at when it has passed, VMs are made ahead after an answer, and
 * calls that wait are started from call_poll(), never from the middle of something else.
 *
 * A call that finds no memory waits while others have VMs: these will give memory back.  If none
 * has, nobody will, and it fails.
 */
#include "ctl/call.h"
#include <string.h>
#include "ctl/turn.h"
#include "lib/assert.h"
#include "mm/copy.h"
#include "mm/pool.h"
#include "vm/device.h"

#define NS_PER_MS 1000000UL

static struct pool records = POOL_INIT("calls", struct call, FRAME_FOR_GUEST);
static struct call_queue with_vm = TAILQ_HEAD_INITIALIZER(with_vm);
static struct call_queue ended = TAILQ_HEAD_INITIALIZER(ended); /* over() is to be called */
static u32 n_with_vm;
static bool wants_start;
static u64 next_timeout = TIME_NEVER; /* no call runs out of time before this; host ticks */
static struct turn start_turn, end_turn;

static struct time_cost moment(u64 ticks, u64 instret)
{
	return (struct time_cost){ ticks, instret };
}

/* Bytes that are kept: a payload that waits, a result */

static enum err keep(struct call *call, const u8 *bytes, u32 len)
{
	call->len += len;
	if (call->payload_len > CALL_SMALL)
		return blob_append(&call->blob, bytes, len);
	memcpy(call->small + call->len - len, bytes, len);
	return ERR_OK;
}

void call_read(const struct call *call, u64 offset, u8 *to, u32 len)
{
	if (call->len > CALL_SMALL)
		blob_read(&call->blob, offset, to, len);
	else
		memcpy(to, call->small + offset, len);
}

static gpa_t window_at(const struct call *call, u64 offset)
{
	return GPA(call->vm->window.base.v + offset);
}

/* What was kept goes into the window. */
static enum err deliver(struct call *call)
{
	enum err e = ERR_OK;
	u64 n;

	if (call->payload_len <= CALL_SMALL)
		return copy_to_guest(&call->vm->space, window_at(call, 0), call->small, call->len);
	for (u64 at = 0; at < call->len && e == ERR_OK; at += n) {
		const u8 *from = blob_at(&call->blob, at, &n);

		e = copy_to_guest(&call->vm->space, window_at(call, at), from, n);
	}
	blob_free(&call->blob);
	return e;
}

/* The window's first `len` bytes become the result. */
static enum err fetch_result(struct call *call, u64 len)
{
	enum err e = ERR_OK;
	u64 n;

	call->len = 0;
	if (len <= CALL_SMALL) {
		e = copy_from_guest(&call->vm->space, call->small, window_at(call, 0), len);
		call->len = e == ERR_OK ? len : 0;
		return e;
	}
	blob_init(&call->blob, len, FRAME_FOR_GUEST);
	for (u64 at = 0; at < len && e == ERR_OK; at += n) {
		u8 *to = blob_extend(&call->blob, len - at, &n);

		e = to == NULL ? ERR_NOMEM
		               : copy_from_guest(&call->vm->space, to, window_at(call, at), n);
	}
	if (e == ERR_OK)
		call->len = len;
	else
		blob_free(&call->blob);
	return e;
}

/* VMs */

static enum err take_vm(struct call *call)
{
	struct function *f = call->function;
	struct time_cost begin = time_cost_now();
	enum err e = function_take_vm(f, call->mode, &call->vm, &call->is_warm);

	if (e != ERR_OK) {
		call->vm = NULL;
		return e;
	}
	if (call->is_warm) {
		COPY_WORDS(call->breaks, call->vm->space.breaks);
	} else {
		/* The call alone: pages that are copied ahead come after it. */
		call->t.clone_begin = begin;
		call->t.clone_end = moment(begin.ticks + call->vm->stats.clone.ticks,
		                           begin.instret + call->vm->stats.clone.instret);
		ZERO_WORDS(call->breaks);
	}
	COPY_WORDS(call->vm_name, call->vm->name);
	call->vm->call = call;
	if (call->state == CALL_QUEUED)
		TAILQ_REMOVE(&f->queue, call, link);
	f->n_waiting--;
	f->n_running++;
	n_with_vm++;
	TAILQ_INSERT_TAIL(&with_vm, call, link);
	next_timeout = u64_min(next_timeout, time_now() + call->timeout);
	return ERR_OK;
}

/* The call has no VM any more; whoever waits may have one. */
static void leave_vm(struct call *call)
{
	struct function *f = call->function;

	TAILQ_REMOVE(&with_vm, call, link);
	call->vm = NULL;
	f->n_running--;
	n_with_vm--;
	wants_start = true;
	function_want_vms(f);
}

static void drop_vm(struct call *call)
{
	struct vm *vm = call->vm;

	leave_vm(call);
	function_drop_vm(vm);
	call->t.gone = time_cost_now();
}

/* Back to its template, where it stands still.  False: it is off, or there is no memory. */
static bool reset_vm(struct vm *vm)
{
	vm_pause(vm);
	if (atomic_load(&vm->state) != VM_PAUSED || vm_reset(vm) != ERR_OK)
		return false;
	vm->is_going = false;
	vm->n_ahead = 0;
	return true;
}

/* It has answered. */
static void release_vm(struct call *call)
{
	struct vm *vm = call->vm;
	enum err e = call->error;
	bool is_sound = e == ERR_OK || e == ERR_FUNCTION || e == ERR_TOOLONG;

	leave_vm(call);
	if (is_sound && call->mode == CALL_RESET)
		is_sound = reset_vm(vm);
	if (is_sound && call->mode != CALL_FRESH)
		function_keep_vm(call->function, vm, call->mode == CALL_KEEP);
	else
		function_drop_vm(vm);
	call->t.gone = time_cost_now();
}

/* Ends */

/* Its first entry may be another call's. */
static void note_times(struct call *call, const struct vm_stats *s)
{
	const struct time_cost *mark = s->mark;

	if (s->first_entry >= call->t.given.ticks)
		call->t.entry = moment(s->first_entry, s->entry_instret);
	if (mark[0].ticks >= call->t.given.ticks)
		call->t.start = mark[0];
	if (mark[1].ticks >= call->t.given.ticks)
		call->t.end = mark[1];
	if (s->done >= call->t.given.ticks)
		call->t.answer = moment(s->done, s->done_instret);
}

static void note_breaks(struct call *call)
{
	for (u32 i = 0; i < BREAK_N_CLASSES; i++)
		call->breaks[i] = call->vm->space.breaks[i] - call->breaks[i];
}

static void finish(struct call *call, enum err e)
{
	call->state = CALL_OVER;
	call->error = e;
	call->function->n_calls++;
	call->function->n_failed += e != ERR_OK;
}

/* It ends without an answer.  over() is called later, as this may be in the middle of another command. */
static void fail(struct call *call, enum err e, const char *problem)
{
	struct function *f = call->function;

	if (call->vm != NULL) {
		if (call->state == CALL_AT_WORK)
			note_times(call, &call->vm->stats);
		note_breaks(call);
		drop_vm(call);
	} else {
		f->n_waiting--;
		if (call->state == CALL_QUEUED)
			TAILQ_REMOVE(&f->queue, call, link);
	}
	blob_free(&call->blob);
	call->len = 0;
	call->problem = problem;
	finish(call, e);
	if (call->over != NULL)
		TAILQ_INSERT_TAIL(&ended, call, link);
}

static void tell_ended(void)
{
	struct call *call;

	while ((call = TAILQ_FIRST(&ended)) != NULL) {
		TAILQ_REMOVE(&ended, call, link);
		call->over(call);
	}
}

/* Begin */

static bool has_room(const struct function *f)
{
	return f->n_running < f->policy.max && TAILQ_EMPTY(&f->queue);
}

/* Its function was removed while its payload was on the way: it gets no VM. */
static bool is_too_late(const struct call *call)
{
	return call->vm == NULL && !call->function->is_listed;
}

enum err call_new(struct function *f, const struct call_options *o, struct call **out)
{
	struct call *call;

	if (f->template == NULL)
		return ERR_STATE;
	if (o->payload_len > CALL_PAYLOAD_MAX ||
	    o->payload_len + CALL_WINDOW_REST > f->template->window.len)
		return ERR_LIMIT;
	if (f->n_waiting >= FUNCTION_QUEUE_MAX && !has_room(f))
		return ERR_BUSY;
	call = pool_alloc_raw(&records);
	if (call == NULL && space_relieve())
		call = pool_alloc_raw(&records);
	if (call == NULL)
		return ERR_NOMEM;
	memset(call, 0, offsetof(struct call, blob));
	blob_init(&call->blob, o->payload_len, FRAME_FOR_GUEST);
	call->function = f;
	call->mode = o->mode;
	call->payload_len = o->payload_len;
	call->timeout = time_ns_to_ticks(o->timeout_ms * NS_PER_MS);
	call->t.request = moment(o->arrived, time_instret());
	function_get(f);
	f->n_waiting++;
	*out = call;
	return ERR_OK;
}

enum err call_take(struct call *call, const u8 *bytes, u32 len)
{
	enum err e;

	if (call->state == CALL_OVER)
		return call->error;
	/* Not for want of memory alone: it may be there when the payload is. */
	if (is_too_late(call))
		e = ERR_ABSENT;
	else if (call->len == 0 && call->vm == NULL && has_room(call->function) &&
	         take_vm(call) == ERR_STATE)
		e = ERR_STATE;
	else if (call->vm == NULL)
		return keep(call, bytes, len);
	else
		e = copy_to_guest(&call->vm->space, window_at(call, call->len), bytes, len);
	call->len += len;
	if (e != ERR_OK)
		fail(call, e, NULL);
	return e;
}

static enum err give(struct call *call)
{
	enum err e = ERR_OK;

	call->state = CALL_AT_WORK;
	call->t.given = time_cost_now();
	device_ops->give_work(call->vm, (u32)call->len);
	if (!call->vm->is_going)
		e = vm_run(call->vm);
	call->vm->is_going = true;
	return e;
}

/* A VM, the payload, and off.  ERR_NOMEM: the call is as it was, unless it is over. */
static enum err start(struct call *call)
{
	enum err e = take_vm(call);

	if (e == ERR_NOMEM && n_with_vm > 0)
		return e;
	if (e == ERR_OK)
		e = deliver(call);
	if (e == ERR_OK)
		e = give(call);
	if (e != ERR_OK)
		fail(call, e, NULL);
	return e;
}

enum err call_begin(struct call *call, void (*over)(struct call *call), void *arg)
{
	struct function *f = call->function;
	enum err e = ERR_OK;
	bool waits = false;

	if (call->state == CALL_OVER)
		return call->error;
	assert(!is_too_late(call)); /* its last byte has just been taken */
	if (call->vm != NULL) {
		e = give(call);
		if (e != ERR_OK)
			fail(call, e, NULL);
	} else {
		if (has_room(f))
			e = start(call);
		waits = call->vm == NULL && call->state != CALL_OVER;
	}
	if (call->state == CALL_OVER)
		return e;
	if (waits) {
		call->state = CALL_QUEUED;
		TAILQ_INSERT_TAIL(&f->queue, call, link);
	}
	call->over = over;
	call->arg = arg;
	return ERR_OK;
}

/* Of many calls at a time, if all of a client's go: one that has a VM ends as one that is late does, when it is its turn. */
void call_abort(struct call *call)
{
	if (call->state == CALL_OVER) {
		if (call->over != NULL)
			TAILQ_REMOVE(&ended, call, link);
		call_free(call);
		return;
	}
	call->over = call_free;
	if (call->vm == NULL) {
		fail(call, ERR_CRASH, NULL);
		return;
	}
	call->timeout = 0;
	next_timeout = 0;
}

void call_free(struct call *call)
{
	assert(call->state == CALL_OVER);
	blob_free(&call->blob);
	function_put(call->function);
	pool_free(&records, call);
}

/* What happens to its VM */

static enum err error_of(u32 status)
{
	switch ((enum vm_result_status)status) {
	case RESULT_FAILED: return ERR_FUNCTION;
	case RESULT_CRASHED: return ERR_CRASH;
	case RESULT_TOO_LONG: return ERR_TOOLONG;
	case RESULT_ANSWER:
	case RESULT_N_STATUSES: break;
	}
	return ERR_OK;
}

static void answered(struct call *call)
{
	struct vm *vm = call->vm;
	u32 len, status;
	enum err e;

	/* One look: the guest may store DONE again at any time. */
	lock_acquire(&vm->dev_lock);
	len = vm->result_len;
	status = vm->result_status;
	note_times(call, &vm->stats);
	lock_release(&vm->dev_lock);
	note_breaks(call);
	call->function->n_spoilt = 0;
	call->n_ahead = vm->n_ahead;
	function_learn(call->function, vm);
	e = fetch_result(call, len);
	finish(call, e != ERR_OK ? e : error_of(status));
	release_vm(call);
	call->over(call);
}

bool call_event(struct vm *vm, u32 events)
{
	struct call *call = vm->call;

	if (vm->function == NULL)
		return vm->is_functions;
	/* A DONE from before it got this work is nobody's answer. */
	if (events & VM_EV_DONE && call != NULL && call->state == CALL_AT_WORK &&
	    vm->stats.done >= call->t.given.ticks) {
		answered(call);
	} else if (events & VM_EV_OFF && call != NULL) {
		fail(call, events & VM_EV_KILL ? ERR_NOMEM : ERR_CRASH, vm->off_reason);
	} else if (events & VM_EV_OFF) {
		function_vm_is_off(vm);
	}
	return true;
}

void call_killed(struct vm *vm)
{
	if (vm->call != NULL)
		fail(vm->call, ERR_CRASH, "killed");
	function_killed(vm);
}

/* Time */

static bool waits_for_memory(const struct vm *vm)
{
	for (u32 i = 0; i < vm->n_vcpus; i++)
		if (atomic_load(&vm->vcpu[i]->holds) & HOLD_NOMEM)
			return true;
	return false;
}

/* Host ticks.  A call whose VM waits for its first turn has all its time before it; one whose VM somebody has stopped
 * has not. */
static u64 timeout_of(const struct call *call)
{
	u64 begin = call->t.given.ticks;

	if (call->state == CALL_RECEIVING)
		begin = call->t.request.ticks;
	else if (call->vm->stats.first_entry != 0)
		begin = u64_max(begin, call->vm->stats.first_entry);
	else if (atomic_load(&call->vm->state) == VM_RUNNING)
		begin = time_now();
	return begin + call->timeout;
}

static void end_late(void)
{
	struct call *call, *next;
	bool any = false;

	next_timeout = TIME_NEVER;
	for (call = TAILQ_FIRST(&with_vm); call != NULL; call = next) {
		u64 end = timeout_of(call);

		next = TAILQ_NEXT(call, link);
		if (time_now() < end) {
			next_timeout = u64_min(next_timeout, end);
			continue;
		}
		if (any && turn_is_over(&end_turn)) {
			next_timeout = 0;
			break;
		}
		any = true;
		if (waits_for_memory(call->vm))
			fail(call, ERR_NOMEM, "its VM waits for memory");
		else
			fail(call, ERR_TIMEOUT, NULL);
	}
	turn_end(&end_turn, next_timeout == 0);
}

/* Those that wait */

void call_fail_waiting(struct function *f, enum err e)
{
	struct call *call;

	while ((call = TAILQ_FIRST(&f->queue)) != NULL)
		fail(call, e, NULL);
}

void call_start_waiting(void)
{
	wants_start = true;
}

static void start_one(struct function *f, void *any)
{
	struct call *call = TAILQ_FIRST(&f->queue);

	if (call != NULL && f->n_running < f->policy.max)
		*(bool *)any |= start(call) != ERR_NOMEM || call->state != CALL_QUEUED;
}

/* One of each function after the other. */
static void start_some(void)
{
	bool any;

	do {
		any = false;
		function_for_each(start_one, &any);
	} while (any && !turn_is_over(&start_turn));
	wants_start |= any;
	turn_end(&start_turn, any);
}

void call_poll(void)
{
	if (time_now() >= next_timeout && turn_begin(&end_turn))
		end_late();
	if (wants_start && turn_begin(&start_turn)) {
		wants_start = false;
		start_some();
	}
	tell_ended();
	function_poll();
}

u64 call_deadline(void)
{
	u64 deadline = u64_max(next_timeout, end_turn.next);

	if (!TAILQ_EMPTY(&ended))
		return 0;
	if (wants_start)
		deadline = u64_min(deadline, start_turn.next);
	return u64_min(deadline, function_deadline());
}
