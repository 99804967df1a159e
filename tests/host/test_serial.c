/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver of the machine's virtio console against a device that the test plays: one that
 * does as it should, and one that says whatever it likes.
 */
#include "virtio_fake.h"
#include "fake_arch/fake.h"
#include "mm/frame.h"

/* Its state is static, and each test begins with none. */
#include "drv/serial.c"

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
	/* Gone, and back again: the buffers are still there, and nothing of the earlier life in them. */
	assert_true(give(IN(3), "left", 4));
	memcpy(serial_room(3, &len), "unsent", 6);
	serial_fill(3, 6);
	assert_true(control(3, 2, 0, ""));
	serial_poll();
	assert_true(serial_take_end(3));
	assert_null(serial_name(3));
	assert_null(serial_peek(3, &len));
	add_port(3, "another");
	assert_int_equal(serial_open(3, 4), ERR_OK);
	expect_control(3, 6, 1);
	assert_null(serial_peek(3, &len));
	serial_flush(3);
	assert_null(pop(&dev.queue[OUT(3)], &id, &len));
	assert_non_null(serial_room(3, &len));
	assert_int_equal(len, PAGE_SIZE);
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
