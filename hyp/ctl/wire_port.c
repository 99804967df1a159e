/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ports whose names say that they speak the protocol, and their turns.
 *
 * Where a poll leaves work behind, the next one comes after as long a time as this one took, so
 * that guests have their part of the hart.
 */
#include "arch/log.h"
#include "arch/time.h"
#include "ctl/attach.h"
#include "ctl/port.h"
#include "ctl/turn.h"
#include "ctl/wire.h"
#include "ctl/wire_local.h"
#include "mm/pool.h"

#define PORT_NAME  "pando.control."
#define WIRE_ORDER 1U         /* pages of a struct wire */
#define RETRY_NS   10000000UL /* a line waits for memory */

_Static_assert(sizeof(struct wire) <= PAGE_SIZE << WIRE_ORDER, "a connection");

static struct wire *wires[SERIAL_PORTS_MAX];
static u64 next_turn = TIME_NEVER; /* host ticks: some port is behind */

struct wire *wire_of(u32 port)
{
	return wires[port];
}

/* It was unplugged; another one, of any kind, may be there by now. */
static void forget(u32 port)
{
	wire_drop_client(wires[port]);
	pages_free(wires[port], WIRE_ORDER);
	wires[port] = NULL;
}

static void open_port(u32 port, u32 number)
{
	struct wire *w = pages_alloc(WIRE_ORDER, FRAME_FOR_PANDO);

	if (!w || serial_open(port, SERIAL_SLOTS_MAX) != ERR_OK) {
		log_warn("%s: no memory for it", serial_name(port));
		if (w)
			pages_free(w, WIRE_ORDER);
		return;
	}
	w->port = port;
	w->number = number;
	TAILQ_INIT(&w->waiting);
	TAILQ_INIT(&w->out);
	wires[port] = w;
}

static void find_ports(void)
{
	for (u32 i = 0; i < SERIAL_PORTS_MAX; i++) {
		bool is_open = serial_is_open(i), is_ours;
		u64 number;

		if (is_open && !wires[i])
			continue; /* it is somebody else's */
		is_ours = port_is(i, PORT_NAME, &number);
		if (wires[i] && !(is_ours && is_open))
			forget(i);
		if (is_ours && !is_open)
			open_port(i, (u32)number);
	}
}

static void serve(struct wire *w)
{
	if (serial_take_end(w->port))
		wire_end_client(w);
	answer_pump(w);
	event_catch_up(w);
	wire_take_in(w);
}

static void serve_all(void)
{
	u64 start = time_now();
	bool is_behind = false, is_short = false;

	serial_poll();
	find_ports();
	for (u32 i = 0; i < SERIAL_PORTS_MAX; i++) {
		if (!wires[i])
			continue;
		serve(wires[i]);
		is_behind |= wires[i]->is_behind;
		is_short |= wires[i]->is_short;
	}
	if (is_behind)
		next_turn = turn_after(start);
	else
		next_turn = is_short ? time_now() + time_ns_to_ticks(RETRY_NS) : TIME_NEVER;
}

void wire_poll(void)
{
	if (wire_wanted())
		serve_all();
}

void wire_flush(void)
{
	serial_flush_all();
}

bool wire_wanted(void)
{
	u64 deadline;

	if (serial_has_work())
		return true;
	deadline = u64_min(next_turn, attach_deadline());
	return deadline != TIME_NEVER && time_now() >= deadline;
}

u64 wire_deadline(void)
{
	return u64_min(u64_min(serial_deadline(), attach_deadline()), next_turn);
}
