/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files wire*.c: connections, requests, what goes out. */
#ifndef CTL_WIRE_LOCAL_H
#define CTL_WIRE_LOCAL_H

#include <sys/queue.h>
#include "ctl/chain.h"
#include "ctl/reply.h"
#include "drv/serial.h"

#define WIRE_ID_LEN 32U
#define WIRE_FLIGHT_MAX \
	256U /* requests of a connection that wait for their answer, or their answer to be read */

struct wire;

/*
 * A request, from its line until the last byte of its answer has gone; or an event.
 * Its memory is there before anything is done, so that there is always an answer: short ones lie in it.
 */
struct answer {
	struct reply reply; /* while the answer is deferred */
	struct wire *wire;
	TAILQ_ENTRY(answer) link;
	u64 arrived; /* host ticks */
	bool is_event;
	char id[WIRE_ID_LEN + 1]; /* "": none could be read */
	/* what goes out: `small`, then `text`, then the payload */
	struct chain text;
	const struct payload_source *source; /* NULL: no payload, or it is done */
	void *source_arg;
	u64 source_left;
	u64 len; /* of the line */
	u32 small_len, small_at;
	char small[SPILL_NEAR_LEN];
};
TAILQ_HEAD(answers, answer);

/* A connection: what a control port is for one client after the other. */
struct wire {
	u32 port, number; /* I: of the device; N of pando.control.N */
	bool has_client;  /* hello has been said */
	bool wants_events;
	bool is_behind; /* there is more that could be taken in at once */
	bool is_short;  /* a line waits for memory */
	u64 n_lost;     /* events since the last that was told */
	/* what comes in */
	u64 stale_left;   /* bytes that the last client may have sent */
	bool is_too_long; /* the line, so far */
	u32 line_len;
	u64 payload_left;       /* bytes that belong to the last line */
	struct answer *current; /* the request that they are for; NULL: they are skipped */
	const struct command *command;
	const struct payload_sink *sink;
	void *sink_arg;
	/* what goes out */
	struct answers waiting, out;
	u32 n_waiting, n_out, n_events; /* events are in `out` */
	u64 out_len;                    /* bytes of lines in `out` */
	char line[CMD_LINE_LEN];
};

/* ---- wire_answer.c ---- */

/* A request, or an event, of this connection; NULL: no memory. */
struct answer *must_check answer_new(struct wire *w);
void answer_free(struct answer *a);

/* A struct cmd in which a command runs for `a`; answer_end() sends what it has to say, or has it wait. */
struct cmd *answer_begin(struct answer *a);
void answer_end(struct cmd *c, enum err e);

/* An answer that no command has made. */
void answer_refuse(struct answer *a, enum err e, const char *message);

/* The answer is what lies in a->small. */
void answer_send(struct answer *a);

/* Sends what there is room for. */
void answer_pump(struct wire *w);

/* The client has gone: nobody waits for its requests, or reads what was for it. */
void answer_drop_all(struct wire *w);

/* ---- wire_event.c ---- */

/* How many events were lost is told when there is room for it. */
void event_catch_up(struct wire *w);

/* ---- wire.c ---- */

/* Takes what has come, as much as is good at a time. */
void wire_take_in(struct wire *w);

/* Its client has gone; what lies in the port was said by it, or is the next one's hello. */
void wire_end_client(struct wire *w);

/* The first half of that: requests, answers, events. */
void wire_drop_client(struct wire *w);

/* ---- wire_port.c ---- */

/* NULL: `port` is not a control port, or is none yet. */
struct wire *wire_of(u32 port);

#endif
