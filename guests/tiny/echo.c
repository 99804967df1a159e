/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Says back, in capitals, each line that is typed at it, until the line is "end". Input comes by the UART's receive
 * interrupt and WFI; more may be typed at once than its FIFO of 16 bytes holds.
 */
#include "guest.h"
#include <string.h>

const char guest_name[] = "echo";

#define UART     0x10000000UL
#define UART_IRQ 10U

static char line[200];
static u32 len;
static volatile bool is_whole;

static void take_input(struct hart *h, u64 irq)
{
	u64 claim = 0x0c200004 + 0x1000 * (2 * h->id + 1);
	check(irq == IRQ_EXT, "interrupt %lu", irq);
	u32 source = get32(claim);
	check(source == UART_IRQ, "source %u", source);
	while (get8(UART + 5) & 1) {
		char c = (char)get8(UART);
		if (c == '\r' || c == '\n')
			is_whole = true;
		else if (len + 1 < sizeof line)
			line[len++] = c;
	}
	put32(claim, source);
}

/* The next line, without its end. */
static void await_line(void)
{
	csr_clear(sstatus, SSTATUS_SIE);
	while (!is_whole) {
		wfi();
		csr_set(sstatus, SSTATUS_SIE);
		csr_clear(sstatus, SSTATUS_SIE);
	}
	line[len] = '\0';
}

void guest_main(void)
{
	u64 context = 2 * this_hart()->id + 1;
	this_hart()->irq_fn = take_input;
	put32(0x0c000000 + 4 * UART_IRQ, 1);
	put32(0x0c002000 + 0x80 * context, 1U << UART_IRQ);
	put32(0x0c200000 + 0x1000 * context, 0);
	put8(UART + 2, 1); /* FIFOs on */
	put8(UART + 1, 1); /* receive interrupt */
	csr_set(sie, 1UL << IRQ_EXT);
	print("type");
	for (;;) {
		await_line();
		bool is_end = strcmp(line, "end") == 0;
		for (char *c = line; *c; c++)
			if (*c >= 'a' && *c <= 'z')
				*c = (char)(*c - 32);
		print("you said %s", line);
		len = 0;
		is_whole = false;
		if (is_end)
			return;
	}
}
