/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's virtio console, as control sees it (drv/serial.h): ports whose other end is the
 * test.  Definitions, included once by a test through ctl_fake.h.
 */
#ifndef SERIAL_FAKE_H
#define SERIAL_FAKE_H

#include "unit.h"
#include "arch/time.h"
#include "drv/serial.h"

#define FAKE_OUT_LEN (8UL << 20)

static struct fake_port {
	const char *name; /* NULL: no such port */
	bool is_open, has_peer, has_ended;
	const u8 *in; /* what the host has sent and nobody has consumed */
	u64 in_len;
	u32 chunk; /* so much of it is seen at a time */
	u8 *out;   /* what came out */
	u64 n_out;
	u64 room;     /* so much more goes out */
	u8 page[256]; /* what is being filled */
} fake_ports[SERIAL_PORTS_MAX];
static bool fake_serial_work;

bool serial_has_work(void)
{
	return fake_serial_work;
}

u64 serial_deadline(void)
{
	return TIME_NEVER;
}

void serial_poll(void)
{
	fake_serial_work = false;
}

const char *serial_name(u32 port)
{
	return fake_ports[port].name;
}

enum err serial_open(u32 port, u32 n_slots)
{
	(void)n_slots;
	assert_false(fake_ports[port].is_open);
	fake_ports[port].is_open = true;
	fake_ports[port].has_ended = false;
	return ERR_OK;
}

bool serial_is_open(u32 port)
{
	return fake_ports[port].is_open;
}

bool serial_take_end(u32 port)
{
	bool has_ended = fake_ports[port].has_ended;

	fake_ports[port].has_ended = false;
	return has_ended;
}

u64 serial_n_come(u32 port)
{
	return fake_ports[port].in_len;
}

bool serial_has_peer(u32 port)
{
	return fake_ports[port].has_peer;
}

const u8 *serial_peek(u32 port, u32 *len)
{
	struct fake_port *p = &fake_ports[port];

	*len = (u32)u64_min(p->in_len, p->chunk);
	return *len > 0 ? p->in : NULL;
}

void serial_consume(u32 port, u32 len)
{
	struct fake_port *p = &fake_ports[port];

	assert_true(len <= p->in_len);
	p->in += len;
	p->in_len -= len;
}

u8 *serial_room(u32 port, u32 *len)
{
	struct fake_port *p = &fake_ports[port];

	*len = (u32)u64_min(p->room, sizeof(p->page));
	return p->is_open && *len > 0 ? p->page : NULL;
}

void serial_fill(u32 port, u32 len)
{
	struct fake_port *p = &fake_ports[port];

	assert_true(len <= sizeof(p->page) && len <= p->room);
	if (!p->out)
		p->out = malloc(FAKE_OUT_LEN);
	assert_true(p->n_out + len < FAKE_OUT_LEN);
	memcpy(p->out + p->n_out, p->page, len);
	p->n_out += len;
	p->out[p->n_out] = 0;
	p->room -= len;
}

void serial_flush(u32 port)
{
	(void)port;
}

void serial_flush_all(void)
{
	for (u32 i = 0; i < SERIAL_PORTS_MAX; i++)
		serial_flush(i);
}

#endif
