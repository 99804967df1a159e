/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's virtio console with its ports (VIRTIO_CONSOLE_F_MULTIPORT): byte
 * streams between Pando and programs on the host.
 *
 * A port appears with a number and, soon after, a name.  Whoever wants it opens it.  Nothing waits: bytes
 * come in as far as there are buffers for them, and go out as far as there is room; what the
 * other end does not read stays in this port's buffers and holds up nobody else.
 *
 * Without such a device every function says so at once.  All but serial_init() and
 * serial_has_work() are called by one hart at a time.
 */
#ifndef DRV_SERIAL_H
#define DRV_SERIAL_H

#include "lib/err.h"
#include "lib/types.h"

#define SERIAL_PORTS_MAX 16U
#define SERIAL_SLOTS_MAX 16U /* buffers of a port, each way, of one page */
#define SERIAL_NAME_LEN  48U

/* Once at boot. */
void serial_init(void);

/* Has the device something for serial_poll()?  A load; for the hart loop. */
bool serial_has_work(void);

/* When serial_poll() is to be called though nothing is known: host ticks, or TIME_NEVER. */
u64 serial_deadline(void);

/* Looks at what the device has done: bytes, ports, ends. */
void serial_poll(void);

/* NULL: there is no such port, or it has no name yet. */
const char *serial_name(u32 port);

/* From now on bytes are taken from the host, `n_slots` pages of them (2 at least), and as many go out. */
enum err must_check serial_open(u32 port, u32 n_slots);
bool serial_is_open(u32 port);

/* Has the program at the other end gone since this was asked last?  The bytes that have come may be
 * its, or already the next one's. */
bool must_check serial_take_end(u32 port);

/* How many bytes have come and are not consumed. */
u64 serial_n_come(u32 port);

/* Is a program at the other end? */
bool serial_has_peer(u32 port);

/* The bytes that came first: *len of them, 0 if there are none now. */
const u8 *serial_peek(u32 port, u32 *len);
void serial_consume(u32 port, u32 len);

/* Room for *len bytes to be sent; NULL: none now. */
u8 *serial_room(u32 port, u32 *len);
/* The first `len` bytes of that room have been written. */
void serial_fill(u32 port, u32 len);
/* They go out now; without it they wait for their page to be full. */
void serial_flush(u32 port);
void serial_flush_all(void); /* of all ports; a load if there are none */

#endif
