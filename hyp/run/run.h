/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hart loop: pick, enter, decode exit, handle.
 */
#ifndef RUN_RUN_H
#define RUN_RUN_H

#include "arch/guest.h"
#include "vm/vcpu.h"

/* What an exit handler decides, and nothing else. */
enum next {
	NEXT_RESUME,  /* back into the guest through the door */
	NEXT_RESCHED, /* another vCPU's turn, or this one waits */
	NEXT_DEAD,    /* the VM is gone or stopped */
};

/*
 * Work of higher floors that the loop calls between guests: in HS-mode, no lock held, no vCPU in
 * this hart.  Several harts may call poll() at once: one works, the others return; what comes up
 * meanwhile is seen by the hart that works, since it looks at deadline() before it sleeps or enters a guest.
 */
struct run_ops {
	void (*poll)(void);    /* control: console input, events; runs commands to their end */
	bool (*wanted)(void);  /* is there something for poll? Cheap, called at every exit */
	u64 (*deadline)(void); /* when to ask again though nothing has happened, host
				* ticks; NULL: never */
};

/* Never returns; every hart ends here. */
_Noreturn void run_hart(const struct run_ops *ops);

/* One exit, from the CSRs in `x`; v is loaded in this hart. */
enum next must_check exit_handle(struct vcpu *v, const struct guest_exit *x);

/* Back into the guest, through its trap vector. */
enum next must_check exit_inject(struct vcpu *v, u64 cause, u64 stval);

/* A call or device access has been served: may the vCPU go on at once? */
enum next must_check exit_after_service(const struct vcpu *v);

/* The instruction at the guest's sepc.  False: the fetch faulted, retry the guest. */
bool must_check exit_fetch(struct vcpu *v, u32 *insn);

/* Guest page fault: mm's, or an MMIO access to emulate, or an access fault to inject. */
enum next must_check fault_handle(struct vcpu *v, const struct guest_exit *x);

/* The GPA of a guest page fault (spec: htval is GPA >> 2; its low two bits come from stval, except
 * on implicit accesses to guest PTEs, htinst 0x3000 or 0x3020). */
gpa_t fault_gpa(const struct guest_exit *x);

#endif
