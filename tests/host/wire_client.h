/* SPDX-License-Identifier: BSD-2-Clause */
/* A client at a control port of ctl_fake.h's machine.  Definitions, included once by a test. */
#ifndef WIRE_CLIENT_H
#define WIRE_CLIENT_H

#include "ctl_fake.h"
#include "ctl/wire.h"

#define PORT 3U

static struct fake_port *const port = &fake_ports[PORT];

static u64 n_free_before;

/* Everything that came out since the last look. */
static const char *take_out(void)
{
	port->n_out = 0;
	return port->out ? (const char *)port->out : "";
}

static void poll_all(void)
{
	fake_serial_work = true;
	for (u32 i = 0; i < 100000 && ctl_wanted(); i++) {
		ctl_poll();
		fake_time += 1000;
	}
	assert_false(ctl_wanted());
}

/* Says `len` bytes; what came back. */
static const char *say_bytes(const void *bytes, u64 len)
{
	port->in = bytes;
	port->in_len = len;
	if (port->out)
		port->out[0] = 0;
	port->n_out = 0;
	poll_all();
	return take_out();
}

static const char *say(const char *text)
{
	return say_bytes(text, strlen(text));
}

static void leave(void)
{
	port->has_ended = true;
	port->in_len = 0;
	port->room = UINT64_MAX;
	poll_all();
	take_out();
}

static int connect(void **state)
{
	(void)state;
	port->name = "pando.control.7";
	port->room = UINT64_MAX;
	port->chunk = 1000;
	say("hello first\n"); /* the port has its memory from now on */
	leave();
	n_free_before = frame_n_free();
	assert_string_equal(say("hello me\n"),
	                    "\n{\"hello\":\"me\",\"pando\":\"0.1\",\"protocol\":1,"
	                    "\"port\":7,\"timebase_hz\":10000000}\n");
	return 0;
}

/* A client that has gone has left nothing. */
static int hang_up(void **state)
{
	leave();
	fake_down(state);
	while (space_idle_work())
		continue;
	assert_int_equal(frame_n_free(), n_free_before);
	return 0;
}

#endif
