/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /init of a function in C: handle() is linked to this (function.h).
 *
 * The stack of the calls is the window's upper end, so what every call writes, its stack and its answer, shares one
 * G-stage table. A gap below it makes an overflow a SIGSEGV. A short payload is moved to the stack, and the answer goes to
 * the start of the window at once; with a longer one the answer is written somewhere else, and moved.
 */
#include "function.h"
#include "life.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STACK_LEN (256UL << 10)
#define LIFE_LEN  256UL /* the stack's top stays aligned to 16 */
#define GAP_LEN   (64UL << 10)
#define SHORT_LEN 1023UL

_Static_assert(sizeof(struct life) <= LIFE_LEN, "");

#define PROT_NONE             0L
#define MREMAP_MAYMOVE_FIXED  3L
#define MAP_PRIVATE_ANONYMOUS 0x22L
#define SYS_mremap            216

__attribute__((weak)) extern const char function_sample[];
__attribute__((weak)) void function_warm(void);
__attribute__((weak)) void function_cloned(void);
__attribute__((weak)) void srand(unsigned seed);
__attribute__((weak)) void srandom(unsigned seed);
__attribute__((weak)) void srand48(long seed);

static struct life *life; /* at the top of the stack: what it says changes in each clone */
static u8 *aside;         /* for the answer to a long payload: as much as the window's room */

long function_fail(unsigned char *out, unsigned long out_room, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf((char *)out, out_room, format, args);
	va_end(args);
	if (n <= 0)
		return -1;
	return (u64)n < out_room ? -n : -(long)out_room + 1;
}

/* Random numbers that the C library hands out by seed; those of the kernel are the clone's own already. */
static void seed_again(void)
{
	if (srand)
		srand(life_random(life));
	if (srandom)
		srandom(life_random(life));
	if (srand48)
		srand48((long)life_random(life));
}

static void renewed(void)
{
	seed_again();
	if (function_cloned)
		function_cloned();
}

static void report(long n, u8 *out)
{
	enum status status = n < 0 ? STATUS_FAILED : STATUS_ANSWER;
	u64 len = n < 0 ? -(u64)n : (u64)n;

	if (n >= 0 && len > life->room) {
		life_too_long(life, len, life->room);
		return;
	}
	if (len > life->room)
		len = life->room;
	if (out != life->window)
		memcpy(life->window, out, len);
	life_answer(life, status, len);
}

static void call_long(u64 len)
{
	long n;

	if (len >= life->room) {
		life_too_long(life, len, life->room - 1);
		return;
	}
	life->window[len] = 0;
	life_start(life);
	n = handle(life->window, len, aside, life->room);
	life_end(life);
	report(n, aside);
}

static void call_short(u64 len)
{
	u8 in[SHORT_LEN + 1];
	long n;

	memcpy(in, life->window, len);
	in[len] = 0;
	life_start(life);
	n = handle(in, len, life->window, life->room);
	life_end(life);
	report(n, life->window);
}

static void warm_up(void)
{
	u64 len = function_sample ? strlen(function_sample) : 0;
	u8 in[SHORT_LEN + 1];

	if (function_warm)
		function_warm();
	if (!function_sample)
		return;
	if (len > SHORT_LEN)
		life_crash(life, "function_sample is longer than 1023 bytes");
	memcpy(in, function_sample, len + 1);
	handle(in, len, life->window, life->room);
	memset(life->window, 0, PAGE_LEN);
}

static __attribute__((used)) _Noreturn void serve(void)
{
	int is_new;

	warm_up();
	if (life_freeze(life))
		renewed();
	for (;;) {
		u64 len = life_next(life, &is_new);

		if (is_new)
			renewed();
		if (len <= SHORT_LEN)
			call_short(len);
		else
			call_long(len);
	}
}

static void *map_anonymous(u64 len, long protection)
{
	long at = syscall6(SYS_mmap, 0, (long)len, protection, MAP_PRIVATE_ANONYMOUS, -1, 0);

	if (at < 0 && at > -(long)PAGE_LEN)
		life_crash(life, "no memory for the agent");
	return (void *)at;
}

/* The window's upper end moves away from the rest of it. Its pages are written here, as life_freeze() does with the rest. */
static u8 *move_stack(struct life *l)
{
	u8 *to = (u8 *)map_anonymous(GAP_LEN + STACK_LEN, PROT_NONE) + GAP_LEN;

	l->room -= STACK_LEN;
	if (syscall6(SYS_mremap, (long)(l->window + l->room), STACK_LEN, STACK_LEN,
	             MREMAP_MAYMOVE_FIXED, (long)to, 0) != (long)to)
		life_crash(l, "the stack does not move");
	memset(to, 0, STACK_LEN);
	return to + STACK_LEN;
}

static void exited(void)
{
	life_crash(life, "the function has called exit()");
}

int main(void)
{
	static struct life first;
	u8 *top;

	life = &first;
	life_open(life);
	top = move_stack(life) - LIFE_LEN;
	life = memcpy(top, &first, sizeof(first));
	life_catch(life);
	atexit(exited);
	aside = map_anonymous(life->room, PROT_READ_WRITE);
	memset(aside, 0, life->room);
	__asm__ volatile("mv sp, %0\n"
	                 "tail serve"
	                 :
	                 : "r"(top)
	                 : "memory");
	__builtin_unreachable();
}
