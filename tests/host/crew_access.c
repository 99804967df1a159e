// SPDX-License-Identifier: BSD-2-Clause
/*
 * What gcc -fsanitize=thread calls for each access of the memory core: a chance for other harts, and a store buffer for
 * atomic stores (crew.h).
 */
#include "crew_access.h"

#include <string.h>
#include "arch/hart.h"
#include "crew_witness.h"

#define BUFFER_LEN  16U
#define ATOMIC_TICK 8U /* where two harts meet: looked at more closely than plain accesses */

struct pending {
	void *at;
	u64 value;
	u32 len;
};

static struct {
	struct pending store[BUFFER_LEN];
	u32 n;
} buffer[HART_MAX];

/* The oldest `n` stores become visible, in order. */
static void drain(u32 hart, u32 n)
{
	for (u32 k = 0; k < n; k++)
		memcpy(buffer[hart].store[k].at, &buffer[hart].store[k].value,
		       buffer[hart].store[k].len);
	buffer[hart].n -= n;
	memmove(buffer[hart].store, buffer[hart].store + n,
	        buffer[hart].n * sizeof(struct pending));
}

void access_drain(u32 hart)
{
	drain(hart, buffer[hart].n);
}

static bool overlaps(const struct pending *p, const void *at, u32 len)
{
	return (const u8 *)p->at < (const u8 *)at + len &&
	       (const u8 *)at < (const u8 *)p->at + p->len;
}

/* A hart sees its own stores. */
static void drain_if_touched(const void *at, u32 len)
{
	u32 hart = crew_self(), n = buffer[hart].n;

	while (n > 0 && !overlaps(&buffer[hart].store[n - 1], at, len))
		n--;
	if (n > 0)
		drain(hart, n);
}

static void plain(const void *at, u32 len)
{
	if (!crew_is_running())
		return;
	drain_if_touched(at, len);
	crew_tick(1);
}

static void before_rmw(void)
{
	if (!crew_is_running())
		return;
	access_drain(crew_self());
	crew_tick(ATOMIC_TICK);
	access_drain(crew_self());
}

static void before_load(const void *at, u32 len, int order)
{
	if (!crew_is_running())
		return;
	if (order == __ATOMIC_SEQ_CST)
		access_drain(crew_self());
	crew_tick(ATOMIC_TICK);
	drain_if_touched(at, len);
}

static void store(void *at, u64 value, u32 len)
{
	u32 hart = crew_self();

	if (!crew_is_running()) {
		memcpy(at, &value, len);
		return;
	}
	crew_tick(ATOMIC_TICK);
	if (buffer[hart].n == BUFFER_LEN)
		drain(hart, 1);
	buffer[hart].store[buffer[hart].n++] = (struct pending){ at, value, len };
	crew_tick(ATOMIC_TICK);
}

static void plain_store(const void *at, u32 len)
{
	plain(at, len);
	if (crew_is_running())
		witness_store(at);
}

#define PLAIN(n)                       \
	void __tsan_read##n(void *at)  \
	{                              \
		plain(at, n);          \
	}                              \
	void __tsan_write##n(void *at) \
	{                              \
		plain_store(at, n);    \
	}

PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_read_range(void *at, long len)
{
	plain(at, (u32)len);
}

void __tsan_write_range(void *at, long len)
{
	plain_store(at, (u32)len);
}

#define RMW(bits, name)                                                                   \
	u##bits __tsan_atomic##bits##_##name(volatile void *at, u##bits value, int order) \
	{                                                                                 \
		(void)order;                                                              \
		before_rmw();                                                             \
		return __atomic_##name((volatile u##bits *)at, value, __ATOMIC_SEQ_CST);  \
	}

#define ATOMIC(bits)                                                                              \
	u##bits __tsan_atomic##bits##_load(const volatile void *at, int order)                    \
	{                                                                                         \
		before_load((const void *)at, bits / 8, order);                                   \
		return *(const volatile u##bits *)at;                                             \
	}                                                                                         \
	void __tsan_atomic##bits##_store(volatile void *at, u##bits value, int order)             \
	{                                                                                         \
		(void)order;                                                                      \
		store((void *)at, value, bits / 8);                                               \
	}                                                                                         \
	u##bits __tsan_atomic##bits##_exchange(volatile void *at, u##bits value, int order)       \
	{                                                                                         \
		(void)order;                                                                      \
		before_rmw();                                                                     \
		return __atomic_exchange_n((volatile u##bits *)at, value, __ATOMIC_SEQ_CST);      \
	}                                                                                         \
	bool __tsan_atomic##bits##_compare_exchange_strong(volatile void *at, void *old,          \
	                                                   u##bits value, int order, int fail)    \
	{                                                                                         \
		(void)order, (void)fail;                                                          \
		before_rmw();                                                                     \
		return __atomic_compare_exchange_n((volatile u##bits *)at, (u##bits *)old, value, \
		                                   false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);    \
	}                                                                                         \
	RMW(bits, fetch_add)                                                                      \
	RMW(bits, fetch_sub)                                                                      \
	RMW(bits, fetch_and)                                                                      \
	RMW(bits, fetch_or)

ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)

void __tsan_atomic_thread_fence(int order)
{
	if (crew_is_running() && order == __ATOMIC_SEQ_CST)
		before_rmw();
}

void __tsan_init(void) {}

void __tsan_func_entry(void *pc)
{
	(void)pc;
}

void __tsan_func_exit(void *pc)
{
	(void)pc;
}
