/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's serial port, driven as Linux's 8250 driver does: its probes, its
 * THRE tests, interrupt-driven transmission, reception, loopback; then random
 * accesses.
 */
#include "dev_fake.h"
#include "dev/plic.h"
#include "dev/uart.h"
#include <stdlib.h>
#include <string.h>

#define UART   0x10000000UL
#define N_FUZZ 400000

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static u8 in(u32 reg)
{
	return (u8)fake_get(0, UART + reg, 1);
}

static void out(u32 reg, u8 value)
{
	fake_put(0, UART + reg, 1, value);
}

/* Is the port's line at the PLIC high? */
static bool line(void)
{
	const struct plic *p = device_state(&fake.vm, DEV_PLIC);

	return (p->level[0] >> 10 & 1) != 0;
}

static void type(const char *s)
{
	for (; *s != 0; s++)
		assert_true(uart_input(&fake.vm, *s));
}

static void test_linux_probes(void **state)
{
	(void)state;
	fake_vm(1);
	/* autoconfig(): is it there? */
	out(IER, 0);
	assert_int_equal(in(IER), 0);
	out(IER, 0xff);
	assert_int_equal(in(IER), 0x0f);
	out(IER, 0);
	out(MCR, 0x1a);
	assert_int_equal(in(MSR)&0xf0, 0x90);
	out(MCR, 0x15);
	assert_int_equal(in(MSR)&0xf0, 0x60);
	out(MCR, 0);
	assert_int_equal(in(MSR), 0xb0);
	/* A 16550A: both FIFO bits, no 64-byte FIFO, no EFR. */
	out(LCR, 0);
	out(IIR, 0x21);
	assert_int_equal(in(IIR) >> 5, 6);
	out(IIR, 0x00);
	assert_int_equal(in(IIR), 0x01);
	out(LCR, 0x80);
	out(DATA, 0x34);
	out(IER, 0x12);
	assert_int_equal(in(DATA), 0x34);
	assert_int_equal(in(IER), 0x12);
	out(LCR, 0x03);
	assert_int_equal(in(LCR), 0x03);
	assert_int_equal(in(IER), 0);
	out(SCR, 0xa5);
	assert_int_equal(in(SCR), 0xa5);
	assert_int_equal(fake.n_output, 0);
}

static void test_thre(void **state)
{
	(void)state;
	fake_vm(1);
	/* serial8250_THRE_test(): raised again by enabling it again? */
	for (u32 i = 0; i < 2; i++) {
		out(IER, 0x02);
		assert_true(line());
		assert_int_equal(in(IIR), 0x02);
		assert_false(line());
		assert_int_equal(in(IIR), 0x01);
		out(IER, 0);
	}
	/* Interrupt-driven transmission: each byte raises it, IIR or masking ends it. */
	out(IER, 0x02);
	assert_int_equal(in(IIR), 0x02);
	for (const char *s = "hello"; *s != 0; s++) {
		assert_int_equal(in(LSR), 0x60);
		out(DATA, (u8)*s);
		assert_true(line());
	}
	out(IER, 0);
	assert_false(line());
	assert_int_equal(fake.n_output, 5);
	assert_memory_equal(fake.output, "hello", 5);
}

static void test_polled_output_is_quiet(void **state)
{
	(void)state;
	fake_vm(1);
	for (u32 i = 0; i < 100; i++)
		out(DATA, 'x');
	assert_int_equal(fake.n_posts, 0);
	assert_int_equal(fake.n_output, 100);
}

static void test_receive(void **state)
{
	(void)state;
	fake_vm(1);
	out(IIR, 0x81); /* FIFOs, trigger at 8 */
	out(IER, 0x01);
	assert_int_equal(in(LSR)&1, 0);
	type("abc");
	assert_true(line());
	assert_int_equal(in(IIR), 0xcc); /* fewer than the trigger: timeout */
	type("defgh");
	assert_int_equal(in(IIR), 0xc4);
	for (u32 i = 0; i < 8; i++) {
		assert_int_equal(in(LSR)&1, 1);
		assert_true(line());
		assert_int_equal(in(DATA), 'a' + i);
	}
	assert_false(line());
	assert_int_equal(in(LSR)&1, 0);
	assert_int_equal(in(DATA), 0);
	assert_int_equal(in(IIR), 0xc1);
}

static void test_input_limits(void **state)
{
	(void)state;
	fake_vm(1);
	/* Wraps around the ring a few times. */
	for (u32 round = 0; round < 5; round++) {
		for (u32 i = 0; i < UART_INPUT_LEN; i++)
			assert_true(uart_input(&fake.vm, (char)(round + i)));
		assert_false(uart_input(&fake.vm, 'x'));
		for (u32 i = 0; i < UART_INPUT_LEN - round; i++)
			assert_int_equal(in(DATA), (u8)(round + i));
		while ((in(LSR)&1) != 0)
			in(DATA);
	}
	/* Clearing the FIFO takes its 16 bytes. */
	type("0123456789abcdefghi");
	out(IIR, 0x02);
	assert_int_equal(in(DATA), 'g');
	fake.vm.state = VM_TEMPLATE;
	assert_false(uart_input(&fake.vm, 'x'));
}

/* Firmware's console, while the guest's driver sets the baud rate: what was typed, once, and no register changes. */
static void test_firmware_takes(void **state)
{
	const struct uart *u;

	(void)state;
	fake_vm(1);
	u = device_state(&fake.vm, DEV_UART);
	out(IER, 0x01);
	type("ab");
	out(LCR, 0x80);
	assert_true(uart_has_input(&fake.vm));
	assert_int_equal(uart_take(&fake.vm), 'a');
	assert_true(line());
	assert_true(uart_has_input(&fake.vm));
	assert_int_equal(uart_take(&fake.vm), 'b');
	assert_false(line());
	assert_false(uart_has_input(&fake.vm));
	assert_int_equal(uart_take(&fake.vm), -1);
	assert_int_equal(u->lcr, 0x80);
	assert_int_equal(in(DATA), 12);
}

static void test_loopback(void **state)
{
	(void)state;
	fake_vm(1);
	out(IIR, 0x01);
	out(IER, 0x04);
	out(MCR, 0x10);
	assert_false(uart_input(&fake.vm, 'x'));
	/* Linux's size_fifo(): how many come back? */
	for (u32 i = 0; i < 256; i++)
		out(DATA, (u8)i);
	assert_true(line());
	assert_int_equal(in(IIR), 0xc6);
	assert_int_equal(in(LSR), 0x63);
	assert_false(line());
	assert_int_equal(in(LSR), 0x61);
	for (u32 i = 0; i < 16; i++)
		assert_int_equal(in(DATA), i);
	assert_int_equal(in(LSR), 0x60);
	assert_int_equal(fake.n_output, 0);
}

static void test_widths(void **state)
{
	u64 value;

	(void)state;
	fake_vm(1);
	fake_put(0, UART + SCR, 1, 0x1ff);
	assert_int_equal(fake_get(0, UART + SCR, 1), 0xff);
	fake_put(0, UART, 4, 0x41424344);
	fake_put(0, UART, 8, 0x45);
	assert_int_equal(fake.n_output, 2);
	assert_memory_equal(fake.output, "DE", 2);
	assert_int_equal(fake_get(0, UART + 4, 4), 0);
	assert_int_equal(fake_load(0, UART + 5, 2, &value), MMIO_FAULT);
	assert_int_equal(fake_load(0, UART + 4, 8, &value), MMIO_FAULT);
	assert_int_equal(fake_load(0, UART + 8, 1, &value), MMIO_FAULT);
	assert_int_equal(fake_store(0, UART + 0xf8, 8, 0), MMIO_FAULT);
}

/* The line must say what IIR would say, whatever was done before. */
static void test_fuzz(void **state)
{
	const struct uart *u;

	(void)state;
	fake_seed();
	fake_vm(1);
	u = device_state(&fake.vm, DEV_UART);
	for (u32 i = 0; i < N_FUZZ; i++) {
		u64 r = fake_random(), o = (r & 0x30) != 0 ? r >> 8 & 7 : r >> 8 & 0xff;
		u32 len = (r & 0xc0) != 0 ? 1 : 1U << (r >> 16 & 3);
		u64 value = r >> 32;
		u8 iir = 0xff;

		if (o + len > 0x100)
			continue;
		fake.n_output = 0;
		if (r % 4 == 0)
			uart_input(&fake.vm, (char)value);
		else if (r % 4 == 1)
			(void)fake_load(0, UART + o, len, &value);
		else
			(void)fake_store(0, UART + o, len, value);
		assert_true(u->n_input <= UART_INPUT_LEN && u->head < UART_INPUT_LEN);
		if (r >> 60 == 0) {
			bool was_high = line();

			iir = in(IIR);
			assert_int_equal((iir & 1) == 0, was_high);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux_probes),
		cmocka_unit_test(test_thre),
		cmocka_unit_test(test_polled_output_is_quiet),
		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_input_limits),
		cmocka_unit_test(test_firmware_takes),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_widths),
		cmocka_unit_test(test_fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
