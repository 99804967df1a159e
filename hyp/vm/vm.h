/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM: a space, vCPUs, device state; and what is done to a whole one.
 *
 * A VM record is one frame, with its first vCPU and its device state inside, so that a
 * clone is a copy of what lies there, and one more reference to a frozen root.
 *
 * Legend: I set at birth; a atomic; m vm->lock; d vm->dev_lock; l list lock.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include "arch/time.h"
#include "lib/err.h"
#include "mm/space.h"
#include "vm/gate.h"
#include "vm/policy.h"
#include "vm/vcpu.h"

struct blob;
struct call;
struct function;

#define VM_MAX_VCPUS     8
#define VM_NAME_LEN      32
#define VM_NUMBER_LEN    16   /* digits of a clone's number: more clones than can ever be made */
#define VM_DEV_STATE_LEN 1536 /* bytes for all devices of one VM */

enum vm_state {
	VM_NEW,      /* being built; nothing has run */
	VM_RUNNING,  /* vCPUs run as they can */
	VM_PAUSED,   /* by a command, or frozen out of memory */
	VM_TEMPLATE, /* frozen; never runs again */
	VM_OFF,      /* the guest has shut itself down, or was stopped for a fault */
	VM_DYING,    /* killed; goes with its last reference */
};

enum vm_listing {
	VM_UNLISTED, /* being built */
	VM_NAMED,    /* it can be found */
	VM_NAMELESS, /* killed, and somebody still has a reference */
};

enum vm_event {                  /* bits, for control: what has happened */
	        VM_EV_READY = 1, /* the guest stored READY */
	        VM_EV_DONE = 2,  /* the guest stored DONE; vm->result_len */
	        VM_EV_OFF = 4,   /* shut down, rebooted, or stopped; vm->off_reason */
	        VM_EV_NOMEM = 8, /* a vCPU waits for frames */
	        VM_EV_KILL =
	                32, /* stopped for want of memory: to be killed, its memory is needed */
	        VM_EV_OUTPUT = 16, /* its console is attached and has output: vm_console_take() */
};

struct vm_config {
	char name[VM_NAME_LEN];
	u64 ram_len; /* bytes, multiple of 2 MiB, at least 2 MiB */
	u32 n_vcpus;
	const char *bootargs;
	const void *
		kernel; /* RISC-V Image or flat binary; entered at RAM + 2 MiB (Image) or its start */
	u64 kernel_len;
	const void *initrd; /* may be NULL */
	u64 initrd_len;
	const struct blob *kernel_blob, *initrd_blob; /* not NULL: the image is there instead */
	bool hold_at_ready; /* stop at the READY store, for whoever will freeze */
	struct vm_policy policy;
};

/* Guest console: output in lines for the shell, a ring when detached. */
struct vm_console {
	char *ring;    /* d: VM_CONSOLE_RING_LEN bytes, allocated at the first output */
	u32 head, len; /* d: oldest byte that nobody has taken, and how many */
	u32 kept;      /* d: bytes before head + len that are still in the ring, taken or not */
	bool attached; /* d: output goes to the shell as it comes */
	u64 dropped;   /* d: bytes lost because the ring was full or had no memory */
};
#define VM_CONSOLE_RING_LEN 4096U

#define VM_N_MARKS 2 /* the guest's handler begins, and ends */

enum vm_result_status { /* what a DONE means: the numbers of the mailbox's STATUS */
	                RESULT_ANSWER = 0,
	                RESULT_FAILED = 1,  /* the function says so; the window holds its message */
	                RESULT_CRASHED = 2, /* it died; the window says of what */
	                RESULT_TOO_LONG = 3,
	                RESULT_N_STATUSES,
};

struct vm_stats {
	u64 created, first_entry, ready, done; /* host ticks; 0 = not yet */
	u64 done_instret;
	struct time_cost mark[VM_N_MARKS]; /* moments; ticks 0: not yet */
	struct time_cost clone, fork;      /* the call that made it; 0: another one */
	struct time_cost freeze, reset;    /* the last one */
	struct time_cost stall;            /* how long it stood still when last forked */
	u64 run_instret;                   /* vm_run() of a new VM */
	u64 picked_instret, entry_instret; /* a hart set out to enter it; and did so */
};

/* All of a VM's vCPUs together, when somebody last looked. */
struct vm_seen {
	u64 at;                /* host ticks */
	u64 guest, hypervisor; /* ticks */
	u64 exits, breaks;
};

struct vm {
	u32 id;           /* I: unique, never reused */
	_Atomic u32 refs; /* a: the list's, one per clone for its template, one per user */
	char name[VM_NAME_LEN] __attribute__((aligned(8))); /* I */
	u32 name_len;                                       /* I */
	u32 n_vcpus;                                        /* I */
	struct spinlock lock;                               /* LOCK_VM: life cycle */
	struct spinlock dev_lock;                           /* LOCK_DEV: dev_state, console */
	struct space space;                                 /* own lock */
	struct region ram, window;                          /* I: RAM, and the mailbox's window */
	struct vm_policy policy;                            /* m */
	TAILQ_ENTRY(vm) link;                               /* l */
	struct vm_seen seen;                                /* control's: of the last top */

	/* Zero at birth, from here to `vcpu`. */
	_Atomic u32 state;          /* a: enum vm_state, changed under m */
	enum vm_listing listing;    /* l: which list `link` is in */
	struct vm *template;        /* I: whose clone it is; holds a reference */
	u32 clone_id;               /* I: 0 booted; 1.. in order of cloning from its template */
	u32 generation;             /* I: unique per clone */
	u32 n_clones_made;          /* m */
	u32 number_len;             /* m */
	char number[VM_NUMBER_LEN]; /* m: n_clones_made in decimal, number_len digits */
	_Atomic u64 nomem_told;     /* a: when VM_EV_NOMEM was posted last; 0: never */
	u32 result_len;             /* d: of the last DONE */
	u32 result_status;          /* d: enum vm_result_status of it */
	u64 time_delta;             /* o: htimedelta in ticks (guest time = time + delta) */
	u64 frozen_time;            /* m: guest time when it last stood still */
	const char *off_reason;     /* m: words, static storage */
	_Atomic u32 events;         /* a: enum vm_event not yet taken by control */
	_Atomic u32 on_event_list;  /* a */
	struct vm *event_next;      /* a: the event list's, while on it */
	struct vm_gate gate;
	_Atomic bool hold_at_ready; /* a: the mailbox asks under dev_lock alone */
	_Atomic bool
		time_waits; /* a: frozen_time goes on: nobody has had a turn since; set under m */
	bool is_compact;    /* m: its equal pages were merged when it was frozen */
	bool is_stilled;    /* control's: paused for as long as it counts */
	bool is_seen;       /* control's: `seen` says something */
	struct function *function; /* control's: the function that it serves, */
	struct call *call;         /*   the call that it is at work for, */
	TAILQ_ENTRY(vm) idle;      /*   its place among those that wait for one, */
	bool has_served;           /*   whether it has had any, */
	bool is_going;             /*   whether it has been set going since it was made or reset, */
	u32 n_ahead;               /*   how many pages that were, */
	bool is_functions; /*   and whether it was made for a function: nobody is told of it */
	u32 told_until;    /* control's: of its lines in the log; s */
	struct vm_console console; /* d */
	struct vm_stats stats;

	struct vcpu *vcpu[VM_MAX_VCPUS];     /* I */
	struct vcpu boot_vcpu;               /* vcpu[0]; the others have records of their own */
	u64 dev_state[VM_DEV_STATE_LEN / 8]; /* d */
};
_Static_assert(sizeof(struct vm) <= PAGE_SIZE, "a VM with one vCPU is one frame");
_Static_assert(offsetof(struct vm, state) % 8 == 0, "vm_alloc() zeroes words");

/* Builds a VM from `c`, loads its images and device tree; it does not run yet.
 * ERR_EXISTS, ERR_NOMEM, ERR_RANGE (does not fit), ERR_INVAL; `*why` says what in one line,
 * valid until the next call.  Here and below `*out` is borrowed: the list's reference keeps it
 * until vm_kill(). */
enum err must_check vm_create(const struct vm_config *c, struct vm **out, const char **why);

/* Starts vCPU 0 of a new VM, or lets a paused one go on. */
enum err must_check vm_run(struct vm *vm);

/* Stops all vCPUs and waits until none is in a hart.  Not from an exit handler. */
void vm_pause(struct vm *vm);

/* New, running or paused VM -> template.  ERR_STATE if it is off, dying or already one. */
enum err must_check vm_freeze(struct vm *vm);

/* The same, after the merge scanner has gone through the VM's memory as its policy allows: clones are to
 * begin with what is left. */
enum err must_check vm_freeze_compact(struct vm *vm);

/* Template -> new VM, not yet running (vm_run).  Constant time.  ERR_STATE, ERR_NOMEM. */
enum err must_check vm_clone(struct vm *template, struct vm **out);

/* Running VM -> itself and a child that starts at the same instant (not yet running). */
enum err must_check vm_fork(struct vm *parent, struct vm **out);

/* A clone back to its template's state; goes on running.  ERR_STATE: it has none. */
enum err must_check vm_reset(struct vm *vm);

/* Takes the name away at once; memory goes as the last reference goes. */
void vm_kill(struct vm *vm);

/* What the last vm_kill() cost its caller; the rest is the reaper's. */
struct time_cost vm_last_kill(void);

/* The guest stops itself (SRST, fatal fault): all vCPUs held, VM_EV_OFF.  From exit handlers. */
void vm_stop(struct vm *vm, const char *reason);

/* The same; control hears of these events no later than of VM_EV_OFF. */
void vm_stop_with(struct vm *vm, const char *reason, u32 events);

/* By name ("linux", "linux.17") or by number ("#5"); takes a reference.  NULL: none. */
struct vm *vm_find(const char *name);
/* "linux.3, vCPU 1": what runs on this hart, for whoever reports trouble; "": nothing. */
void vm_describe_current(char *buf, size_t len);

void vm_get(struct vm *vm);
void vm_put(struct vm *vm);
u32 vm_count(void);

/* Calls fn for each VM, oldest first, without the list lock held; stops when fn says false. */
void vm_for_each(bool (*fn)(struct vm *vm, void *arg), void *arg);

/* The same for templates that were killed and that clones still go back to: their memory is retained. */
void vm_for_each_retained(bool (*fn)(struct vm *vm, void *arg), void *arg);

/* Queues events for control (vm_take_event): the hart that posts asks it before its next guest entry. */
void vm_post_event(struct vm *vm, u32 events);

/* Next VM with events (a reference is passed on), `*events` gets them; NULL: none.  One caller
 * at a time. */
struct vm *vm_take_event(u32 *events);
bool vm_has_events(void);

/* Guest console, called with dev_lock held: one byte of guest output. */
void vm_console_put(struct vm *vm, char c);

/* Makes the ring before the first byte needs it.  False: no memory. */
bool must_check vm_console_prepare(struct vm *vm);

/* Is there somebody who wants its output as it comes? */
void vm_console_attach(struct vm *vm, bool on);

/* Takes up to `max` bytes of buffered output. */
u32 vm_console_take(struct vm *vm, char *buf, u32 max);

/* Copies what was said last, taken or not, up to VM_CONSOLE_RING_LEN bytes; how many. */
u32 vm_console_copy(struct vm *vm, char *buf);

/*
 * Between the files of this floor.
 */

/* A record with its vCPUs, each with all that does not come from a configuration or from a
 * template.  NULL: no memory.  vm_free() takes it in any state of completion; it must not be
 * listed. */
struct vm *must_check vm_alloc(u32 n_vcpus);
void vm_free(struct vm *vm);

/* May a new VM have that name?  ERR_INVAL, ERR_EXISTS. */
enum err must_check vm_check_name(const char *name, const char **why);

/* Is there a VM of that name? */
bool vm_is_taken(const char *name);

/* May a VM have that many bytes of RAM? */
bool vm_is_ram_len(u64 len);

/* Its regions, and an empty space over them.  ERR_NOMEM. */
enum err must_check vm_back(struct vm *vm, u64 ram_len);

/* Generations that are given out from now on are above `n`, if that is below 2^31. */
void vm_generations_from(u32 n);

/* Makes it visible, with an id.  ERR_EXISTS if `is_new_name` and the name is taken. Its clones' numbers
 * begin after those of an earlier VM of that name whose clones are still there. */
enum err must_check vm_list(struct vm *vm, bool is_new_name);

/* Holds all vCPUs and waits until none is in a hart; returns with vm->lock held.
 * ERR_STATE, lock not held: its state is not in `states` (bits 1 << enum vm_state). */
enum err must_check vm_quiesce(struct vm *vm, u32 states);

/* One more vCPU waits, for frames or for work, or has stopped itself; if it was the last that ran, guest time waits as well.
 * By its own hart, which has not put it back yet.  vm->lock held. */
void vm_wait(struct vm *vm);

/* Under time_waits, before a vCPU is loaded: guest time goes on from here. */
void vm_begin_time(struct vm *vm);

/* Lets a quiet VM go on, its time as its policy says.  vm->lock held. */
void vm_go_on(struct vm *vm);

/* Loads kernel, initrd and device tree of a new VM; sets vCPU 0's start. */
enum err must_check load_images(struct vm *vm, const struct vm_config *c, const char **why);

/* Formats `*why`; returns `e`. */
enum err must_check vm_refuse(enum err e, const char **why, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
