/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A call: one payload on its way through a VM of a function, and back.
 *
 *	call_new()    the request is here; its payload comes by call_take()
 *	call_begin()  and is complete: the call gets a VM, or waits for one
 *	over()        the answer, or what went wrong, is in the call
 *	call_free()
 *
 * A payload goes into the window of the VM as it comes, if there is one by then; else it is kept
 * here.  All of this is under LOCK_CTL.
 */
#ifndef CTL_CALL_H
#define CTL_CALL_H

#include "arch/time.h"
#include "ctl/function.h"
#include "mm/blob.h"

#define CALL_PAYLOAD_MAX (1UL << 20)
#define CALL_WINDOW_REST (64UL << 10) /* of a window: no payload's */
#define CALL_SMALL       512U         /* bytes of payload, and of result, that lie in the record */

enum call_state {
	CALL_RECEIVING, /* its payload is on the way; it may have a VM */
	CALL_QUEUED,
	CALL_AT_WORK,
	CALL_OVER,
};

/* Moments; ticks 0: the call has not been there. */
struct call_times {
	struct time_cost request, clone_begin, clone_end, given, entry, start, end, answer, gone;
};

struct call {
	TAILQ_ENTRY(call)
	link; /* of its function's queue, of those that have a VM, or of those to be told of */
	struct function *function; /* a reference */
	enum call_mode mode;
	enum call_state state;
	void (*over)(struct call *call); /* NULL: it has not begun */
	void *arg;                       /* over()'s */
	u64 timeout;                     /* ticks */
	struct vm *vm;                   /* a reference; NULL: none yet, or no more */
	bool is_warm;                    /* the VM was there before the call */
	char vm_name[VM_NAME_LEN];
	enum err error;
	const char *problem; /* more about the error, static storage; may be NULL */
	struct call_times t;
	u64 breaks[BREAK_N_CLASSES]; /* of its VM; while it is at work: before the call */
	u64 payload_len;             /* announced */
	u32 n_ahead;                 /* pages that its VM had before it wanted them */
	u64 n_pulled;                /* of the result, by whoever fetches it */
	u64 len;                     /* bytes here: of the payload, later of the result */
	struct blob blob; /* where they are if they are more than CALL_SMALL in the end */
	u8 small[CALL_SMALL];
};

struct call_options {
	enum call_mode mode;
	u64 timeout_ms;
	u64 payload_len;
	u64 arrived; /* host ticks */
};

/* ERR_LIMIT: the payload is too long; ERR_BUSY: too many wait; ERR_STATE: the template was killed; ERR_NOMEM. */
enum err must_check call_new(struct function *f, const struct call_options *o, struct call **out);

/* The next bytes of its payload. */
enum err must_check call_take(struct call *call, const u8 *bytes, u32 len);

/* The payload is complete.  ERR_OK: it is under way, and over() will be called, not before this returns.  Otherwise the
 * call is over already, and over() is not called. */
enum err must_check call_begin(struct call *call, void (*over)(struct call *call), void *arg);

/* Whoever wants it is gone: its VM will be killed, and the call with it. */
void call_abort(struct call *call);

/* A call that is over. */
void call_free(struct call *call);

/* The result: call->len bytes. */
void call_read(const struct call *call, u64 offset, u8 *to, u32 len);

/* Something has happened to `vm`; true: it is a function's, and nobody else needs to know. */
bool call_event(struct vm *vm, u32 events);

/* Somebody has killed it. */
void call_killed(struct vm *vm);

void call_poll(void);
u64 call_deadline(void); /* host ticks: when call_poll() is to be called at the latest */

/*
 * For ctl/function.c.
 */

/* Calls of `f` that have no VM end with `e`. */
void call_fail_waiting(struct function *f, enum err e);

/* Some may get one now. */
void call_start_waiting(void);

#endif
