/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 16550A serial port, as Linux's 8250 driver and its probes know it.
 *
 * The transmitter is never busy: a byte stored to THR has left before the store
 * returns, so LSR shows THRE and TEMT for ever, and "transmitter empty" is only a
 * latch (thre_pending): set by a store to THR or IER, cleared by a load of IIR that
 * reports it.  That is what the driver's THRE and TXEN tests look for.
 *
 * The receiver is a ring of 64 bytes, of which the guest is told as of a FIFO of 16
 * (1 with FIFOs off): what a person types never overruns, loopback does.  Fewer
 * bytes than the trigger level raise the timeout interrupt at once, as there is no
 * line whose silence could be timed.
 *
 * A load or store wider than a byte acts on the one register at its address, as
 * on QEMU.  Register names and bits: TI PC16550D data sheet, section 8.
 */
#include "dev/uart.h"
#include "dev/dev.h"
#include "dev/fdt_write.h"
#include "dev/plic.h"
#include <string.h>

#define UART_GPA   0x10000000U
#define UART_LEN   0x100U
#define UART_IRQ   10U
#define UART_CLOCK 3686400U /* Hz; as QEMU's virt says */
#define FIFO_LEN   16U
#define N_REGS     8U

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

#define IER_RX       0x01U
#define IER_THRE     0x02U
#define IER_LINE     0x04U
#define IER_ALL      0x0fU
#define IIR_NONE     0x01U
#define IIR_THRE     0x02U
#define IIR_RX       0x04U
#define IIR_LINE     0x06U
#define IIR_TIMEOUT  0x0cU
#define IIR_FIFOS    0xc0U
#define FCR_ENABLE   0x01U
#define FCR_CLEAR_RX 0x02U
#define FCR_KEPT     0xc9U /* enable, DMA mode, trigger level */
#define LCR_DLAB     0x80U
#define MCR_LOOP     0x10U
#define MCR_ALL      0x1fU
#define LSR_DR       0x01U
#define LSR_OE       0x02U
#define LSR_IDLE     0x60U /* THRE, TEMT */
#define MSR_ALL_WELL 0xb0U /* DCD, DSR, CTS */

static u32 fifo_len(const struct uart *u)
{
	return (u->fcr & FCR_ENABLE) != 0 ? FIFO_LEN : 1;
}

static u32 trigger_level(const struct uart *u)
{
	static const u8 levels[4] = { 1, 4, 8, 14 };

	return (u->fcr & FCR_ENABLE) != 0 ? levels[u->fcr >> 6] : 1;
}

/* The most urgent enabled cause (data sheet, table IV). */
static u8 irq_cause(const struct uart *u)
{
	if ((u->ier & IER_LINE) != 0 && u->overrun)
		return IIR_LINE;
	if ((u->ier & IER_RX) != 0 && u->n_input > 0)
		return u->n_input >= trigger_level(u) ? IIR_RX : IIR_TIMEOUT;
	if ((u->ier & IER_THRE) != 0 && u->thre_pending)
		return IIR_THRE;
	return IIR_NONE;
}

static void update_irq(struct vm *vm, struct uart *u)
{
	bool high = irq_cause(u) != IIR_NONE;

	if (high != u->irq_line) {
		u->irq_line = high;
		plic_set_line(vm, UART_IRQ, high);
	}
}

static void push_input(struct uart *u, u8 byte)
{
	u->input[(u->head + u->n_input) % UART_INPUT_LEN] = byte;
	u->n_input++;
}

static u8 pop_input(struct vm *vm, struct uart *u)
{
	u8 byte;

	if (u->n_input == 0)
		return 0;
	byte = u->input[u->head];
	u->head = (u8)((u->head + 1) % UART_INPUT_LEN);
	u->n_input--;
	update_irq(vm, u);
	return byte;
}

static void transmit(struct vm *vm, struct uart *u, u8 byte)
{
	if ((u->mcr & MCR_LOOP) == 0)
		vm_console_put(vm, (char)byte);
	else if (u->n_input < fifo_len(u))
		push_input(u, byte);
	else
		u->overrun = true;
	u->thre_pending = true;
	/* Polled output, the console's way, has nothing enabled that could have changed. */
	if (u->ier != 0)
		update_irq(vm, u);
}

static void set_fcr(struct vm *vm, struct uart *u, u8 value)
{
	/* Switching the FIFOs on or off empties them; bytes beyond the FIFO are still in the line. */
	if (((value ^ u->fcr) & FCR_ENABLE) != 0 || (value & FCR_CLEAR_RX) != 0) {
		u32 n = (u32)u64_min(u->n_input, FIFO_LEN);

		u->head = (u8)((u->head + n) % UART_INPUT_LEN);
		u->n_input = (u8)(u->n_input - n);
	}
	u->fcr = value & FCR_KEPT;
	update_irq(vm, u);
}

static u8 read_iir(struct vm *vm, struct uart *u)
{
	u8 cause = irq_cause(u);

	if (cause == IIR_THRE) {
		u->thre_pending = false;
		update_irq(vm, u);
	}
	return (u8)(cause | ((u->fcr & FCR_ENABLE) != 0 ? IIR_FIFOS : 0));
}

static u8 read_lsr(struct vm *vm, struct uart *u)
{
	u8 lsr = (u8)(LSR_IDLE | (u->n_input > 0 ? LSR_DR : 0));

	if (u->overrun) {
		lsr |= LSR_OE;
		u->overrun = false;
		update_irq(vm, u);
	}
	return lsr;
}

/* In loopback the modem's inputs are the port's own outputs: DTR to DSR, RTS to CTS, OUT1 to
 * RI, OUT2 to DCD. */
static u8 read_msr(const struct uart *u)
{
	u32 m = u->mcr;

	if ((m & MCR_LOOP) == 0)
		return MSR_ALL_WELL;
	return (u8)((m & 1) << 5 | (m & 2) << 3 | (m & 0x0c) << 4);
}

static u8 read_register(struct vm *vm, struct uart *u, u64 reg)
{
	bool dlab = (u->lcr & LCR_DLAB) != 0;

	switch (reg) {
	case REG_DATA: return dlab ? u->dll : pop_input(vm, u);
	case REG_IER: return dlab ? u->dlm : u->ier;
	case REG_IIR_FCR: return read_iir(vm, u);
	case REG_LCR: return u->lcr;
	case REG_MCR: return u->mcr;
	case REG_LSR: return read_lsr(vm, u);
	case REG_MSR: return read_msr(u);
	default: return u->scr;
	}
}

static void set_ier(struct vm *vm, struct uart *u, u8 value)
{
	u->ier = value & IER_ALL;
	u->thre_pending = true;
	update_irq(vm, u);
}

static void write_register(struct vm *vm, struct uart *u, u64 reg, u8 value)
{
	bool dlab = (u->lcr & LCR_DLAB) != 0;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			u->dll = value;
		else
			transmit(vm, u, value);
		break;
	case REG_IER:
		if (dlab)
			u->dlm = value;
		else
			set_ier(vm, u, value);
		break;
	case REG_IIR_FCR: set_fcr(vm, u, value); break;
	case REG_LCR: u->lcr = value; break;
	case REG_MCR: u->mcr = value & MCR_ALL; break;
	case REG_SCR: u->scr = value; break;
	default: /* LSR and MSR are read-only */ break;
	}
}

static bool is_register(u64 offset, u32 len)
{
	return offset < N_REGS && (offset & (len - 1)) == 0;
}

static enum mmio uart_load(struct vcpu *v, void *state, u64 offset, u32 len, u64 *value)
{
	if (!is_register(offset, len))
		return MMIO_FAULT;
	*value = read_register(v->vm, state, offset);
	return MMIO_OK;
}

static enum mmio uart_store(struct vcpu *v, void *state, u64 offset, u32 len, u64 value)
{
	if (!is_register(offset, len))
		return MMIO_FAULT;
	write_register(v->vm, state, offset, (u8)value);
	return MMIO_OK;
}

bool uart_input(struct vm *vm, char c)
{
	struct uart *u = device_state(vm, DEV_UART);
	bool took;

	lock_acquire(&vm->dev_lock);
	took = vm->state != VM_TEMPLATE && (u->mcr & MCR_LOOP) == 0 && u->n_input < UART_INPUT_LEN;
	if (took) {
		push_input(u, (u8)c);
		update_irq(vm, u);
	}
	lock_release(&vm->dev_lock);
	return took;
}

bool uart_has_input(struct vm *vm)
{
	const struct uart *u = device_state(vm, DEV_UART);
	bool has;

	lock_acquire(&vm->dev_lock);
	has = u->n_input > 0;
	lock_release(&vm->dev_lock);
	return has;
}

int uart_take(struct vm *vm)
{
	struct uart *u = device_state(vm, DEV_UART);
	int byte = -1;

	lock_acquire(&vm->dev_lock);
	if (u->n_input > 0)
		byte = pop_input(vm, u);
	lock_release(&vm->dev_lock);
	return byte;
}

static void uart_init(struct vm *vm, void *state)
{
	struct uart *u = state;

	(void)vm;
	memset(u, 0, sizeof(*u));
	u->dll = 12; /* what reset leaves is undefined; QEMU says 9600 baud */
}

/* The oldest byte of input comes first; the line is as all that makes it. */
static void uart_fields(struct vm *vm, void *state, struct fields *f)
{
	struct uart *u = state;
	u8 input[UART_INPUT_LEN];

	for (u32 i = 0; i < UART_INPUT_LEN; i++)
		input[i] = i < u->n_input ? u->input[(u->head + i) % UART_INPUT_LEN] : 0;
	fields_u8(f, "ier", &u->ier, IER_ALL);
	fields_u8(f, "lcr", &u->lcr, UINT8_MAX);
	fields_u8(f, "mcr", &u->mcr, MCR_ALL);
	fields_u8(f, "fcr", &u->fcr, FCR_KEPT);
	fields_check(f, "fcr", (u->fcr & ~FCR_KEPT) == 0);
	fields_u8(f, "scr", &u->scr, UINT8_MAX);
	fields_u8(f, "dll", &u->dll, UINT8_MAX);
	fields_u8(f, "dlm", &u->dlm, UINT8_MAX);
	fields_bool(f, "overrun", &u->overrun);
	fields_bool(f, "thre", &u->thre_pending);
	fields_u8(f, "input", &u->n_input, UART_INPUT_LEN);
	fields_bytes(f, input, sizeof(input));
	if (!f->is_reading)
		return;
	u->head = 0;
	memcpy(u->input, input, sizeof(input));
	update_irq(vm, u);
}

static int uart_fdt(const struct vm *vm, void *fdt)
{
	(void)vm;
	FDT_TRY(fdt_begin_node(fdt, "serial@10000000"));
	FDT_TRY(fdt_write_string(fdt, "compatible", "ns16550a"));
	FDT_TRY(fdt_write_reg(fdt, UART_GPA, UART_LEN));
	FDT_TRY(fdt_property_u32(fdt, "clock-frequency", UART_CLOCK));
	FDT_TRY(fdt_property_u32(fdt, "interrupts", UART_IRQ));
	FDT_TRY(fdt_property_u32(fdt, "interrupt-parent", DEV_PHANDLE_PLIC));
	return fdt_end_node(fdt);
}

const struct device_type uart_type = {
	.name = "uart",
	.base = UART_GPA,
	.len = UART_LEN,
	.state_len = sizeof(struct uart),
	.irq = UART_IRQ,
	.init = uart_init,
	.load = uart_load,
	.store = uart_store,
	.fdt = uart_fdt,
	.fields = uart_fields,
};
