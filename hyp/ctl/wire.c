/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection: bytes become lines, lines become requests, and a client that goes
 * leaves nothing behind.
 *
 * Bytes are taken in bounded pieces, and none while the client leaves too many answers unread:
 * then its own end fills up, and nobody else notices.
 */
#include <string.h>
#include "arch/hart.h"
#include "arch/time.h"
#include "ctl/turn.h"
#include "ctl/version.h"
#include "ctl/wire_local.h"

#define PROTOCOL     1U
#define BYTES_A_TURN (64UL << 10)
#define LINES_A_TURN 32U
#define UNREAD_MAX   (1UL << 20) /* bytes of answers */
#define PAYLOAD_MAX  (1UL << 62)

/* ---- words of a line ---- */

static bool is_name(const char *s, size_t len)
{
	if (len == 0 || len > WIRE_ID_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = s[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    c != '.' && c != '_' && c != '-')
			return false;
	}
	return true;
}

/* The NONCE of "hello NONCE", or NULL. */
static const char *hello_nonce(const char *line)
{
	if (strncmp(line, "hello ", 6) != 0 || !is_name(line + 6, strlen(line + 6)))
		return NULL;
	return line + 6;
}

/* Takes " +LENGTH" off the end of a line.  False: that is no length. */
static bool take_length(char *line, bool *has_payload, u64 *len)
{
	char *word = strrchr(line, ' ');

	*has_payload = false;
	*len = 0;
	if (!word || word[1] != '+' || !word[2] || word[2 + strspn(word + 2, "0123456789")])
		return true;
	*word = 0;
	*has_payload = true;
	return cmd_number(word + 2, PAYLOAD_MAX, len);
}

/* ---- requests ---- */

void wire_drop_client(struct wire *w)
{
	struct answer *a = w->current;

	w->has_client = w->wants_events = false;
	w->n_lost = 0;
	w->payload_left = 0;
	w->current = NULL;
	if (a) {
		w->sink->abort(w->sink_arg);
		answer_free(a);
	}
	answer_drop_all(w);
}

static void new_client(struct wire *w, const char *nonce)
{
	struct answer *a;
	struct json_buf buf;
	struct json j = { .put = json_buf_put, .ctx = &buf };

	wire_drop_client(w);
	a = answer_new(w);
	if (!a)
		return; /* the client says it again */
	w->has_client = true;
	buf = (struct json_buf){ .at = a->small, .room = sizeof(a->small) };
	json_buf_put(&buf, "\n", 1);
	json_object(&j, NULL);
	json_string(&j, "hello", nonce);
	json_string(&j, "pando", PANDO_VERSION);
	json_u64(&j, "protocol", PROTOCOL);
	json_u64(&j, "port", w->number);
	json_u64(&j, "timebase_hz", machine.timebase_hz);
	json_end_object(&j);
	json_buf_put(&buf, "\n", 1);
	a->small_len = (u32)buf.len;
	answer_send(a);
}

/* The payload of the request that is in `c` comes next. */
static void expect_payload(struct wire *w, const struct cmd *c)
{
	w->current = c->ctx;
	w->command = c->command;
	w->sink = c->sink;
	w->sink_arg = c->sink_arg;
}

/* The payload has come, or its command wants no more of it. */
static void end_payload(struct wire *w, enum err e)
{
	struct cmd *c = answer_begin(w->current);

	w->current = NULL;
	c->command = w->command;
	c->sink = w->sink;
	c->sink_arg = w->sink_arg;
	answer_end(c, command_payload_end(c, e));
}

static void run(struct answer *a, const char *line, bool has_payload)
{
	struct wire *w = a->wire;
	struct cmd *c = answer_begin(a);
	enum err e;

	c->has_payload = has_payload;
	c->payload_len = w->payload_left;
	e = command_run(c, line);
	if (c->sink)
		expect_payload(w, c);
	answer_end(c, e);
	if (w->current && w->payload_left == 0)
		end_payload(w, ERR_OK);
}

/* A line that is not a hello.  False: no memory to deal with it. */
static bool request(struct wire *w, char *line)
{
	size_t id_len = strcspn(line, " ");
	struct answer *a = answer_new(w);
	bool has_payload, is_length;

	if (!a)
		return false;
	a->arrived = time_now();
	is_length = take_length(line, &has_payload, &w->payload_left);
	if (w->is_too_long || !is_name(line, id_len)) {
		w->payload_left = 0;
		answer_refuse(a, ERR_SYNTAX, "not a line that begins with an ID");
		return true;
	}
	memcpy(a->id, line, id_len);
	line += id_len;
	if (!is_length) {
		w->payload_left = 0;
		answer_refuse(a, ERR_SYNTAX, "too long a payload");
	} else if (!line[strspn(line, " ")])
		answer_refuse(a, ERR_SYNTAX, "no command behind the ID");
	else if (w->n_waiting >= WIRE_FLIGHT_MAX)
		answer_refuse(a, ERR_BUSY, "too many requests in flight");
	else
		run(a, line, has_payload);
	return true;
}

/* The line is complete.  False: there is no memory to deal with it now. */
static bool on_line(struct wire *w)
{
	char *line = w->line;
	const char *nonce;

	if (w->line_len > 0 && line[w->line_len - 1] == '\r')
		w->line_len--;
	line[w->line_len] = 0;
	if (memchr(line, 0, w->line_len))
		line[0] = 0; /* neither an ID nor a hello */
	nonce = w->is_too_long ? NULL : hello_nonce(line);
	if (nonce)
		new_client(w, nonce);
	else if (w->has_client && w->stale_left == 0 && (w->line_len > 0 || w->is_too_long) &&
	         !request(w, line))
		return false;
	w->line_len = 0;
	w->is_too_long = false;
	return true;
}

/* ---- bytes ---- */

/* Bytes up to the end of a line, at most `len`; how many are done with. */
static u32 take_line(struct wire *w, const u8 *bytes, u32 len, u32 *n_lines)
{
	const u8 *newline = memchr(bytes, '\n', len);
	u32 n = newline ? (u32)(newline - bytes) : len;

	if (n > sizeof(w->line) - 1 - w->line_len) {
		w->is_too_long = true;
		w->line_len = 0;
	} else if (!w->is_too_long) {
		memcpy(w->line + w->line_len, bytes, n);
		w->line_len += n;
	}
	if (!newline)
		return n;
	w->is_short = !on_line(w);
	*n_lines += 1;
	return w->is_short ? n : n + 1;
}

/* What comes next may take long, whatever its length. */
static bool is_work(const struct wire *w)
{
	return w->current && w->sink->piece;
}

static u32 take_payload(struct wire *w, const u8 *bytes, u32 len)
{
	enum err e = ERR_OK;

	len = (u32)u64_min(len, w->payload_left);
	if (is_work(w))
		len = (u32)u64_min(len, w->sink->piece(w->sink_arg));
	if (w->current)
		e = w->sink->take(w->sink_arg, bytes, len);
	w->payload_left -= len;
	if (w->current && (e != ERR_OK || w->payload_left == 0))
		end_payload(w, e);
	return len;
}

static bool may_read(const struct wire *w)
{
	return w->n_out - w->n_events < WIRE_FLIGHT_MAX && w->out_len < UNREAD_MAX;
}

static void end_stale(struct wire *w, u32 len)
{
	w->stale_left -= len;
	if (w->stale_left == 0 && !serial_has_peer(w->port))
		wire_drop_client(w); /* its hello was the old one's */
}

void wire_take_in(struct wire *w)
{
	struct turn turn = { .begin = time_now() };
	u32 n_lines = 0, len;
	u64 n_bytes = 0;
	const u8 *bytes;

	w->is_short = w->is_behind = false;
	while (may_read(w) && !w->is_short && (bytes = serial_peek(w->port, &len)) != NULL) {
		if (n_bytes >= BYTES_A_TURN || n_lines >= LINES_A_TURN ||
		    (is_work(w) && turn_is_over(&turn))) {
			w->is_behind = true;
			return;
		}
		if (w->stale_left > 0)
			len = (u32)u64_min(len, w->stale_left);
		len = w->payload_left > 0 ? take_payload(w, bytes, len)
		                          : take_line(w, bytes, len, &n_lines);
		serial_consume(w->port, len);
		n_bytes += len;
		if (w->stale_left > 0)
			end_stale(w, len);
	}
}

/*
 * What has come until now may be of the old client, or of a new one that has said hello.  A client waits for the
 * answer to its hello, so there are no requests of a new one among it: all but hellos is passed over.
 */
void wire_end_client(struct wire *w)
{
	wire_drop_client(w);
	w->line_len = 0;
	w->is_too_long = w->is_short = false;
	w->stale_left = serial_n_come(w->port);
}
