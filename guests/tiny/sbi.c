/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SBI as a table of promises: what probe says and what a call says agree, nonsense gets the error that the spec
 * names, no length or address of a guest does harm, and a call changes a0 and a1 alone.
 */
#include "guest.h"
#include <string.h>

const char guest_name[] = "sbi";

#define HOLE     0x0a000000UL
#define EID_PMU  0x504d55UL
#define EID_SUSP 0x53555350UL
#define EID_NACL 0x4e41434cUL
#define EID_STA  0x535441UL
#define EID_CPPC 0x43505043UL

static char text[PAGE] __attribute__((aligned(4096)));

static void expect(const char *what, struct sbi_ret r, long error)
{
	check(r.error == error, "%s: error %ld, not %ld", what, r.error, error);
}

static void test_base(void)
{
	static const u64 must[] = { EID_BASE, EID_TIME, EID_IPI, EID_RFENCE, EID_HSM, EID_SRST };
	static const u64 never[] = { 0x0a000000, 0x09000000, 0x12345678, UINT64_MAX,
		                     1UL << 32 | EID_BASE };
	struct sbi_ret r = sbi(EID_BASE, 0, 0, 0, 0, 0, 0);
	check(r.error == SBI_OK && r.value >= 1UL << 24 && r.value >> 31 == 0, "spec version 0x%lx",
	      r.value);
	for (u64 fid = 0; fid < 7; fid++)
		expect("BASE", sbi(EID_BASE, fid, EID_BASE, 0, 0, 0, 0), SBI_OK);
	expect("BASE, function 7", sbi(EID_BASE, 7, 0, 0, 0, 0, 0), SBI_NOT_SUPPORTED);
	expect("BASE, function -1", sbi(EID_BASE, UINT64_MAX, 0, 0, 0, 0, 0), SBI_NOT_SUPPORTED);
	for (u32 i = 0; i < sizeof must / sizeof must[0]; i++)
		check(sbi_has(must[i]), "extension 0x%lx is missing", must[i]);
	for (u32 i = 0; i < sizeof never / sizeof never[0]; i++) {
		if (never[i] <= 0xffffffff) /* a probe may take 32 bits of it */
			check(!sbi_has(never[i]), "probe finds extension 0x%lx", never[i]);
		if (under_pando() || never[i] <= 0xffffffff)
			expect("unknown extension", sbi(never[i], 0, 0, 0, 0, 0, 0),
			       SBI_NOT_SUPPORTED);
	}
}

/* What is not there says so, whatever the function; an unknown function of what is there as well. */
static void test_agreement(void)
{
	static const u64 some[] = { EID_TIME, EID_IPI,  EID_RFENCE, EID_HSM, EID_SRST, EID_DBCN,
		                    EID_PMU,  EID_SUSP, EID_NACL,   EID_STA, EID_CPPC };
	for (u32 i = 0; i < sizeof some / sizeof some[0]; i++)
		expect("function 0x7fff", sbi(some[i], 0x7fff, 0, 0, 0, 0, 0), SBI_NOT_SUPPORTED);
	for (u32 i = 6; i < sizeof some / sizeof some[0]; i++)
		if (!sbi_has(some[i]))
			for (u64 fid = 0; fid < 4; fid++)
				expect("absent extension", sbi(some[i], fid, 0, 0, 0, 0, 0),
				       SBI_NOT_SUPPORTED);
}

static void test_reset(void)
{
	expect("reset of a reserved type", sbi(EID_SRST, 0, 3, 0, 0, 0, 0), SBI_INVALID_PARAM);
	expect("reset of type -1", sbi(EID_SRST, 0, 0xefffffff, 0, 0, 0, 0), SBI_INVALID_PARAM);
	expect("reset for a reserved reason", sbi(EID_SRST, 0, 0, 0xdfffffff, 0, 0, 0),
	       SBI_INVALID_PARAM);
}

/* "dbcn ..." must come out whole: tests look for it. */
static void test_console(void)
{
	u64 end = machine.ram_base + machine.ram_len;
	const struct {
		const char *what;
		u64 len, low, high;
	} bad[] = {
		{ "a hole", 10, HOLE, 0 },
		{ "a device", 1, 0x10000000, 0 },
		{ "a high half", 10, (u64)text, 1 },
		{ "a high half of -1", 10, (u64)text, UINT64_MAX },
		{ "2^40 bytes", 1UL << 40, (u64)text, 0 },
		{ "2^64 - 1 bytes", UINT64_MAX, (u64)text, 0 },
		{ "a wrap", 1UL << 63, 1UL << 63, 0 },
		{ "the end of RAM", 16, end - 8, 0 },
		{ "what lies before RAM", 16, machine.ram_base - 8, 0 },
		{ "address -1", 2, UINT64_MAX, 0 },
	};
	for (u32 i = 0; under_pando() && i < sizeof bad / sizeof bad[0]; i++)
		for (u64 fid = 0; fid < 2; fid++) {
			struct sbi_ret r =
				sbi(EID_DBCN, fid, bad[i].len, bad[i].low, bad[i].high, 0, 0);
			check(r.error == SBI_INVALID_PARAM || r.error == SBI_FAILED,
			      "DBCN %lu with %s: error %ld, %lu bytes", fid, bad[i].what, r.error,
			      r.value);
		}
	strcpy(text, "dbcn wrote this line\n");
	for (u64 at = 0; at < strlen(text);) {
		struct sbi_ret r = sbi(EID_DBCN, 0, strlen(text) - at, (u64)text + at, 0, 0, 0);
		check(r.error == SBI_OK && r.value > 0 && r.value <= strlen(text) - at,
		      "DBCN write: %ld, %lu", r.error, r.value);
		at += r.value;
	}
	struct sbi_ret r = sbi(EID_DBCN, 0, 0, (u64)text, 0, 0, 0);
	check(r.error == SBI_OK && r.value == 0, "DBCN write of nothing: %ld, %lu", r.error,
	      r.value);
	r = sbi(EID_DBCN, 1, 16, (u64)text, 0, 0, 0);
	check(r.error == SBI_OK && r.value == 0, "DBCN read with nothing typed: %ld, %lu", r.error,
	      r.value);
	for (const char *c = "dbcn wrote this byte by byte\n"; *c; c++)
		expect("DBCN write byte", sbi(EID_DBCN, 2, (u64)*c, 0, 0, 0, 0), SBI_OK);
}

/* Legacy calls answer in a0 alone. */
static void test_legacy(void)
{
	for (const char *c = "legacy putchar\n"; *c; c++) {
		struct sbi_ret r = sbi(1, 0, (u64)*c, 0x5555, 0, 0, 0);
		check(r.error == 0 && r.value == 0x5555, "legacy putchar: a0 = %ld, a1 = 0x%lx",
		      r.error, r.value);
	}
	struct sbi_ret r = sbi(2, 0, 0, 0x5555, 0, 0, 0);
	check(r.error == -1 && r.value == 0x5555, "legacy getchar: a0 = %ld, a1 = 0x%lx", r.error,
	      r.value);
}

/* All registers but a0 and a1 survive. */
static void test_registers(void)
{
	u64 differ;
	__asm__ volatile(
		"li t0, 1\n li t1, 2\n li t2, 3\n li t3, 4\n li t4, 5\n li t5, 6\n li t6, 7\n"
		"li a2, 8\n li a3, 9\n li a4, 10\n li a5, 11\n li a6, 3\n li a7, 0x10\n li a0, 0x10\n"
		"li s2, 12\n li s11, 13\n ecall\n"
		"addi t0, t0, -1\n addi t1, t1, -2\n addi t2, t2, -3\n addi t3, t3, -4\n"
		"addi t4, t4, -5\n addi t5, t5, -6\n addi t6, t6, -7\n addi a2, a2, -8\n"
		"addi a3, a3, -9\n addi a4, a4, -10\n addi a5, a5, -11\n addi a6, a6, -3\n"
		"addi a7, a7, -0x10\n addi s2, s2, -12\n addi s11, s11, -13\n"
		"or t0, t0, t1\n or t0, t0, t2\n or t0, t0, t3\n or t0, t0, t4\n or t0, t0, t5\n"
		"or t0, t0, t6\n or t0, t0, a2\n or t0, t0, a3\n or t0, t0, a4\n or t0, t0, a5\n"
		"or t0, t0, a6\n or t0, t0, a7\n or t0, t0, s2\n or %0, t0, s11\n"
		: "=r"(differ)
		:
		: "t0", "t1", "t2", "t3", "t4", "t5", "t6", "a0", "a1", "a2", "a3", "a4", "a5",
		  "a6", "a7", "s2", "s11", "memory");
	check(differ == 0, "a call changes other registers than a0 and a1");
}

void guest_main(void)
{
	test_base();
	test_agreement();
	test_registers();
	test_legacy();
	if (under_pando())
		test_reset();
	if (sbi_has(EID_DBCN))
		test_console();
	else
		check(!under_pando(), "no debug console");
}
