// SPDX-License-Identifier: BSD-2-Clause
/*
 * The machine's UART (16550) as Pando's console.
 *
 * Output waits for room in the UART, but not for ever: who writes holds locks, and a terminal
 * that nobody reads must not stop the machine.  After PATIENCE_NS without room what is written
 * is dropped and counted, without another wait, until there is room; then the loss is told.
 *
 * Input comes by interrupt into a ring that the handler fills and console_getc() empties;
 * bytes that find it full are lost.  Where the UART has no interrupt, console_getc()
 * looks at the UART itself.
 */
#include "drv/console.h"

#include <stdarg.h>
#include <stdio.h>

#include "arch/io.h"
#include "arch/lock.h"
#include "arch/time.h"
#include "drv/irq.h"
#include "drv/machine.h"

#define UART_DATA 0 /* RBR, THR */
#define UART_IER  1
#define UART_FCR  2
#define UART_LCR  3
#define UART_MCR  4
#define UART_LSR  5

#define IER_RECEIVE          0x01
#define FCR_ENABLE_AND_CLEAR 0x07
#define LCR_8N1              0x03
#define MCR_DTR_RTS_OUT2     0x0b
#define LSR_DATA_READY       0x01
#define LSR_THR_EMPTY        0x20

#define RING_LEN    1024U /* a power of two */
#define FIFO_LEN    16U
#define LINE_MAX    512
#define PATIENCE_NS 1000000000UL /* a reader that is only slow loses nothing */

static struct spinlock console_lock = LOCK_INIT(LOCK_CONSOLE);
static u8 ring[RING_LEN];   /* console_lock */
static _Atomic u32 ring_in; /* written under console_lock; bytes ever put in */
static _Atomic u32 ring_out;
static u32 fifo_room; /* console_lock: bytes that the UART takes unasked */
static u64 n_lost;    /* console_lock: bytes that found no room; not 0: nobody waits for it */

static u32 uart_read(u32 reg)
{
	u64 addr = machine_info.uart_base.v + ((u64)reg << machine_info.uart_reg_shift);

	return machine_info.uart_io_width == 4 ? io_load32(addr) : io_load8(addr);
}

static void uart_write(u32 reg, u8 value)
{
	u64 addr = machine_info.uart_base.v + ((u64)reg << machine_info.uart_reg_shift);

	if (machine_info.uart_io_width == 4)
		io_store32(addr, value);
	else
		io_store8(addr, value);
}

/* Moves what the UART has received to the ring; console_lock is held. */
static void drain_uart(void)
{
	u32 in = atomic_load_explicit(&ring_in, memory_order_relaxed);
	u8 byte;

	while (uart_read(UART_LSR) & LSR_DATA_READY) {
		byte = (u8)uart_read(UART_DATA);
		if (in - atomic_load_explicit(&ring_out, memory_order_relaxed) < RING_LEN)
			ring[in++ % RING_LEN] = byte;
	}
	atomic_store_explicit(&ring_in, in, memory_order_relaxed);
}

static void on_interrupt(void *arg)
{
	(void)arg;
	lock_acquire(&console_lock);
	drain_uart();
	lock_release(&console_lock);
}

void console_init(void)
{
	uart_write(UART_IER, 0);
	uart_write(UART_LCR, LCR_8N1);
	uart_write(UART_FCR, FCR_ENABLE_AND_CLEAR);
	uart_write(UART_MCR, MCR_DTR_RTS_OUT2);
	if (machine_info.uart_irq == 0 || machine_info.plic_base.v == 0)
		return;
	irq_register(machine_info.uart_irq, on_interrupt, NULL);
	uart_write(UART_IER, IER_RECEIVE);
}

/* console_lock is held, here and below. */
static bool wait_for_room(void)
{
	u64 end = n_lost > 0 ? 0 : time_now() + time_ns_to_ticks(PATIENCE_NS);

	while ((uart_read(UART_LSR) & LSR_THR_EMPTY) == 0)
		if (time_now() >= end)
			return false;
	fifo_room = FIFO_LEN;
	return true;
}

/* What follows a lost byte is lost, to the end of the text. */
static void put(u8 byte)
{
	if (n_lost > 0 || (fifo_room == 0 && !wait_for_room())) {
		n_lost++;
		return;
	}
	uart_write(UART_DATA, byte);
	fifo_room--;
}

static void tell_loss(void)
{
	char text[48];
	int len = snprintf(text, sizeof(text), "\r\n[%lu bytes lost]\r\n", n_lost);

	n_lost = 0;
	for (int i = 0; i < len; i++)
		put((u8)text[i]);
}

void console_write(const char *text, size_t len)
{
	size_t i;

	lock_acquire(&console_lock);
	if (n_lost > 0 && wait_for_room())
		tell_loss();
	for (i = 0; i < len; i++) {
		if (text[i] == '\n')
			put('\r');
		put((u8)text[i]);
	}
	lock_release(&console_lock);
}

void console_printf(const char *fmt, ...)
{
	char line[LINE_MAX];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (n > 0)
		console_write(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

int console_getc(void)
{
	int byte = -1;
	u32 out;

	if (!console_has_input())
		return -1;
	lock_acquire(&console_lock);
	drain_uart();
	out = atomic_load_explicit(&ring_out, memory_order_relaxed);
	if (out != atomic_load_explicit(&ring_in, memory_order_relaxed)) {
		byte = ring[out % RING_LEN];
		atomic_store_explicit(&ring_out, out + 1, memory_order_relaxed);
	}
	lock_release(&console_lock);
	return byte;
}

bool console_has_input(void)
{
	if (atomic_load_explicit(&ring_in, memory_order_relaxed) !=
	    atomic_load_explicit(&ring_out, memory_order_relaxed))
		return true;
	if (machine_info.uart_irq != 0 && machine_info.plic_base.v != 0)
		return false;
	return (uart_read(UART_LSR) & LSR_DATA_READY) != 0;
}
