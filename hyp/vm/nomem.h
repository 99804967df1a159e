/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens when a guest's store finds no frame: by the VM's policy it waits
 * (HOLD_NOMEM) and goes on by itself when frames return, or it is killed.  And when
 * no VM can move because all that could wait for memory: one of them is killed.
 */
#ifndef VM_NOMEM_H
#define VM_NOMEM_H

#include "vm/vcpu.h"

void nomem_init(void);

/* The running vCPU found no frame.  True: it is held, and repeats what it did when it is woken.  False: its VM is being
 * killed (VM_EV_OFF, VM_EV_KILL). */
bool nomem_wait(struct vcpu *v);

/* The same vCPU is stopped, or overwritten, and waits no more. */
void nomem_forget(struct vcpu *v);

/* Wakes those who wait for what can be had now.  From the hart loop, with no lock held; cheap when nobody waits. */
void nomem_poll(void);

/* For control, now and then from nomem_deadline() (host ticks) on: the VM to be killed because nothing can move, with a
 * reference; NULL: none.  nomem_kill() does it. */
struct vm *nomem_victim(void);
u64 nomem_deadline(void);

/* Stops the VM with a reason; control ends it when it takes the event. */
void nomem_kill(struct vm *vm, const char *reason);

#endif
