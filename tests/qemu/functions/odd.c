/* SPDX-License-Identifier: BSD-2-Clause */
/* A function for test_linux_functions.py: does what its payload says, "VERB" or "VERB NUMBER". What it does not know it gives back. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int n_calls;

static int overflow(int depth)
{
	volatile char big[4096];

	big[0] = (char)depth;
	return depth < 0 ? 0 : overflow(depth + 1) + big[0];
}

static long identity(unsigned char *out, unsigned long room)
{
	struct utsname names;
	unsigned long word = 0;

	uname(&names);
	if (getrandom(&word, sizeof(word), 0) != sizeof(word))
		return function_fail(out, room, "no random numbers");
	return snprintf((char *)out, room, "%s %ld %lx %d %ld %d", names.nodename, (long)time(NULL),
	                word, rand(), random(), n_calls);
}

void function_cloned(void)
{
	n_calls = 100;
}

static long misbehave(const char *what, long n, unsigned char *out, unsigned long room)
{
	if (strcmp(what, "segv") == 0)
		*(volatile int *)8 = 1;
	if (strcmp(what, "abort") == 0)
		abort();
	if (strcmp(what, "exit") == 0)
		exit((int)n);
	if (strcmp(what, "_exit") == 0)
		_exit((int)n);
	if (strcmp(what, "stack") == 0)
		return overflow(0);
	if (strcmp(what, "hang") == 0)
		for (;;)
			__asm__ volatile("");
	if (strcmp(what, "memory") == 0)
		for (char *at; (at = malloc(1UL << 20)) != NULL;)
			memset(at, 1, 1UL << 20);
	if (strcmp(what, "sleep") == 0)
		for (;;)
			pause();
	if (strcmp(what, "fail") == 0)
		return function_fail(out, room, "no %s, error %ld", "luck", n);
	if (strcmp(what, "long") == 0)
		return n;
	return -2;
}

long handle(const unsigned char *in, unsigned long len, unsigned char *out, unsigned long room)
{
	char verb[16] = "";
	long n = 0;

	n_calls++;
	if (len < 40 && sscanf((const char *)in, "%15s %ld", verb, &n) >= 1) {
		if (strcmp(verb, "identity") == 0)
			return identity(out, room);
		if (strcmp(verb, "fill") == 0) {
			memset(out, 'x', (size_t)n);
			return n;
		}
		n = misbehave(verb, n, out, room);
		if (n != -2)
			return n;
	}
	if (len <= room)
		memcpy(out, in, len);
	return (long)len;
}
