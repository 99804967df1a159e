/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The protocol as a caller of commands: answers are made, queued, and sent as far as the
 * client reads.
 *
 * Figures and text of a command are gathered apart, since they come mixed, and put into
 * one line when it has returned.  There are two desks for this: one for the request that runs,
 * one for a deferred answer, which may be given while a request runs.
 */
#include <string.h>
#include "ctl/wire.h"
#include "ctl/wire_local.h"
#include "lib/assert.h"
#include "mm/pool.h"

/* Text beside figures is a convenience: a long one is left out. */
#define TEXT_BESIDE_DATA_MAX (64UL << 10)

static struct pool answers = POOL_INIT("answers", struct answer, FRAME_FOR_PANDO);

struct desk {
	struct cmd c;
	struct json json;
	struct spill data, text, out;
	bool is_taken;
};
static struct desk desks[2]; /* too big for a stack */

struct answer *answer_new(struct wire *w)
{
	struct answer *a = pool_alloc_raw(&answers);

	if (!a)
		return NULL;
	memset(a, 0, offsetof(struct answer, small)); /* all but what is written when it is known */
	a->wire = w;
	return a;
}

static void end_source(struct answer *a)
{
	const struct payload_source *source = a->source;

	a->source = NULL;
	if (source)
		source->done(a->source_arg);
}

void answer_free(struct answer *a)
{
	end_source(a);
	chain_clear(&a->text);
	pool_free(&answers, a);
}

/* ---- sending ---- */

static void enqueue(struct answer *a)
{
	struct wire *w = a->wire;

	a->len = a->small_len + a->text.len;
	TAILQ_INSERT_TAIL(&w->out, a, link);
	w->n_out++;
	w->n_events += a->is_event;
	w->out_len += a->len;
	answer_pump(w);
}

static void dequeue(struct answer *a)
{
	struct wire *w = a->wire;

	TAILQ_REMOVE(&w->out, a, link);
	w->n_out--;
	w->n_events -= a->is_event;
	w->out_len -= a->len;
	answer_free(a);
}

/* Sends up to `len` bytes; how many had room. */
static u32 send_bytes(u32 port, const void *bytes, u64 len)
{
	u32 room;
	u8 *to = serial_room(port, &room);

	if (!to)
		return 0;
	room = (u32)u64_min(room, len);
	memcpy(to, bytes, room);
	serial_fill(port, room);
	return room;
}

static bool send_line(struct answer *a)
{
	u32 port = a->wire->port, len, n = 1;
	const u8 *bytes;

	while (a->small_at < a->small_len && n > 0) {
		n = send_bytes(port, a->small + a->small_at, a->small_len - a->small_at);
		a->small_at += n;
	}
	while (n > 0 && (bytes = chain_peek(&a->text, &len)) != NULL) {
		n = send_bytes(port, bytes, len);
		chain_drop(&a->text, n);
	}
	return n > 0;
}

static bool send_payload(struct answer *a)
{
	u32 port = a->wire->port, room;

	while (a->source && a->source_left > 0) {
		u8 *to = serial_room(port, &room);

		if (!to)
			return false;
		room = (u32)u64_min(room, a->source_left);
		a->source->pull(a->source_arg, to, room);
		serial_fill(port, room);
		a->source_left -= room;
	}
	return true;
}

void answer_pump(struct wire *w)
{
	struct answer *a;

	while ((a = TAILQ_FIRST(&w->out)) != NULL && send_line(a) && send_payload(a))
		dequeue(a);
}

void answer_send(struct answer *a)
{
	enqueue(a);
}

void answer_drop_all(struct wire *w)
{
	struct answer *a;

	/* What is told that it was dropped may answer others. */
	while ((a = TAILQ_FIRST(&w->waiting)) != NULL) {
		TAILQ_REMOVE(&w->waiting, a, link);
		w->n_waiting--;
		reply_drop(&a->reply);
		answer_free(a);
	}
	while ((a = TAILQ_FIRST(&w->out)) != NULL)
		dequeue(a);
}

/* ---- the line ---- */

static void put(struct spill *s, const char *text)
{
	spill_put(s, text, strlen(text));
}

static void put_head(struct spill *out, const struct answer *a, bool ok)
{
	put(out, a->id[0] ? "{\"id\":\"" : "{\"id\":null");
	put(out, a->id);
	put(out, a->id[0] ? "\"" : "");
	put(out, ok ? ",\"ok\":true" : ",\"ok\":false,\"error\":");
}

static void put_error(struct spill *out, enum err e, const char *message)
{
	struct json j = { .put = spill_sink, .ctx = out };

	json_object(&j, NULL);
	json_string(&j, "code", err_code(e));
	json_string(&j, "message", message);
	json_end_object(&j);
}

/* All but the head. */
static void put_rest(struct desk *d, const struct answer *a, bool ok)
{
	bool has_data = spill_len(&d->data) > 0 && d->json.depth == 0;
	u64 text_len = spill_len(&d->text);

	if (ok || has_data) {
		put(&d->out, ",\"data\":{");
		if (has_data)
			spill_move(&d->out, &d->data);
		put(&d->out, "}");
	}
	if (text_len > 0 && !(has_data && text_len > TEXT_BESIDE_DATA_MAX)) {
		put(&d->out, ",\"text\":\"");
		spill_move(&d->out, &d->text);
		put(&d->out, "\"");
	}
	if (a->source) {
		struct json j = { .put = spill_sink, .ctx = &d->out, .wants_comma = true };

		json_u64(&j, "payload", a->source_left);
	}
	put(&d->out, "}\n");
}

/* The line goes into the answer; one that found no memory becomes a short one that says so. */
static void keep_line(struct spill *out, struct answer *a)
{
	if (out->far.is_spoilt) {
		spill_begin(out);
		end_source(a);
		put_head(out, a, false);
		put_error(out, ERR_NOMEM, "no memory for the answer");
		put(out, "}\n");
	}
	memcpy(a->small, out->near, out->n_near);
	a->small_len = out->n_near;
	chain_move(&a->text, &out->far);
}

void answer_refuse(struct answer *a, enum err e, const char *message)
{
	struct spill out = { 0 };

	put_head(&out, a, false);
	put_error(&out, e, message);
	put(&out, "}\n");
	keep_line(&out, a);
	enqueue(a);
}

/* ---- the caller ---- */

/* A command may write through a struct cmd of its own, with the caller and the context of the one it was given. */
static void write_text(struct cmd *c, const char *text, size_t len)
{
	struct desk *d = &desks[desks[0].c.ctx != c->ctx];

	assert(d->is_taken && d->c.ctx == c->ctx);
	json_escape(spill_sink, &d->text, text, len);
}

static struct reply *defer(struct cmd *c)
{
	struct answer *a = c->ctx;

	return &a->reply;
}

static struct cmd *open_later(struct reply *r)
{
	struct answer *a = CONTAINER_OF(r, struct answer, reply);
	struct cmd *c;

	TAILQ_REMOVE(&a->wire->waiting, a, link);
	a->wire->n_waiting--;
	c = answer_begin(a);
	c->reply = r;
	return c;
}

static void close_later(struct cmd *c, enum err e)
{
	c->reply = NULL;
	answer_end(c, e);
}

static const struct cmd_caller caller = { write_text, defer, open_later, close_later };

bool wire_is_caller(const struct cmd *c)
{
	return c->caller == &caller;
}

struct cmd *answer_begin(struct answer *a)
{
	struct desk *d = &desks[desks[0].is_taken];

	assert(!d->is_taken);
	d->is_taken = true;
	reply_clear(&d->c);
	d->json = (struct json){ .put = spill_sink, .ctx = &d->data };
	d->c.caller = &caller;
	d->c.ctx = a;
	d->c.json = &d->json;
	d->c.arrived = a->arrived;
	d->c.has_payload = false;
	return &d->c;
}

void answer_end(struct cmd *c, enum err e)
{
	struct desk *d = CONTAINER_OF(c, struct desk, c);
	struct answer *a = c->ctx;

	if (c->reply) {
		TAILQ_INSERT_TAIL(&a->wire->waiting, a, link);
		a->wire->n_waiting++;
	} else if (!c->sink) {
		a->source = c->source;
		a->source_arg = c->source_arg;
		a->source_left = c->source_len;
		put_head(&d->out, a, e == ERR_OK);
		if (e != ERR_OK)
			put_error(&d->out, e, c->error);
		put_rest(d, a, e == ERR_OK);
		keep_line(&d->out, a);
	}
	spill_begin(&d->data);
	spill_begin(&d->text);
	spill_begin(&d->out);
	d->is_taken = false;
	if (!c->reply && !c->sink)
		enqueue(a);
}
