/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A function: a template whose guest waits for work, and how its calls are served.
 *
 * Its VMs are clones of the template with vm->function set.  One is either at work
 * for a call (vm->call), or it waits in `idle` for the next one.
 * All of this is under LOCK_CTL.
 */
#ifndef CTL_FUNCTION_H
#define CTL_FUNCTION_H

#include "ctl/names.h"
#include "ctl/writeset.h"

#define FUNCTIONS_MAX       256U
#define FUNCTION_QUEUE_MAX  1024U
#define FUNCTION_WARM_MAX   1024U
#define FUNCTION_CALLS_MAX  4096U
#define FUNCTION_TIMEOUT_MS 10000UL
#define FUNCTION_CALLS      64U /* under way at once, if nobody says otherwise */

struct call;

/* What becomes of a VM that has answered. */
enum call_mode {
	CALL_FRESH, /* it is killed */
	CALL_RESET, /* it goes back to its template, and serves the next call */
	CALL_KEEP,  /* it serves the next call as it is */
	CALL_N_MODES,
};

struct function_policy {
	enum call_mode mode;
	u32 n_warm;        /* VMs that are made ahead */
	u32 max;           /* calls that have a VM at once */
	u64 timeout_ms;    /* from a call's first instruction to its answer */
	bool copies_ahead; /* VMs get the pages of the write set before they want them */
};

struct function {
	TAILQ_ENTRY(function) link;
	char name[NAME_PLAIN_LEN];
	u32 refs; /* the list's, and one for each call */
	bool is_listed;
	struct vm *template; /* a reference; NULL: it was killed */
	struct function_policy policy;
	TAILQ_HEAD(vm_idle_list, vm)
	idle; /* n_idle VMs that wait for work; those that have served calls come last */
	u32 n_idle;
	struct writeset writeset;
	u32 n_spoilt; /* VMs that ended while they waited, since the last answer */
	TAILQ_HEAD(call_queue, call)
	queue; /* calls that wait for a VM, n_waiting with those whose payload is on the way */
	u32 n_waiting;
	u32 n_running; /* calls that have a VM */
	u64 n_calls, n_failed;
};

/* NULL: none. */
struct function *function_find(const char *name);

/* Makes a function, or switches one: calls that have a VM end there, all others get one of the new template.
 * Takes a reference on `template`.  ERR_STATE: it is none; ERR_NOMEM, ERR_LIMIT. */
enum err must_check function_set(const char *name, struct vm *template,
                                 const struct function_policy *p);

/* Its name goes at once; calls that wait end with ERR_ABSENT, those that have a VM as usual. */
void function_remove(struct function *f);

void function_get(struct function *f);
void function_put(struct function *f);

void function_for_each(void (*fn)(struct function *f, void *arg), void *arg);

/*
 * For ctl/call.c.
 */

/* A VM for a call: one that waits (*is_warm), or a new clone; only with CALL_KEEP one that has served calls.  It runs if
 * it is_going.  The caller has a reference.  ERR_STATE: the template was killed; ERR_NOMEM. */
enum err must_check function_take_vm(struct function *f, enum call_mode mode, struct vm **out,
                                     bool *is_warm);

/* Its call is over, and it is reset and paused, or runs on as it is (has_served): it waits for the next one if there is
 * room, else it is killed. */
void function_keep_vm(struct function *f, struct vm *vm, bool has_served);

/* A call of it has ended. */
void function_want_vms(struct function *f);

/* Takes `vm` out of the function's hands and ends it.  One that somebody has frozen meanwhile is theirs. */
void function_drop_vm(struct vm *vm);

/* A VM that waits for work has ended by itself. */
void function_vm_is_off(struct vm *vm);

/* `vm` was killed by somebody: as the template of functions, or as one of their idle VMs. */
void function_killed(struct vm *vm);

/* A call has been answered by a VM that had served none before: the first ones tell what they write. */
void function_learn(struct function *f, struct vm *vm);

/* Memory is short: all that waits for work goes.  Was there any? */
bool function_drop_idle(void);

/* Makes VMs ahead where they are wanted, and prepares those that wait: a few at a time. */
void function_poll(void);
u64 function_deadline(void); /* host ticks */

#endif
