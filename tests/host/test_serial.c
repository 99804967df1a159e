/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver of the machine's virtio console against a device that the test plays: one that
 * does as it should, and one that says whatever it likes.
 */
#include "unit.h"
#include "arch/io.h"
#include "drv/irq.h"
#include "drv/machine.h"
#include "fake_arch/fake.h"
#include "mm/frame.h"

/* Its state is static, and each test begins with none. */
#include "drv/serial.c"

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

static void add_port(u32 port, const char *name)
{
	assert_true(control(port, 1, 0, ""));
	serial_poll();
	expect_control(port, 3, 1);
	assert_null(serial_name(port));
	assert_true(control(port, 7, 1, name));
	serial_poll();
	assert_string_equal(serial_name(port), name);
}

/* A machine with the device, driver started. */
static void bring_up(void)
{
	u8 m[4096];

	fake_machine(64, 2);
	memset(&serial, 0, sizeof(serial));
	serial_init();
	if (!dev.handler)
		return;
	assert_int_equal(dev.takes, BIT(32) | BIT(1));
	assert_int_equal(dev.status, 15);
	assert_int_equal(take(3, m), 8);
	assert_false(serial_has_work());
}

static int fresh(void **state)
{
	(void)state;
	memset(&dev, 0, sizeof(dev));
	memset(&machine_info, 0, sizeof(machine_info));
	dev.version = 2;
	dev.id = VIRTIO_ID_CONSOLE;
	dev.max_ports = 16;
	dev.queue_max = 128;
	dev.offers = UINT64_MAX;
	machine_info.n_virtio = N_SLOTS;
	for (u32 i = 0; i < N_SLOTS; i++)
		machine_info.virtio[i] = (struct virtio_slot){ .base = HPA(BASE + i * SLOT_LEN),
			                                       .len = SLOT_LEN,
			                                       .irq = IRQ };
	machine_info.plic_base = HPA(0xc000000);
	machine_info.plic_n_sources = 32;
	return 0;
}

static void test_no_device(void **state)
{
	u32 len;

	fresh(state);
	dev.id = 1;
	bring_up();
	assert_null(dev.handler);
	assert_false(serial_has_work());
	assert_int_equal(serial_deadline(), TIME_NEVER);
	serial_poll();
	assert_null(serial_name(1));
	assert_null(serial_peek(1, &len));
	assert_null(serial_room(1, &len));
	assert_false(serial_take_end(1) || serial_has_peer(1) || serial_is_open(1));
	serial_flush(1);
}

/* Each is left alone, and told so where there is somebody to tell. */
static void test_useless_devices(void **state)
{
	fresh(state);
	dev.version = 1;
	bring_up();
	assert_null(dev.handler);
	assert_int_equal(dev.status, 0);
	fresh(state);
	dev.offers = BIT(32);
	bring_up();
	assert_int_equal(dev.status, 128);
	fresh(state);
	dev.offers = BIT(1);
	bring_up();
	assert_int_equal(dev.status, 128);
	fresh(state);
	dev.queue_max = 8;
	bring_up();
	assert_int_equal(dev.status, 128);
	assert_null(serial_name(0));
}

static void test_ports(void **state)
{
	u8 bytes[4096];
	u32 len, id;

	(void)state;
	bring_up();
	assert_true(control(16, 1, 0, "")); /* more than we have */
	serial_poll();
	assert_int_equal(take(3, bytes), -1);
	assert_true(control(4, 7, 1, "early")); /* of a port that is not there */
	serial_poll();
	assert_null(serial_name(4));
	add_port(3, "pando.control.0");
	assert_false(give(IN(3), "x", 1)); /* not open: no buffers */
	assert_int_equal(serial_open(3, 4), ERR_OK);
	expect_control(3, 6, 1);
	assert_int_equal(serial_open(3, 4), ERR_STATE);
	assert_false(serial_has_peer(3));
	assert_true(control(3, 6, 1, ""));
	assert_true(serial_has_work());
	serial_poll();
	assert_false(serial_has_work());
	assert_true(serial_has_peer(3));
	assert_true(control(3, 6, 0, ""));
	serial_poll();
	assert_true(serial_take_end(3));
	assert_false(serial_take_end(3));
	/* Gone, and back again: the buffers are still there. */
	assert_true(give(IN(3), "left", 4));
	assert_true(control(3, 2, 0, ""));
	serial_poll();
	assert_true(serial_take_end(3));
	assert_null(serial_name(3));
	assert_null(serial_peek(3, &len));
	add_port(3, "another");
	assert_int_equal(serial_open(3, 4), ERR_OK);
	expect_control(3, 6, 1);
	assert_null(serial_peek(3, &len));
	for (u32 i = 0; i < 4; i++)
		assert_non_null(pop(&dev.queue[IN(3)], &id, &len));
	assert_null(pop(&dev.queue[IN(3)], &id, &len));
}

static void test_long_names(void **state)
{
	static const u8 long_message[64] = "\2\0\0\0\7\0\0\0name";
	char name[57];

	(void)state;
	bring_up();
	memset(name, 'n', sizeof(name));
	name[56] = 0;
	assert_true(control(1, 1, 0, ""));
	assert_true(control(1, 7, 1, name)); /* as long as a message can be */
	serial_poll();
	assert_int_equal(strlen(serial_name(1)), SERIAL_NAME_LEN);
	/* A message that says that it is longer than its buffer, and ones that are too short. */
	assert_true(control(2, 1, 0, ""));
	assert_true(give(2, long_message, 5000));
	assert_true(give(2, "\1\0\0\0\2\0\0", 7));
	assert_true(give(2, "", 0));
	serial_poll();
	assert_string_equal(serial_name(2), "name");
	assert_non_null(serial_name(1));
}

static void open_port_1(void)
{
	bring_up();
	add_port(1, "p");
	assert_int_equal(serial_open(1, 4), ERR_OK);
	expect_control(1, 6, 1);
}

static void test_bytes_in(void **state)
{
	const u8 *bytes;
	u32 len;

	(void)state;
	open_port_1();
	for (u32 round = 0; round < 100; round++) {
		assert_true(give(IN(1), "abc", 3));
		assert_true(give(IN(1), "", 0));
		assert_true(give(IN(1), "de", 2));
		serial_poll();
		bytes = serial_peek(1, &len);
		assert_int_equal(len, 3);
		assert_memory_equal(bytes, "abc", 3);
		serial_consume(1, 1);
		bytes = serial_peek(1, &len);
		assert_int_equal(len, 2);
		assert_memory_equal(bytes, "bc", 2);
		serial_consume(1, 2);
		bytes = serial_peek(1, &len);
		assert_int_equal(len, 2);
		assert_memory_equal(bytes, "de", 2);
		serial_consume(1, 2);
		assert_null(serial_peek(1, &len));
	}
}

/* All buffers are full and nobody reads: the device finds none, and nothing is lost. */
static void test_nobody_reads(void **state)
{
	u32 n = 0, len;

	(void)state;
	open_port_1();
	while (give(IN(1), "0123456789", 10))
		n++;
	assert_int_equal(n, 4);
	serial_poll();
	assert_false(give(IN(1), "x", 1));
	for (; n > 0; n--) {
		assert_memory_equal(serial_peek(1, &len), "0123456789", 10);
		serial_consume(1, 10);
	}
	assert_true(give(IN(1), "x", 1));
}

static void test_bytes_out(void **state)
{
	u8 bytes[4096];
	u32 len, n = 0;

	(void)state;
	open_port_1();
	memcpy(serial_room(1, &len), "hello", 5);
	assert_int_equal(len, PAGE_SIZE);
	serial_fill(1, 5);
	assert_int_equal(take(OUT(1), bytes), -1);
	serial_flush(1);
	serial_flush(1);
	assert_int_equal(take(OUT(1), bytes), 5);
	assert_memory_equal(bytes, "hello", 5);
	assert_int_equal(take(OUT(1), bytes), -1);
	/* The other end does not read. */
	for (; serial_room(1, &len); n++)
		serial_fill(1, len);
	assert_int_equal(n, 4);
	assert_int_equal(avail_of(&dev.queue[OUT(1)])->flags, 0); /* tell us */
	assert_int_equal(take(OUT(1), bytes), PAGE_SIZE);
	assert_non_null(serial_room(1, &len));
	assert_int_equal(avail_of(&dev.queue[OUT(1)])->flags, 1);
}

/* The next one's bytes come behind the end of the one before. */
static void test_end_comes_first(void **state)
{
	u32 len;

	(void)state;
	open_port_1();
	assert_true(give(IN(1), "old", 3));
	serial_poll();
	assert_false(serial_take_end(1));
	assert_true(give(IN(1), "old", 3));
	assert_true(control(1, 6, 0, ""));
	assert_true(control(1, 6, 1, ""));
	assert_true(give(IN(1), "new", 3));
	serial_poll();
	assert_true(serial_take_end(1));
	assert_true(serial_has_peer(1));
	while (serial_peek(1, &len))
		serial_consume(1, len);
	assert_true(give(IN(1), "new", 3));
	serial_poll();
	assert_false(serial_take_end(1));
	assert_memory_equal(serial_peek(1, &len), "new", 3);
}

/* What it gives back it must have had, once, and no fuller than it can be. */
static void test_lies(void **state)
{
	u32 lies[] = { 4, 15, 16, 1000, UINT32_MAX }, len, id;

	for (u32 i = 0; i < ARRAY_LEN(lies); i++) {
		fresh(state);
		open_port_1();
		push(&dev.queue[IN(1)], lies[i], 3);
		serial_poll();
		assert_null(serial_peek(1, &len));
		assert_true(serial.port[1].in.is_broken);
		assert_non_null(serial_room(1, &len)); /* the other way still works */
	}
	fresh(state);
	open_port_1();
	assert_true(give(IN(1), "abc", 3));
	push(&dev.queue[IN(1)], 0, 3); /* the same one again */
	serial_poll();
	assert_true(serial.port[1].in.is_broken);
	assert_memory_equal(serial_peek(1, &len), "abc", 3);
	fresh(state);
	open_port_1();
	assert_non_null(pop(&dev.queue[IN(1)], &id, &len));
	push(&dev.queue[IN(1)], id, PAGE_SIZE + 1);
	serial_poll();
	assert_true(serial.port[1].in.is_broken);
	assert_null(serial_peek(1, &len));
	fresh(state);
	open_port_1();
	dev.queue[IN(1)].idx = 30000; /* far ahead */
	used_of(&dev.queue[IN(1)])->idx = 30000;
	serial_poll();
	serial_poll();
	assert_true(serial.port[1].in.is_broken || serial.port[1].n_come <= 4);
}

static void nobody(void *arg)
{
	(void)arg;
}

/* Without an interrupt the rings themselves say that there is something. */
static void test_polled(void **state)
{
	u32 len;

	(void)state;
	machine_info.plic_base = HPA(0);
	fake_machine(64, 2);
	memset(&serial, 0, sizeof(serial));
	serial_init();
	assert_null(dev.handler);
	assert_int_not_equal(serial_deadline(), TIME_NEVER);
	assert_false(serial_has_work());
	dev.handler = nobody;
	assert_true(control(1, 1, 0, ""));
	assert_true(serial_has_work());
	serial_poll();
	assert_false(serial_has_work());
	assert_true(control(1, 7, 0, "p"));
	serial_poll();
	assert_int_equal(serial_open(1, 2), ERR_OK);
	assert_true(give(IN(1), "abc", 3));
	assert_true(serial_has_work());
	serial_poll();
	assert_memory_equal(serial_peek(1, &len), "abc", 3);
}

static void test_no_memory(void **state)
{
	for (u32 n = 1; n < 20; n++) {
		fresh(state);
		bring_up();
		add_port(1, "p");
		frame_fail_after(n);
		if (serial_open(1, 4) == ERR_OK)
			assert_in_range(n, 9, 20);
		else
			assert_in_range(n, 1, 8);
		frame_fail_after(0);
	}
}

/* Random bytes in every ring that the device may write, and in what it fills. */
static void test_hostile(void **state)
{
	fake_seed(21);
	for (u32 round = 0; round < 300; round++) {
		fresh(state);
		open_port_1();
		for (u32 step = 0; step < 200; step++) {
			struct queue *q = &dev.queue[fake_random() % 8];
			u32 len, port = (u32)(fake_random() % 4), id;
			u8 *at;

			switch (fake_random() % 8) {
			case 0:
				push(q, (u32)(fake_random() % 20), (u32)(fake_random() % 6000));
				break;
			case 1: used_of(q)->idx = q->idx = (u16)(q->idx + fake_random() % 4); break;
			case 2:
				at = pop(q, &id, &len);
				for (u32 i = 0; at && q != &dev.queue[3] && i < u64_min(len, 16);
				     i++)
					at[i] = (u8)(fake_random() % 8);
				if (at)
					push(q, id, (u32)(fake_random() % 80));
				break;
			case 3:
				control(port, (u16)(fake_random() % 9), (u16)(fake_random() % 2),
				        "n");
				break;
			case 4:
				if (serial_peek(port, &len))
					serial_consume(port, (u32)(fake_random() % (len + 1)));
				break;
			case 5:
				at = serial_room(port, &len);
				if (at)
					serial_fill(port, (u32)(fake_random() % (len + 1)));
				break;
			case 6: serial_flush(port); break;
			default:
				if (serial_name(port) && !serial_is_open(port))
					assert_int_equal(serial_open(port, 4), ERR_OK);
				if (serial_take_end(port))
					serial_flush(port);
			}
			serial_poll();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_device),
		cmocka_unit_test(test_useless_devices),
		cmocka_unit_test_setup(test_ports, fresh),
		cmocka_unit_test_setup(test_long_names, fresh),
		cmocka_unit_test_setup(test_bytes_in, fresh),
		cmocka_unit_test_setup(test_nobody_reads, fresh),
		cmocka_unit_test_setup(test_bytes_out, fresh),
		cmocka_unit_test_setup(test_end_comes_first, fresh),
		cmocka_unit_test(test_lies),
		cmocka_unit_test_setup(test_polled, fresh),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
