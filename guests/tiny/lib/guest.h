/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every tiny guest stands on. A guest is one C file that defines guest_name and guest_main(); it judges itself:
 * its last line is "PANDO-GUEST name ok" (guest_main returned) or "PANDO-GUEST name FAIL: reason" (fail(), or a trap
 * that nobody expected), then it shuts the machine down. The same source runs on bare QEMU, under its firmware.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define PAGE      4096UL
#define MAX_HARTS 8
#define STACK_LEN 16384UL

/* Supplied by the guest. */
extern const char guest_name[];
void guest_main(void);

/* ---- verdicts and output ---- */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void finish_ok(void);
#define check(cond, ...)                   \
	do {                               \
		if (!(cond))               \
			fail(__VA_ARGS__); \
	} while (0)

/* ---- what the device tree says ---- */
struct machine {
	u64 ram_base, ram_len;
	u64 tree, tree_len; /* where the device tree itself lies */
	u64 n_harts;
	u64 hart_id[MAX_HARTS]; /* by index, boot hart anywhere */
	u64 timebase;           /* ticks per second */
	bool has_sstc;
	u64 mailbox, window, window_len; /* 0: none, so this is not Pando */
	char isa[512];
	char bootargs[512];
};
extern struct machine machine;
extern char image_start[], image_end[];

/* The number after "name=" in the boot arguments, or `otherwise`. */
u64 guest_arg(const char *name, u64 otherwise);
/* Does the isa string hold this multi-letter extension? */
bool has_extension(const char *name);
static inline bool under_pando(void)
{
	return machine.mailbox != 0;
}

/* ---- harts and traps ---- */
#define CAUSE_IRQ (1UL << 63)
enum cause {
	C_FETCH_ALIGN = 0,
	C_FETCH_ACCESS = 1,
	C_ILLEGAL = 2,
	C_BREAK = 3,
	C_LOAD_ALIGN = 4,
	C_LOAD_ACCESS = 5,
	C_STORE_ALIGN = 6,
	C_STORE_ACCESS = 7,
	C_ECALL_U = 8,
	C_ECALL_S = 9,
	C_FETCH_PAGE = 12,
	C_LOAD_PAGE = 13,
	C_STORE_PAGE = 15,
};
enum irq { IRQ_SOFT = 1, IRQ_TIMER = 5, IRQ_EXT = 9 };

struct hart {
	u64 regs[32]; /* at the trap; regs[0] is sepc */
	u64 catch_sp; /* of trap_run */
	u64 trap_sp, stack;
	u64 id;
	/* The last exception caught. */
	u64 cause, epc, tval, status;
	/* Interrupts taken, by number. The handler clears SSIP; it masks the others in sie, unless irq_fn is set and
	 * deals with the interrupt itself. */
	volatile u64 irqs[16];
	void (*irq_fn)(struct hart *h, u64 irq);
	/* Exceptions that nobody catches go here when set; true: resume at regs[0]. */
	bool (*trap_fn)(struct hart *h);
	void (*fn)(void *arg); /* of hart_start */
	void *arg;
};
struct hart *hart_at(u64 id);
static inline struct hart *this_hart(void)
{
	struct hart *h;
	__asm__ volatile("csrr %0, sscratch" : "=r"(h));
	return h;
}

/* Runs fn(arg) in S-mode, or in U-mode; true: a trap ended it (always so in U-mode, with an ecall at best) and
 * cause, epc, tval, status and regs of this hart tell it. */
bool catch_s(void (*fn)(u64), u64 arg);
void catch_u(void (*fn)(u64), u64 arg);
u64 user_stack(void);
/* What to add to an address for U-mode to reach it while paging is on; 0 unless the guest sets it. */
extern u64 user_alias;
/* Fails unless the trap just caught was this one. `status_spp`: 0 from U, 1 from S. */
void expect_trap(const char *what, u64 cause, u64 tval, u64 spp);

/* Starts a hart through HSM at fn(arg), on its own stack; when fn returns the hart stops itself. */
long hart_start(u64 id, void (*fn)(void *), void *arg);
/* Waits until HSM says that the hart is in this state; fails after ten seconds. */
void hart_await(u64 id, long state);
/* An id that is not this hart's, the n-th (from 0); fails when the machine has too few. */
u64 other_hart(u64 n);

/* ---- SBI ---- */
struct sbi_ret {
	long error;
	u64 value;
};
struct sbi_ret sbi(u64 eid, u64 fid, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4);
#define EID_BASE   0x10UL
#define EID_TIME   0x54494d45UL
#define EID_IPI    0x735049UL
#define EID_RFENCE 0x52464e43UL
#define EID_HSM    0x48534dUL
#define EID_SRST   0x53525354UL
#define EID_DBCN   0x4442434eUL
bool sbi_has(u64 eid);
void sbi_set_timer(u64 deadline);
void send_ipi(u64 hart_id);
/* Is this hart's timer interrupt pending? Finds out by taking it, and expects sip to say the same: except with the
 * argument sip=0, for QEMU 7.2, where a guest's sip never shows it. sie.STIE is clear afterwards. */
bool timer_pending(void);
enum {
	SBI_OK = 0,
	SBI_FAILED = -1,
	SBI_NOT_SUPPORTED = -2,
	SBI_INVALID_PARAM = -3,
	SBI_DENIED = -4,
	SBI_INVALID_ADDRESS = -5,
	SBI_ALREADY_AVAILABLE = -6,
	SBI_ALREADY_STARTED = -7,
	SBI_ALREADY_STOPPED = -8
};

/* ---- CSRs, time, memory ---- */
#define csr_read(name)                                                    \
	({                                                                \
		u64 v_;                                                   \
		__asm__ volatile("csrr %0, " #name : "=r"(v_)::"memory"); \
		v_;                                                       \
	})
#define csr_write(name, value) \
	__asm__ volatile("csrw " #name ", %0" ::"rK"((u64)(value)) : "memory")
#define csr_set(name, bits)   __asm__ volatile("csrs " #name ", %0" ::"rK"((u64)(bits)) : "memory")
#define csr_clear(name, bits) __asm__ volatile("csrc " #name ", %0" ::"rK"((u64)(bits)) : "memory")
#define SSTATUS_SIE           (1UL << 1)
#define SSTATUS_SPIE          (1UL << 5)
#define SSTATUS_SPP           (1UL << 8)
#define SSTATUS_FS            (3UL << 13)
#define SSTATUS_SUM           (1UL << 18)

static inline u64 ticks(void)
{
	u64 t;
	__asm__ volatile("rdtime %0" : "=r"(t)::"memory");
	return t;
}
static inline u64 ms(u64 n)
{
	return n * machine.timebase / 1000;
} /* in ticks */
void delay_ms(u64 n);
static inline void wfi(void)
{
	__asm__ volatile("wfi" ::: "memory");
}

static inline void put8(u64 a, u64 v)
{
	*(volatile u8 *)a = (u8)v;
}
static inline void put32(u64 a, u64 v)
{
	*(volatile u32 *)a = (u32)v;
}
static inline void put64(u64 a, u64 v)
{
	*(volatile u64 *)a = v;
}
static inline u8 get8(u64 a)
{
	return *(volatile u8 *)a;
}
static inline u32 get32(u64 a)
{
	return *(volatile u32 *)a;
}
static inline u64 get64(u64 a)
{
	return *(volatile u64 *)a;
}

/* A cheap generator: same seed, same numbers. */
static inline u64 random_next(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}
/* A word that depends on both, never zero. */
static inline u64 pattern(u64 a, u64 b)
{
	u64 x = (a + 1) * 0x9e3779b97f4a7c15UL ^ (b + 1) * 0xc2b2ae3d27d4eb4fUL;
	return (x ^ x >> 29) | 1;
}
/* First page of RAM after the image and the end of RAM that the guest may use as it likes (the device tree and what
 * else the loader put there lie above it). */
u64 free_start(void);
u64 free_end(void);

/* ---- page tables, Sv39 ---- */
enum pte {
	PTE_V = 1,
	PTE_R = 2,
	PTE_W = 4,
	PTE_X = 8,
	PTE_U = 16,
	PTE_G = 32,
	PTE_A = 64,
	PTE_D = 128
};
#define PTE_RWX (PTE_R | PTE_W | PTE_X | PTE_A | PTE_D)
#define PTE_RW  (PTE_R | PTE_W | PTE_A | PTE_D)
u64 *page_table(void); /* an empty table, from a pool of 256 */
/* A root that maps the low 4 GiB one to one for S-mode. */
u64 *page_root(void);
/* Maps one page (level 0) or superpage (level 1, 2); returns its PTE. */
u64 *page_map(u64 *root, u64 va, u64 pa, unsigned level, u64 flags);
void page_enable(const u64 *root, u64 asid); /* with sfence.vma */
static inline void fence_all(void)
{
	__asm__ volatile("sfence.vma" ::: "memory");
}

/* ---- the mailbox ---- */
enum mailbox_reg {
	MB_MAGIC = 0x00,
	MB_VERSION = 0x04,
	MB_READY = 0x08,
	MB_CLONE_ID = 0x0c,
	MB_GENERATION = 0x10,
	MB_NEXT = 0x14,
	MB_DONE = 0x18,
	MB_ENTROPY = 0x1c,
	MB_WINDOW_LEN = 0x20,
	MB_STATUS = 0x28,
	MB_MARK = 0x2c,
	MB_CLOCK = 0x30,
	MB_CLOCK_HIGH = 0x34,
	MB_CLOCK_NS = 0x38,
};
#define MB_MAGIC_VALUE 0x444e4150U
u32 mailbox_get(enum mailbox_reg reg);
void mailbox_put(enum mailbox_reg reg, u32 value);
/* Stores READY and returns the clone's number: whoever comes back is a clone. */
u32 mailbox_ready(void);
/* It is not `end` yet, and nobody has put anything into the window: `give VM TEXT` ends what would go on for long. */
bool goes_on(u64 end);

/* Instructions beyond the one that loads or stores (`value`) at `at`: what Pando did meanwhile. */
u64 access_cost(u64 at, bool is_store, u64 value);

/* An exit of the kind that `round` selects: a call, a sleep of 1 ms, a wait of 5 ms, a device. */
void leave_guest(u64 round);

#endif
