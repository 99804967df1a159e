// SPDX-License-Identifier: BSD-2-Clause
/*
 * Calls to the firmware below, by the SBI specification: extension in a7,
 * function in a6, arguments from a0 on, results in a0 and a1.
 */
#include "arch/firmware.h"

#define EXT_LEGACY_PUTCHAR 0x01
#define EXT_BASE           0x10
#define EXT_TIME           0x54494d45
#define EXT_IPI            0x735049
#define EXT_HSM            0x48534d
#define EXT_SRST           0x53525354
#define EXT_DBCN           0x4442434e

#define BASE_GET_SPEC_VERSION 0
#define BASE_PROBE_EXTENSION  3
#define TIME_SET_TIMER        0
#define IPI_SEND              0
#define HSM_HART_START        0
#define SRST_RESET            0
#define SRST_TYPE_SHUTDOWN    0
#define SRST_REASON_NONE      0
#define SRST_REASON_FAILURE   1
#define DBCN_WRITE            0

#define SPEC_V0_2 2

static bool has_dbcn; /* set before the other harts start */

static struct firmware_ret call(u64 ext, u64 fid, u64 arg0, u64 arg1, u64 arg2)
{
	register u64 a0 __asm__("a0") = arg0;
	register u64 a1 __asm__("a1") = arg1;
	register u64 a2 __asm__("a2") = arg2;
	register u64 a6 __asm__("a6") = fid;
	register u64 a7 __asm__("a7") = ext;

	__asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
	return (struct firmware_ret){ .error = (s64)a0, .value = (s64)a1 };
}

static bool has_extension(u64 ext)
{
	struct firmware_ret ret = call(EXT_BASE, BASE_PROBE_EXTENSION, ext, 0, 0);

	return ret.error == 0 && ret.value != 0;
}

enum err firmware_probe(const char **why)
{
	struct firmware_ret version = call(EXT_BASE, BASE_GET_SPEC_VERSION, 0, 0, 0);

	if (version.error != 0 || version.value < SPEC_V0_2) {
		*why = "the firmware offers no SBI of version 0.2 or later";
		return ERR_ABSENT;
	}
	if (!has_extension(EXT_TIME) || !has_extension(EXT_IPI) || !has_extension(EXT_HSM)) {
		*why = "the firmware lacks one of the SBI extensions TIME, IPI and HSM";
		return ERR_ABSENT;
	}
	has_dbcn = has_extension(EXT_DBCN);
	return ERR_OK;
}

s64 firmware_hart_start(u64 id, u64 pc, u64 opaque)
{
	return call(EXT_HSM, HSM_HART_START, id, pc, opaque).error;
}

void firmware_send_ipi(u64 id)
{
	/* Bit 0 of a mask that begins at hart `id`: right for sparse and for large ids. */
	call(EXT_IPI, IPI_SEND, 1, id, 0);
}

void firmware_set_timer(u64 deadline_ticks)
{
	call(EXT_TIME, TIME_SET_TIMER, deadline_ticks, 0, 0);
}

void firmware_shutdown(bool is_failure)
{
	call(EXT_SRST, SRST_RESET, SRST_TYPE_SHUTDOWN,
	     is_failure ? SRST_REASON_FAILURE : SRST_REASON_NONE, 0);
}

void firmware_console_write(const char *text, size_t len)
{
	struct firmware_ret ret;

	while (has_dbcn && len != 0) {
		ret = call(EXT_DBCN, DBCN_WRITE, len, (u64)text, 0);
		if (ret.error != 0)
			break;
		text += ret.value;
		len -= (size_t)ret.value;
	}
	for (; len != 0; text++, len--)
		call(EXT_LEGACY_PUTCHAR, 0, (u8)*text, 0, 0);
}
