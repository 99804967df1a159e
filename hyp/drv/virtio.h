/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of virtio (Virtual I/O Device 1.2): modern devices behind
 * registers (4.2) and split virtqueues (2.7) whose buffers are one descriptor each.
 *
 * A buffer is known by its slot, a number below the queue's length that is also the number of its
 * descriptor.  What a device says is checked: a slot that it does not have, or more bytes than a
 * buffer holds, breaks the queue, which is not looked at again.
 */
#ifndef DRV_VIRTIO_H
#define DRV_VIRTIO_H

#include "lib/err.h"
#include "lib/types.h"

#define VIRTIO_ID_CONSOLE 3U

#define VIRTQ_SLOTS_MAX 32U
#define VIRTQ_BYTES(n)  ALIGN_UP(16U * (n) + 6U + 2U * (n) + 6U + 8U * (n) + 4U, 64)

struct virtio {
	u64 base; /* of its registers */
	u32 irq;  /* 0: none */
};

struct virtq_desc {
	u64 addr;
	u32 len;
	u16 flags;
	u16 next;
};

struct virtq_avail {
	u16 flags;
	u16 idx;
	u16 ring[];
};

struct virtq_used {
	u16 flags;
	u16 idx;
	struct {
		u32 id;
		u32 len;
	} ring[];
};

struct virtq {
	const struct virtio *dev;
	u16 index; /* among the device's queues */
	u16 n;     /* slots, a power of two */
	volatile struct virtq_desc *desc;
	volatile struct virtq_avail *avail;
	volatile struct virtq_used *used;
	u16 next_avail, next_used; /* free-running */
	u32 held;                  /* bit k: the device has slot k */
	bool is_broken;
};

/* Finds the first modern device with this id and resets it.  A legacy one is named in a log line. */
bool must_check virtio_find(u32 device_id, struct virtio *d);

/* Says that a driver is there and takes `wanted` features, all of which it must have. */
enum err must_check virtio_begin(const struct virtio *d, u64 wanted);

/* Queue `index` gets `n` slots, in VIRTQ_BYTES(n) zeroed bytes, 64-byte aligned. */
enum err must_check virtq_init(struct virtq *q, const struct virtio *d, u16 index, u16 n,
                               void *memory);

/* All queues are there: the device may work. */
void virtio_ready(const struct virtio *d);

/* Nothing comes of it. */
void virtio_give_up(const struct virtio *d);

/* A word of the device's own configuration, `offset` bytes into it. */
u32 virtio_config(const struct virtio *d, u32 offset);

/* `handler` runs on hart 0 at each interrupt of the device, from virtio_ready() on.  False: the device has
 * none that Pando could take; look at its queues instead. */
bool virtio_irq(const struct virtio *d, void (*handler)(void *arg), void *arg);

/* Acknowledges its interrupt. */
void virtio_ack(const struct virtio *d);

/* Lends the device a buffer; `fills`: the device writes, else it reads.  virtq_notify() tells it. */
void virtq_lend(struct virtq *q, u32 slot, hpa_t buffer, u32 len, bool fills);
void virtq_notify(struct virtq *q);

/* Has the device given something back?  A look at memory. */
bool virtq_has_used(const struct virtq *q);

/* Takes one buffer back: its slot, and how many bytes the device has written, which may be more than
 * it holds.  False: there is none. */
bool must_check virtq_take(struct virtq *q, u32 *slot, u32 *len);

/* Whether the device shall interrupt when it gives a buffer back.  Look once more after switching it on. */
void virtq_want_interrupt(struct virtq *q, bool on);

static inline bool virtq_holds(const struct virtq *q, u32 slot)
{
	return q->held >> slot & 1;
}

#endif
