/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The structs that assembly touches, as byte offsets: struct guest_regs and
 * struct guest_fp (checked against C in guest.c), struct trap_frame (trap.c),
 * struct hart_local (hart.c).  Shared between C and assembly.
 */
#ifndef ARCH_REGS_H
#define ARCH_REGS_H

#define REGS_X(n)    ((n)*8)
#define REGS_SEPC    256
#define REGS_SSTATUS 264
#define REGS_HSTATUS 272
#define REGS_HOST_SP 280

#define FP_F(n) ((n)*8)
#define FP_FCSR 256

/* struct trap_frame: x1 .. x31 at 8 * n */
#define TRAP_FRAME_LEN 256

/* struct hart_local; the first 64 bytes are picolibc's thread-local storage. */
#define HART_RECOVER_CAUSES 64
#define HART_RECOVER_PC     72
#define HART_SPILL_T0       80
#define HART_SPILL_T1       88
#define HART_SPILL_SP       96
#define HART_STACK_TOP      104
#define HART_EMERGENCY_TOP  112
#define HART_ID             120
#define HART_LOCAL_LEN      320

/* Stacks, in bytes.  One slot per hart: guard, stack, guard, emergency stack. */
#define STACK_GUARD_LEN     4096
#define STACK_LEN           (8 * 4096)
#define STACK_EMERGENCY_LEN (2 * 4096)
#define STACK_SLOT_LEN      (2 * STACK_GUARD_LEN + STACK_LEN + STACK_EMERGENCY_LEN)

#endif
