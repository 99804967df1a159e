/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio over MMIO, modern only.  Section numbers are those of the Virtual I/O
 * Device specification, version 1.2.
 *
 * Barriers: a descriptor and its place in the ring before the index that shows it to the
 * device; the index before the notification; the device's index before the entries that
 * it covers (2.7.13, 2.7.14).
 */
#include "drv/virtio.h"

#include "arch/io.h"
#include "arch/log.h"
#include "arch/phys.h"
#include "drv/irq.h"
#include "drv/machine.h"
#include "lib/assert.h"

/* 4.2.2 */
enum {
	REG_MAGIC = 0x000,
	REG_VERSION = 0x004,
	REG_DEVICE_ID = 0x008,
	REG_DEVICE_FEATURES = 0x010,
	REG_DEVICE_FEATURES_SEL = 0x014,
	REG_DRIVER_FEATURES = 0x020,
	REG_DRIVER_FEATURES_SEL = 0x024,
	REG_QUEUE_SEL = 0x030,
	REG_QUEUE_NUM_MAX = 0x034,
	REG_QUEUE_NUM = 0x038,
	REG_QUEUE_READY = 0x044,
	REG_QUEUE_NOTIFY = 0x050,
	REG_INTERRUPT_STATUS = 0x060,
	REG_INTERRUPT_ACK = 0x064,
	REG_STATUS = 0x070,
	REG_QUEUE_DESC = 0x080, /* each of these three: low word, high word */
	REG_QUEUE_DRIVER = 0x090,
	REG_QUEUE_DEVICE = 0x0a0,
	REG_CONFIG = 0x100,
};

#define MAGIC          0x74726976U
#define VERSION_MODERN 2U

#define STATUS_ACKNOWLEDGE 1U
#define STATUS_DRIVER      2U
#define STATUS_DRIVER_OK   4U
#define STATUS_FEATURES_OK 8U
#define STATUS_FAILED      128U

#define FEATURE_VERSION_1 BIT(32)

#define DESC_DEVICE_WRITES 2U
#define AVAIL_NO_INTERRUPT 1U
#define USED_NO_NOTIFY     1U

#define RESET_TRIES 1000000U

static u32 reg(const struct virtio *d, u32 offset)
{
	return io_load32(d->base + offset);
}

static void set(const struct virtio *d, u32 offset, u32 value)
{
	io_store32(d->base + offset, value);
}

static void set_pair(const struct virtio *d, u32 offset, const volatile void *memory)
{
	u64 addr = ptr_hpa((const void *)memory).v;

	set(d, offset, (u32)addr);
	set(d, offset + 4, (u32)(addr >> 32));
}

/* 2.1.2: a reset is over when the status reads zero. */
static bool reset(const struct virtio *d)
{
	set(d, REG_STATUS, 0);
	for (u32 i = 0; i < RESET_TRIES; i++)
		if (reg(d, REG_STATUS) == 0)
			return true;
	return false;
}

bool virtio_find(u32 device_id, struct virtio *d)
{
	for (u32 i = 0; i < machine_info.n_virtio; i++) {
		*d = (struct virtio){ machine_info.virtio[i].base.v, machine_info.virtio[i].irq };
		if (reg(d, REG_MAGIC) != MAGIC || reg(d, REG_DEVICE_ID) != device_id)
			continue;
		if (reg(d, REG_VERSION) != VERSION_MODERN)
			log_warn("virtio: the device at 0x%lx is a legacy one, not used "
			         "(-global virtio-mmio.force-legacy=false)",
			         d->base);
		else if (reset(d))
			return true;
	}
	return false;
}

/* 3.1.1 */
enum err virtio_begin(const struct virtio *d, u64 wanted)
{
	u64 offered;

	wanted |= FEATURE_VERSION_1;
	set(d, REG_STATUS, STATUS_ACKNOWLEDGE);
	set(d, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
	set(d, REG_DEVICE_FEATURES_SEL, 1);
	offered = (u64)reg(d, REG_DEVICE_FEATURES) << 32;
	set(d, REG_DEVICE_FEATURES_SEL, 0);
	offered |= reg(d, REG_DEVICE_FEATURES);
	if ((offered & wanted) != wanted)
		return ERR_ABSENT;
	set(d, REG_DRIVER_FEATURES_SEL, 1);
	set(d, REG_DRIVER_FEATURES, (u32)(wanted >> 32));
	set(d, REG_DRIVER_FEATURES_SEL, 0);
	set(d, REG_DRIVER_FEATURES, (u32)wanted);
	set(d, REG_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK);
	return reg(d, REG_STATUS) & STATUS_FEATURES_OK ? ERR_OK : ERR_IO;
}

/* 4.2.3.2 */
enum err virtq_init(struct virtq *q, const struct virtio *d, u16 index, u16 n, void *memory)
{
	u8 *at = memory;

	assert(n > 0 && n <= VIRTQ_SLOTS_MAX && (n & (n - 1)) == 0);
	*q = (struct virtq){ .dev = d, .index = index, .n = n };
	q->desc = memory;
	q->avail = (void *)(at + 16UL * n);
	q->used = (void *)(at + ALIGN_UP(16UL * n + 6 + 2UL * n, 4));
	set(d, REG_QUEUE_SEL, index);
	if (reg(d, REG_QUEUE_READY) != 0 || reg(d, REG_QUEUE_NUM_MAX) < n)
		return ERR_ABSENT;
	set(d, REG_QUEUE_NUM, n);
	set_pair(d, REG_QUEUE_DESC, q->desc);
	set_pair(d, REG_QUEUE_DRIVER, q->avail);
	set_pair(d, REG_QUEUE_DEVICE, q->used);
	io_fence(); /* the zeroes in the rings, before the device may look */
	set(d, REG_QUEUE_READY, 1);
	return ERR_OK;
}

void virtio_ready(const struct virtio *d)
{
	set(d, REG_STATUS,
	    STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}

void virtio_give_up(const struct virtio *d)
{
	set(d, REG_STATUS, STATUS_FAILED);
}

u32 virtio_config(const struct virtio *d, u32 offset)
{
	return reg(d, REG_CONFIG + offset);
}

bool virtio_irq(const struct virtio *d, void (*handler)(void *arg), void *arg)
{
	if (machine_info.plic_base.v == 0 || d->irq == 0 || d->irq > machine_info.plic_n_sources)
		return false;
	irq_register(d->irq, handler, arg);
	return true;
}

void virtio_ack(const struct virtio *d)
{
	set(d, REG_INTERRUPT_ACK, reg(d, REG_INTERRUPT_STATUS));
}

void virtq_lend(struct virtq *q, u32 slot, hpa_t buffer, u32 len, bool fills)
{
	assert(slot < q->n && !virtq_holds(q, slot));
	q->desc[slot].addr = buffer.v;
	q->desc[slot].len = len;
	q->desc[slot].flags = fills ? DESC_DEVICE_WRITES : 0;
	q->avail->ring[q->next_avail % q->n] = (u16)slot;
	q->held |= 1U << slot;
	io_fence(); /* the entry, and the buffer's bytes, before the index */
	q->avail->idx = ++q->next_avail;
}

void virtq_notify(struct virtq *q)
{
	io_fence(); /* the index before the look at the device's flag, and before the store */
	if (!q->is_broken && !(q->used->flags & USED_NO_NOTIFY))
		set(q->dev, REG_QUEUE_NOTIFY, q->index);
}

bool virtq_has_used(const struct virtq *q)
{
	return !q->is_broken && q->used->idx != q->next_used;
}

bool virtq_take(struct virtq *q, u32 *slot, u32 *len)
{
	u32 id;

	if (!virtq_has_used(q))
		return false;
	io_fence(); /* the index before the entry and the buffer's bytes */
	id = q->used->ring[q->next_used % q->n].id;
	*len = q->used->ring[q->next_used % q->n].len;
	if (id >= q->n || !virtq_holds(q, id)) {
		q->is_broken = true;
		log_warn(
			"virtio: queue %u gives back what it was not lent; it is not used any more",
			q->index);
		return false;
	}
	q->held &= ~(1U << id);
	q->next_used++;
	*slot = id;
	return true;
}

void virtq_want_interrupt(struct virtq *q, bool on)
{
	q->avail->flags = (u16)(on ? 0 : AVAIL_NO_INTERRUPT);
	io_fence(); /* the flag before the look that follows */
}
