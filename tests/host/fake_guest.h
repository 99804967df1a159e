/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's side of the fake arch: VS CSRs that are loaded and saved for real, a
 * guest that is a function of the test, and VMs made of the real code above.
 */
#ifndef FAKE_GUEST_H
#define FAKE_GUEST_H

#include "arch/guest.h"
#include "fake.h"
#include "vm/vm.h"

/* What guest_fetch() finds; `fake_fetch_faults`: nothing. */
extern u32 fake_insn;
extern bool fake_fetch_faults;

/* What the guest does when it is entered, and why it leaves; default: a kick. */
extern struct guest_exit (*fake_guest)(struct guest_regs *regs);

/* Faults injected so far, and the last one. */
extern u32 fake_n_injected;
extern u64 fake_inject_cause, fake_inject_stval;

/* A machine with `n_harts` and 256 MiB, all floors up to dev, without any VM. */
void fake_boot(u32 n_harts);

/* A VM of 4 MiB with a flat kernel of a few bytes; new, or already running. */
struct vm *fake_vm_new(const char *name, u32 n_vcpus);
struct vm *fake_vm_run(const char *name, u32 n_vcpus);

/* Hart `h` picks and loads a vCPU, or saves and puts it, as the hart loop does. */
struct vcpu *fake_pick(u32 h);
void fake_put_back(u32 h, struct vcpu *v);

#endif
