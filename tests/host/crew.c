// SPDX-License-Identifier: BSD-2-Clause
#include "crew.h"

#include <sanitizer/common_interface_defs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include "crew_access.h"
#include "fake.h"

#define CREW_STACK_LEN (256UL << 10)
#define WAITS_MAX      20000U /* without progress: nobody will ever end this wait */

struct sailor {
	ucontext_t context;
	void *fake_stack; /* ASan's */
	u32 n_waits;      /* since it last got on */
	u32 n_asleep;     /* turns that it sits out */
	bool is_done, rests;
};

static struct sailor crew[HART_MAX];
static u8 stack[HART_MAX][CREW_STACK_LEN] __attribute__((aligned(16)));
static ucontext_t shore;
static void *shore_fake_stack;
static const void *shore_stack;
static size_t shore_stack_len;

void (*crew_on_step)(void);

static u32 n_crew, current;
static bool is_at_sea;
static u64 state; /* of the scheduler's own random numbers: the test's do not disturb them */
static s64 quantum;
static void (*task)(u32 hart);

static u64 dice(void)
{
	u64 z = state += 0x9e3779b97f4a7c15UL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebUL;
	return z ^ (z >> 31);
}

void crew_fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "hart %u: ", current);
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	va_end(args);
	abort();
}

/* Short turns, in which two harts go step by step, and long ones, in which one gets far ahead. */
static void new_turn(void)
{
	quantum = (s64)(dice() % (2UL << dice() % 11));
}

static u32 pick(void)
{
	u32 k = (u32)(dice() % n_crew), n_awake = 0;

	for (u32 n = 0; n < n_crew; n++) {
		if (crew[n].n_asleep > 0)
			crew[n].n_asleep--;
		n_awake += !crew[n].is_done && crew[n].n_asleep == 0;
	}
	for (;; k = (k + 1) % n_crew)
		if (!crew[k].is_done && (crew[k].n_asleep == 0 || n_awake == 0))
			return k;
}

static void switch_to(u32 next)
{
	u32 was = current, hart = fake_hart;

	if (next == was)
		return;
	if (dice() % 4)
		access_drain(was);
	current = next;
	__sanitizer_start_switch_fiber(&crew[was].fake_stack, stack[next], CREW_STACK_LEN);
	swapcontext(&crew[was].context, &crew[next].context);
	__sanitizer_finish_switch_fiber(crew[was].fake_stack, NULL, NULL);
	fake_hart = hart;
}

static void yield(void)
{
	if (dice() % 16 == 0)
		crew[current].n_asleep = (u32)(dice() % 64);
	new_turn();
	switch_to(pick());
}

void crew_tick(u32 weight)
{
	if (!is_at_sea)
		return;
	quantum -= weight;
	if (quantum < 0)
		yield();
}

u32 crew_self(void)
{
	return current;
}

bool crew_is_stack(const void *at)
{
	return (const u8 *)at >= stack[0] && (const u8 *)at < stack[HART_MAX - 1] + CREW_STACK_LEN;
}

bool crew_is_running(void)
{
	return is_at_sea;
}

void crew_step(void)
{
	crew_tick(16);
}

static void ordered_step(void)
{
	if (!is_at_sea)
		return;
	access_drain(current);
	if (crew_on_step)
		crew_on_step();
	crew_step();
}

void crew_wait(void)
{
	access_drain(current);
	if (++crew[current].n_waits > WAITS_MAX)
		crew_fail("deadlock: nobody ends this wait");
	yield();
}

void crew_progress(void)
{
	crew[current].n_waits = 0;
}

void crew_rest(bool rests)
{
	crew[current].rests = rests;
}

bool crew_is_alone(void)
{
	for (u32 k = 0; k < n_crew; k++)
		if (k != current && !crew[k].is_done && !crew[k].rests)
			return false;
	return true;
}

static void ashore(void)
{
	is_at_sea = false;
	__sanitizer_start_switch_fiber(NULL, shore_stack, shore_stack_len);
	setcontext(&shore);
}

/* The first function on a hart's stack. */
static void embark(void)
{
	u32 self = current;
	const void *from;
	size_t len;

	__sanitizer_finish_switch_fiber(NULL, &from, &len);
	if (!shore_stack) {
		shore_stack = from;
		shore_stack_len = len;
	}
	fake_hart = self;
	task(self);
	access_drain(self);
	crew[self].is_done = true;
	for (u32 k = 0; k < n_crew; k++)
		if (!crew[k].is_done)
			switch_to(pick());
	ashore();
}

static void muster(u32 k)
{
	crew[k] = (struct sailor){ 0 };
	getcontext(&crew[k].context);
	crew[k].context.uc_stack.ss_sp = stack[k];
	crew[k].context.uc_stack.ss_size = CREW_STACK_LEN;
	makecontext(&crew[k].context, embark, 0);
}

void crew_run(u32 n, void (*fn)(u32 hart), u64 seed)
{
	n_crew = n;
	state = seed;
	task = fn;
	fake_on_step = ordered_step;
	fake_on_blocked = crew_wait;
	for (u32 k = 0; k < n; k++)
		muster(k);
	current = 0;
	shore_stack = NULL;
	new_turn();
	is_at_sea = true;
	__sanitizer_start_switch_fiber(&shore_fake_stack, stack[0], CREW_STACK_LEN);
	swapcontext(&shore, &crew[0].context);
	__sanitizer_finish_switch_fiber(shore_fake_stack, NULL, NULL);
	fake_on_step = NULL;
	fake_on_blocked = NULL;
	fake_hart = 0;
}
