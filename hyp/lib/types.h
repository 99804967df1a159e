/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers and addresses.
 *
 * A guest-virtual, a guest-physical and a host-physical address are three
 * types, so that a mix-up does not compile; after optimisation they are plain
 * 64-bit registers.  Page numbers do not travel between functions, addresses do.
 */
#ifndef LIB_TYPES_H
#define LIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

typedef struct {
	u64 v;
} gva_t; /* guest-virtual */

typedef struct {
	u64 v;
} gpa_t; /* guest-physical */

typedef struct {
	u64 v;
} hpa_t; /* host-physical */

/* A range of host-physical memory. */
struct mem_range {
	hpa_t base;
	u64 len; /* bytes */
};

#define GVA(x) ((gva_t){ (x) })
#define GPA(x) ((gpa_t){ (x) })
#define HPA(x) ((hpa_t){ (x) })

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1UL << PAGE_SHIFT)
#define BLOCK_SIZE (2UL << 20) /* what one level-1 entry maps */
#define N_ENTRIES  512U        /* entries of a level-0 or level-1 table */

#define BIT(n)                          (1UL << (n))
#define ALIGN_DOWN(x, a)                ((x) & ~((u64)(a)-1))
#define ALIGN_UP(x, a)                  ALIGN_DOWN((x) + (u64)(a)-1, a)
#define IS_ALIGNED(x, a)                (((x) & ((u64)(a)-1)) == 0)
#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Kept out of line, so that the way around it stays short: one that is taken now and then, and one
 * that is taken rarely (and may be slow). */
#define NOINLINE               __attribute__((noinline))
#define ALWAYS_INLINE          inline __attribute__((always_inline))
#define COLD                   __attribute__((noinline, cold))
#define FLATTEN                __attribute__((noinline, flatten)) /* and what it calls is in it */
#define must_check             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Copies or zeroes a small object of whole, aligned words: gcc makes loads and stores of these, where
 * memcpy() and memset() would be calls, as it forgets the alignment of what it is given. */
#define COPY_WORDS(to, from)                                                                       \
	__builtin_memcpy(__builtin_assume_aligned(&(to), 8), __builtin_assume_aligned(&(from), 8), \
	                 sizeof(to))
#define ZERO_WORDS(object) \
	__builtin_memset(__builtin_assume_aligned(&(object), 8), 0, sizeof(object))

/* The same for larger ones, word after word without a loop: two instructions for each that is copied, one for each that
 * is zeroed.  Volatile, or gcc would make calls of them. */
typedef volatile u64 __attribute__((may_alias)) word_in_line_t;

#define FOR_EACH_WORD_IN_LINE(len, i)                            \
	_Static_assert((len) % 8 == 0 && (len) <= 512, "words"); \
	_Pragma("GCC unroll 64") for (u32 i = 0; i < (len) / 8; i++)

#define COPY_WORDS_IN_LINE(to, from)          \
	FOR_EACH_WORD_IN_LINE(sizeof(to), i_) \
	((word_in_line_t *)&(to))[i_] = ((const word_in_line_t *)&(from))[i_]

#define ZERO_WORDS_IN_LINE(first, len)   \
	FOR_EACH_WORD_IN_LINE((len), i_) \
	((word_in_line_t *)(first))[i_] = 0

static inline u64 u64_min(u64 a, u64 b)
{
	return a < b ? a : b;
}

static inline u64 u64_max(u64 a, u64 b)
{
	return a > b ? a : b;
}

/* Does [addr, addr + len) lie inside [base, base + size)?  Never overflows. */
static inline bool range_holds(u64 base, u64 size, u64 addr, u64 len)
{
	return addr >= base && len <= size && addr - base <= size - len;
}

#endif
