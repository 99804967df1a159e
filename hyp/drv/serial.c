/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio console, several ports (Virtual I/O Device specification 1.2, section 5.3).
 *
 * Each port has a queue of buffers to be filled and one of buffers to be sent; a
 * further pair carries control messages.  All queues are set up before the device starts, in a
 * few pages; a port gets its buffers when it is opened.
 *
 * Order: serial_poll() takes what has come in on all ports, and only then looks at
 * control messages.  The device tells that a program has gone before it passes on bytes of the
 * next one.  So bytes that serial_poll() has taken without seeing the end of a program are that
 * program's.
 */
#include "drv/serial.h"

#include <string.h>

#include "arch/log.h"
#include "arch/phys.h"
#include "arch/time.h"
#include "drv/virtio.h"
#include "mm/pool.h"

#define FEATURE_MULTIPORT BIT(1)
#define CONFIG_MAX_PORTS  4U /* offset of max_nr_ports */

#define QUEUE_CONTROL_IN  2U
#define QUEUE_CONTROL_OUT 3U
#define CONTROL_SLOTS     32U
#define CONTROL_LEN       64U /* bytes of a message, name and all */
#define CONTROL_HEAD_LEN  8U

#define RINGS_LEN    512U /* of a port's queue */
#define RINGS_PAGES  8U   /* for all */
#define NO_SLOT      UINT32_MAX
#define POLL_NS      2000000UL /* without an interrupt */
#define REFILL_SLOTS 4U        /* buffers are given back in such numbers, or by halves */

_Static_assert(VIRTQ_BYTES(SERIAL_SLOTS_MAX) <= RINGS_LEN, "rings of a port");
_Static_assert((2 * SERIAL_PORTS_MAX + 4) * RINGS_LEN <= RINGS_PAGES * PAGE_SIZE, "all rings");
_Static_assert(VIRTQ_BYTES(CONTROL_SLOTS) <= 2 * RINGS_LEN, "rings of a control queue");

enum event {
	EVENT_DEVICE_READY = 0,
	EVENT_PORT_ADD = 1,
	EVENT_PORT_REMOVE = 2,
	EVENT_PORT_READY = 3,
	EVENT_PORT_OPEN = 6,
	EVENT_PORT_NAME = 7,
};

struct message {
	u32 port;
	u16 event;
	u16 value;
};

struct port {
	bool is_added, is_named, is_open;
	bool owes_ready, owes_open; /* messages that found no room */
	bool has_peer, has_ended;
	char name[SERIAL_NAME_LEN + 1];
	u32 n_slots; /* 0: it has no buffers */
	struct virtq in, out;
	u8 *in_page[SERIAL_SLOTS_MAX], *out_page[SERIAL_SLOTS_MAX];
	/* Filled by the device, oldest first; `at` bytes of the first have been consumed. */
	struct {
		u32 slot, len;
	} come[SERIAL_SLOTS_MAX];
	u32 n_come, at;
	u32 consumed[SERIAL_SLOTS_MAX], n_consumed; /* to be lent again */
	u32 filling, fill_len;                      /* slot of `out`, or NO_SLOT */
	bool is_stuck;                              /* waits for room: the device interrupts */
};

static struct {
	bool is_there, has_irq;
	_Atomic bool has_interrupted;
	struct virtio dev;
	u8 *rings, *messages_in, *messages_out; /* whole pages */
	u32 n_ports;
	struct virtq in, out; /* control */
	struct port port[SERIAL_PORTS_MAX];
	u32 unsent;     /* ports with bytes that serial_flush() sends */
	bool has_debts; /* pay_debts() has something to do */
} serial;

static struct port *open_port(u32 port)
{
	return port < serial.n_ports && serial.port[port].is_open ? &serial.port[port] : NULL;
}

/* ---- buffers that the device fills ---- */

static void lend_in(struct port *p, u32 slot)
{
	virtq_lend(&p->in, slot, ptr_hpa(p->in_page[slot]), PAGE_SIZE, true);
}

static void give_back(struct port *p)
{
	if (p->n_consumed == 0)
		return;
	for (u32 i = 0; i < p->n_consumed; i++)
		lend_in(p, p->consumed[i]);
	p->n_consumed = 0;
	virtq_notify(&p->in);
}

/* ---- control messages ---- */

/* False: no room at the moment. */
static bool tell(u32 port, enum event event, u16 value)
{
	struct message m = { port, (u16)event, value };
	u32 slot = 0, len;

	while (virtq_take(&serial.out, &slot, &len))
		continue;
	for (slot = 0; slot < CONTROL_SLOTS && virtq_holds(&serial.out, slot); slot++)
		continue;
	if (slot == CONTROL_SLOTS || serial.out.is_broken)
		return false;
	memcpy(serial.messages_out + slot * CONTROL_LEN, &m, sizeof(m));
	virtq_lend(&serial.out, slot, ptr_hpa(serial.messages_out + slot * CONTROL_LEN), sizeof(m),
	           false);
	virtq_notify(&serial.out);
	return true;
}

static void pay_debts(u32 i)
{
	struct port *p = &serial.port[i];

	if (p->owes_ready)
		p->owes_ready = !tell(i, EVENT_PORT_READY, 1);
	if (p->owes_open)
		p->owes_open = !tell(i, EVENT_PORT_OPEN, 1);
	serial.has_debts |= p->owes_ready || p->owes_open;
}

static void pay_all_debts(void)
{
	if (!serial.has_debts)
		return;
	serial.has_debts = false;
	for (u32 i = 0; i < serial.n_ports; i++)
		pay_debts(i);
}

/* What has come and was not consumed is nobody's. */
static void discard(struct port *p)
{
	for (u32 i = 0; i < p->n_come; i++)
		p->consumed[p->n_consumed++] = p->come[i].slot;
	p->n_come = p->at = 0;
	give_back(p);
}

static void on_message(const struct message *m, const char *name, u32 name_len)
{
	struct port *p;

	if (m->port >= serial.n_ports)
		return;
	p = &serial.port[m->port];
	if (m->event == EVENT_PORT_ADD && !p->is_added) {
		p->is_added = true;
		p->owes_ready = serial.has_debts = true;
	} else if (m->event == EVENT_PORT_REMOVE) {
		p->has_ended = p->is_open;
		discard(p);
		p->fill_len = 0; /* what was to go out, too */
		p->is_added = p->is_named = p->is_open = false;
		p->owes_ready = p->owes_open = p->has_peer = false;
	} else if (m->event == EVENT_PORT_OPEN) {
		p->has_peer = m->value != 0;
		p->has_ended = p->has_ended || (p->is_open && !p->has_peer);
	} else if (m->event == EVENT_PORT_NAME && p->is_added && !p->is_named) {
		name_len = (u32)u64_min(name_len, SERIAL_NAME_LEN);
		memcpy(p->name, name, name_len);
		p->name[name_len] = 0;
		p->is_named = true;
	}
}

static void lend_message(u32 slot)
{
	virtq_lend(&serial.in, slot, ptr_hpa(serial.messages_in + slot * CONTROL_LEN), CONTROL_LEN,
	           true);
}

static void take_messages(void)
{
	u32 slot, len, n = 0;

	for (; n < CONTROL_SLOTS && virtq_take(&serial.in, &slot, &len); n++) {
		char text[CONTROL_LEN];
		struct message m;

		/* One look at what the device may still write.  It says how long the message is,
		 * not how much of it fits. */
		memcpy(text, serial.messages_in + slot * CONTROL_LEN, CONTROL_LEN);
		memcpy(&m, text, sizeof(m));
		len = (u32)u64_min(len, CONTROL_LEN);
		if (len >= CONTROL_HEAD_LEN)
			on_message(&m, text + CONTROL_HEAD_LEN, len - CONTROL_HEAD_LEN);
		lend_message(slot);
	}
	if (n > 0)
		virtq_notify(&serial.in);
}

/* ---- bytes ---- */

static void take_in(struct port *p)
{
	u32 slot, len;

	while (virtq_take(&p->in, &slot, &len)) {
		if (len > PAGE_SIZE) {
			p->in.is_broken = true;
			log_warn("serial: %s: more bytes than a buffer holds", p->name);
			return;
		}
		p->come[p->n_come].slot = slot;
		p->come[p->n_come].len = len;
		p->n_come++;
	}
}

static void take_out(struct port *p)
{
	u32 slot, len;

	while (virtq_take(&p->out, &slot, &len))
		continue;
}

const u8 *serial_peek(u32 port, u32 *len)
{
	struct port *p = open_port(port);

	*len = 0;
	while (p && p->n_come > 0 && p->come[0].len == 0)
		serial_consume(port, 0);
	if (!p || p->n_come == 0)
		return NULL;
	*len = p->come[0].len - p->at;
	return p->in_page[p->come[0].slot] + p->at;
}

void serial_consume(u32 port, u32 len)
{
	struct port *p = open_port(port);

	assert(p && p->n_come > 0 && len <= p->come[0].len - p->at);
	p->at += len;
	if (p->at < p->come[0].len)
		return;
	p->consumed[p->n_consumed++] = p->come[0].slot;
	p->n_come--;
	p->at = 0;
	memmove(&p->come[0], &p->come[1], p->n_come * sizeof(p->come[0]));
	if (p->n_consumed >= u64_min(REFILL_SLOTS, p->n_slots / 2))
		give_back(p);
}

u64 serial_n_come(u32 port)
{
	struct port *p = open_port(port);
	u64 n = 0;

	if (!p)
		return 0;
	for (u32 i = 0; i < p->n_come; i++)
		n += p->come[i].len;
	return n - p->at;
}

static u32 free_slot(const struct port *p)
{
	for (u32 i = 0; i < p->n_slots; i++)
		if (!virtq_holds(&p->out, i))
			return i;
	return NO_SLOT;
}

/* Finds a page for what goes out next, and has the device say when there is one, if there is none. */
static bool find_room(struct port *p)
{
	u32 slot;

	if (p->filling != NO_SLOT)
		return true;
	take_out(p);
	slot = free_slot(p);
	if (slot == NO_SLOT && !p->is_stuck) {
		p->is_stuck = true;
		virtq_want_interrupt(&p->out, true);
		take_out(p);
		slot = free_slot(p);
	}
	if (slot == NO_SLOT || p->out.is_broken)
		return false;
	p->filling = slot;
	if (p->is_stuck)
		virtq_want_interrupt(&p->out, false);
	p->is_stuck = false;
	p->fill_len = 0;
	return true;
}

u8 *serial_room(u32 port, u32 *len)
{
	struct port *p = open_port(port);

	*len = 0;
	if (!p || !find_room(p))
		return NULL;
	*len = (u32)PAGE_SIZE - p->fill_len;
	return p->out_page[p->filling] + p->fill_len;
}

void serial_fill(u32 port, u32 len)
{
	struct port *p = open_port(port);

	assert(p && p->filling != NO_SLOT && len <= PAGE_SIZE - p->fill_len);
	p->fill_len += len;
	serial.unsent |= (u32)BIT(port);
	if (p->fill_len == PAGE_SIZE)
		serial_flush(port);
}

void serial_flush(u32 port)
{
	struct port *p = open_port(port);

	if (!p || p->filling == NO_SLOT || p->fill_len == 0)
		return;
	virtq_lend(&p->out, p->filling, ptr_hpa(p->out_page[p->filling]), p->fill_len, false);
	p->filling = NO_SLOT;
	virtq_notify(&p->out);
}

void serial_flush_all(void)
{
	u32 unsent = serial.unsent;

	serial.unsent = 0;
	for (; unsent != 0; unsent &= unsent - 1)
		serial_flush((u32)__builtin_ctz(unsent));
}

/* ---- ports ---- */

const char *serial_name(u32 port)
{
	return port < serial.n_ports && serial.port[port].is_named ? serial.port[port].name : NULL;
}

bool serial_is_open(u32 port)
{
	return open_port(port) != NULL;
}

bool serial_has_peer(u32 port)
{
	return open_port(port) && serial.port[port].has_peer;
}

bool serial_take_end(u32 port)
{
	struct port *p = port < serial.n_ports ? &serial.port[port] : NULL;
	bool has_ended = p && p->has_ended;

	if (has_ended)
		p->has_ended = false;
	return has_ended;
}

static bool make_buffers(struct port *p, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		p->in_page[i] = pages_alloc(0, FRAME_FOR_PANDO);
		p->out_page[i] = pages_alloc(0, FRAME_FOR_PANDO);
		if (p->in_page[i] && p->out_page[i])
			continue;
		for (u32 k = 0; k <= i; k++) {
			if (p->in_page[k])
				pages_free(p->in_page[k], 0);
			if (p->out_page[k])
				pages_free(p->out_page[k], 0);
		}
		return false;
	}
	return true;
}

enum err serial_open(u32 port, u32 n_slots)
{
	struct port *p = &serial.port[port];

	assert(serial_name(port) && n_slots > 1 && n_slots <= SERIAL_SLOTS_MAX);
	if (p->is_open)
		return ERR_STATE;
	if (p->n_slots == 0) {
		if (!make_buffers(p, n_slots))
			return ERR_NOMEM;
		p->n_slots = n_slots;
		p->filling = NO_SLOT;
		virtq_want_interrupt(&p->out, false);
		for (u32 i = 0; i < n_slots; i++)
			lend_in(p, i);
		virtq_notify(&p->in);
	}
	p->is_open = true;
	p->has_ended = false;
	p->owes_open = true;
	pay_debts(port);
	return ERR_OK;
}

/* ---- the device ---- */

static void on_interrupt(void *arg)
{
	(void)arg;
	virtio_ack(&serial.dev);
	atomic_store(&serial.has_interrupted, true);
}

bool serial_has_work(void)
{
	if (!serial.is_there)
		return false;
	if (serial.has_irq)
		return atomic_load_explicit(&serial.has_interrupted, memory_order_relaxed);
	for (u32 i = 0; i < serial.n_ports; i++)
		if (serial.port[i].n_slots > 0 &&
		    (virtq_has_used(&serial.port[i].in) ||
		     (serial.port[i].is_stuck && virtq_has_used(&serial.port[i].out))))
			return true;
	return virtq_has_used(&serial.in);
}

u64 serial_deadline(void)
{
	if (!serial.is_there || serial.has_irq)
		return TIME_NEVER;
	return time_now() + time_ns_to_ticks(POLL_NS);
}

void serial_poll(void)
{
	if (!serial.is_there)
		return;
	atomic_store(&serial.has_interrupted, false); /* before the looks that follow */
	for (u32 i = 0; i < serial.n_ports; i++)
		if (serial.port[i].n_slots > 0)
			take_in(&serial.port[i]);
	take_messages();
	pay_all_debts();
}

static u16 queue_in(u32 port)
{
	return (u16)(port == 0 ? 0 : 2 * port + 2);
}

static enum err make_queues(void)
{
	u8 *at = serial.rings;
	enum err e = virtq_init(&serial.in, &serial.dev, QUEUE_CONTROL_IN, CONTROL_SLOTS, at);

	at += 2UL * RINGS_LEN;
	if (e == ERR_OK)
		e = virtq_init(&serial.out, &serial.dev, QUEUE_CONTROL_OUT, CONTROL_SLOTS, at);
	at += 2UL * RINGS_LEN;
	for (u32 i = 0; i < serial.n_ports && e == ERR_OK; i++) {
		struct port *p = &serial.port[i];
		u16 in = queue_in(i);

		e = virtq_init(&p->in, &serial.dev, in, SERIAL_SLOTS_MAX, at);
		at += RINGS_LEN;
		if (e == ERR_OK)
			e = virtq_init(&p->out, &serial.dev, (u16)(in + 1), SERIAL_SLOTS_MAX, at);
		at += RINGS_LEN;
	}
	return e;
}

static enum err start(void)
{
	enum err e = virtio_begin(&serial.dev, FEATURE_MULTIPORT);

	if (e != ERR_OK)
		return e;
	serial.n_ports =
		(u32)u64_min(virtio_config(&serial.dev, CONFIG_MAX_PORTS), SERIAL_PORTS_MAX);
	serial.rings = pages_alloc(3, FRAME_FOR_PANDO);
	serial.messages_in = pages_alloc(0, FRAME_FOR_PANDO);
	serial.messages_out = pages_alloc(0, FRAME_FOR_PANDO);
	if (!serial.rings || !serial.messages_in || !serial.messages_out)
		return ERR_NOMEM;
	return make_queues();
}

void serial_init(void)
{
	struct virtio *d = &serial.dev;
	enum err e;

	if (!virtio_find(VIRTIO_ID_CONSOLE, d))
		return;
	e = start();
	if (e != ERR_OK) {
		virtio_give_up(d);
		log_warn("serial: the virtio console at 0x%lx is not used: %s", d->base,
		         e == ERR_ABSENT ? "it has no ports" : err_name(e));
		return;
	}
	serial.has_irq = virtio_irq(d, on_interrupt, NULL);
	virtio_ready(d);
	for (u32 i = 0; i < CONTROL_SLOTS; i++)
		lend_message(i);
	virtq_notify(&serial.in);
	virtq_want_interrupt(&serial.out, false);
	serial.is_there = true;
	if (!tell(0, EVENT_DEVICE_READY, 1))
		log_warn("serial: the virtio console does not listen");
}
