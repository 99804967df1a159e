/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's UART, played by the test: a FIFO whose reader reads at once, slowly, or not at all.
 */
#include "unit.h"
#include "arch/io.h"
#include "arch/time.h"
#include "drv/console.h"
#include "drv/irq.h"
#include "drv/machine.h"
#include "fake_arch/fake.h"

#define BASE     0x10000000UL
#define FIFO_LEN 16U
#define NEVER    UINT64_MAX
#define MS       10000UL /* ticks */

struct machine_info machine_info;

static struct {
	u64 read_ticks; /* what the reader takes for a FIFO that is full */
	u64 empty_at;   /* host ticks */
	u32 n_in_fifo;
	char out[1024];
	u32 n_out;
} uart;

void irq_register(u32 irq, void (*handler)(void *arg), void *arg)
{
	(void)irq;
	(void)handler;
	(void)arg;
}

u8 io_load8(u64 addr)
{
	assert_int_equal(addr, BASE + 5); /* LSR */
	if (uart.read_ticks == NEVER || time_now() < uart.empty_at)
		return uart.n_in_fifo > 0 ? 0 : 0x20;
	uart.n_in_fifo = 0;
	return 0x20;
}

void io_store8(u64 addr, u8 value)
{
	if (addr != BASE)
		return;
	assert_true(uart.n_in_fifo < FIFO_LEN);
	if (uart.n_in_fifo++ == 0)
		uart.empty_at = fake_time + uart.read_ticks;
	assert_true(uart.n_out < sizeof(uart.out) - 1);
	uart.out[uart.n_out++] = (char)value;
	uart.out[uart.n_out] = 0;
}

u32 io_load32(u64 addr)
{
	return io_load8(addr);
}

void io_store32(u64 addr, u32 value)
{
	io_store8(addr, (u8)value);
}

static int setup(void **state)
{
	(void)state;
	machine_info.uart_base = HPA(BASE);
	machine_info.uart_io_width = 1;
	fake_time_step = 1;
	console_init();
	/* Each test begins with a FIFO that the driver knows to be full. */
	uart.read_ticks = uart.n_out = 0;
	do
		console_write("x", 1);
	while (uart.n_in_fifo < FIFO_LEN);
	uart.n_out = 0;
	return 0;
}

static void say(const char *text)
{
	console_write(text, strlen(text));
}

static void test_output(void **state)
{
	char line[200];

	(void)state;
	say("a\nb\n");
	assert_string_equal(uart.out, "a\r\nb\r\n");
	memset(line, 'x', sizeof(line));
	console_write(line, sizeof(line));
	assert_int_equal(uart.n_out, 6 + sizeof(line));
	console_printf("%s %d", "n", 7);
	assert_string_equal(uart.out + 6 + sizeof(line), "n 7");
}

/* A line of 9600 baud takes 17 ms for a FIFO: nothing is lost. */
static void test_slow_reader(void **state)
{
	char line[100];

	(void)state;
	uart.read_ticks = 17 * MS;
	memset(line, 'x', sizeof(line));
	console_write(line, sizeof(line));
	say("end");
	assert_int_equal(uart.n_out, sizeof(line) + 3);
}

/* Nobody reads: that costs a second once, and what is lost is told when somebody does again. */
static void test_no_reader(void **state)
{
	u64 start = fake_time;

	(void)state;
	say("0123456789abcdef");
	uart.read_ticks = NEVER;
	say("lost\n");
	assert_true(fake_time - start < 2000 * MS);
	start = fake_time;
	for (u32 i = 0; i < 100; i++)
		say("0123456789");
	assert_true(fake_time - start < MS);
	assert_string_equal(uart.out, "0123456789abcdef");
	uart.read_ticks = 0;
	say("again\n");
	assert_string_equal(uart.out, "0123456789abcdef\r\n[1006 bytes lost]\r\nagain\r\n");
	/* And it waits as before. */
	uart.read_ticks = 17 * MS;
	uart.n_out = 0;
	say("0123456789abcdef0123456789abcdef");
	assert_string_equal(uart.out, "0123456789abcdef0123456789abcdef");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_output, setup),
		cmocka_unit_test_setup(test_slow_reader, setup),
		cmocka_unit_test_setup(test_no_reader, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
