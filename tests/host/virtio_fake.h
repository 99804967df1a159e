/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio console behind registers, played by the test.  Definitions, included once by a test. */
#ifndef VIRTIO_FAKE_H
#define VIRTIO_FAKE_H

#include "unit.h"
#include "arch/io.h"
#include "arch/phys.h"
#include "drv/irq.h"
#include "drv/machine.h"
#include "drv/virtio.h"

#define SLOT_LEN 0x1000UL
#define BASE     0x10001000UL
#define N_SLOTS  3U
#define SLOT     1U /* where the console is */
#define IRQ      7U
#define QUEUES   40U

struct queue {
	u32 n, ready;
	u64 desc, avail, used;
	u16 seen; /* of avail */
	u16 idx;  /* of used */
};

static struct {
	u32 version, id;
	u32 status, max_ports, queue_max;
	u32 feature_sel, queue_sel;
	u64 offers, takes;
	struct queue queue[QUEUES];
	u32 n_notified;
	void (*handler)(void *arg);
	u32 n_acked;
} dev;

struct machine_info machine_info;

void irq_register(u32 irq, void (*handler)(void *arg), void *arg)
{
	assert_int_equal(irq, IRQ);
	assert_null(arg);
	dev.handler = handler;
}

/* ---- the device's registers ---- */

static struct queue *selected(void)
{
	return dev.queue_sel < QUEUES ? &dev.queue[dev.queue_sel] : NULL;
}

u32 io_load32(u64 addr)
{
	u64 offset = addr - BASE - SLOT * SLOT_LEN;

	if (offset >= SLOT_LEN) /* another slot, empty */
		return addr % SLOT_LEN == 0 ? 0x74726976 : addr % SLOT_LEN == 4 ? 1 : 0;
	switch (offset) {
	case 0x000: return 0x74726976;
	case 0x004: return dev.version;
	case 0x008: return dev.id;
	case 0x010: return (u32)(dev.offers >> (dev.feature_sel ? 32 : 0));
	case 0x034: return selected() ? dev.queue_max : 0;
	case 0x044: return selected() ? selected()->ready : 0;
	case 0x060: return 1;
	case 0x070: return dev.status;
	case 0x104: return dev.max_ports;
	default: return 0;
	}
}

static void set_half(u64 *word, u64 offset, u32 value)
{
	u32 shift = offset & 4 ? 32 : 0;

	*word = (*word & ~(0xffffffffUL << shift)) | (u64)value << shift;
}

void io_store32(u64 addr, u32 value)
{
	u64 offset = addr - BASE - SLOT * SLOT_LEN;
	struct queue *q = selected();

	assert_true(offset < SLOT_LEN);
	switch (offset) {
	case 0x014:
	case 0x024: dev.feature_sel = value; break;
	case 0x020: set_half(&dev.takes, dev.feature_sel ? 4 : 0, value); break;
	case 0x030: dev.queue_sel = value; break;
	case 0x038: q->n = value; break;
	case 0x044: q->ready = value; break;
	case 0x050:
		assert_true(value < QUEUES && dev.queue[value].ready);
		dev.n_notified++;
		break;
	case 0x064: dev.n_acked += value; break;
	case 0x070:
		dev.status = value;
		if (value == 0)
			memset(dev.queue, 0, sizeof(dev.queue));
		break;
	case 0x080:
	case 0x084: set_half(&q->desc, offset, value); break;
	case 0x090:
	case 0x094: set_half(&q->avail, offset, value); break;
	case 0x0a0:
	case 0x0a4: set_half(&q->used, offset, value); break;
	default: fail_msg("store to register 0x%lx", offset);
	}
}

/* ---- the device's side of a queue ---- */

static struct virtq_avail *avail_of(struct queue *q)
{
	return hpa_ptr(HPA(q->avail));
}

static struct virtq_used *used_of(struct queue *q)
{
	return hpa_ptr(HPA(q->used));
}

static void push(struct queue *q, u32 id, u32 len)
{
	used_of(q)->ring[q->idx % q->n].id = id;
	used_of(q)->ring[q->idx % q->n].len = len;
	used_of(q)->idx = ++q->idx;
}

/* Takes the next buffer that the driver has lent; NULL: there is none. */
static u8 *pop(struct queue *q, u32 *id, u32 *len)
{
	struct virtq_desc *desc;

	if (!q->ready || avail_of(q)->idx == q->seen)
		return NULL;
	*id = avail_of(q)->ring[q->seen++ % q->n];
	assert_true(*id < q->n);
	desc = (struct virtq_desc *)hpa_ptr(HPA(q->desc)) + *id;
	*len = desc->len;
	return hpa_ptr(HPA(desc->addr));
}

/* Puts bytes into the next buffer of a queue; false: there is none. */
static bool give(u32 queue, const void *bytes, u32 n)
{
	u32 id, len;
	u8 *to = pop(&dev.queue[queue], &id, &len);

	if (!to)
		return false;
	memcpy(to, bytes, u64_min(n, len));
	push(&dev.queue[queue], id, n);
	dev.handler(NULL);
	return true;
}

/* What the driver has sent; its length, or -1. */
static int take(u32 queue, void *bytes)
{
	u32 id, len;
	u8 *from = pop(&dev.queue[queue], &id, &len);

	if (!from)
		return -1;
	memcpy(bytes, from, len);
	push(&dev.queue[queue], id, 0);
	return (int)len;
}

static bool control(u32 port, u16 event, u16 value, const char *name)
{
	u8 m[128];

	memcpy(m, &port, 4);
	memcpy(m + 4, &event, 2);
	memcpy(m + 6, &value, 2);
	memcpy(m + 8, name, strlen(name));
	return give(2, m, 8 + (u32)strlen(name));
}

static void expect_control(u32 port, u16 event, u16 value)
{
	u8 m[4096];
	u32 id;
	u16 half[2];

	assert_int_equal(take(3, m), 8);
	memcpy(&id, m, 4);
	memcpy(half, m + 4, 4);
	assert_int_equal(id, port);
	assert_int_equal(half[0], event);
	assert_int_equal(half[1], value);
}

#define IN(port)  (2 * (port) + 2)
#define OUT(port) (2 * (port) + 3)

#endif
