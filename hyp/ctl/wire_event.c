/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events, for connections that have asked.  One that does not read loses them, and is
 * told how many when it reads again.
 */
#include "arch/time.h"
#include "ctl/wire.h"
#include "ctl/wire_local.h"

#define UNREAD_EVENTS_MAX 128U

/* An event that `w` can be told; NULL: there is no room. */
static struct answer *begin(struct wire *w, struct json_buf *buf)
{
	struct answer *a = w->n_events < UNREAD_EVENTS_MAX ? answer_new(w) : NULL;

	if (!a)
		return NULL;
	a->is_event = true;
	*buf = (struct json_buf){ .at = a->small, .room = sizeof(a->small) };
	return a;
}

static void end(struct answer *a, struct json_buf *buf)
{
	json_buf_put(buf, "\n", 1);
	a->small_len = (u32)buf->len;
	answer_send(a);
}

void event_catch_up(struct wire *w)
{
	struct json_buf buf;
	struct json j = { .put = json_buf_put, .ctx = &buf };
	struct answer *a;

	if (w->n_lost == 0 || w->n_events > 0)
		return;
	a = begin(w, &buf);
	if (!a)
		return;
	json_object(&j, NULL);
	json_string(&j, "event", "lost");
	json_u64(&j, "n", w->n_lost);
	json_end_object(&j);
	w->n_lost = 0;
	end(a, &buf);
}

enum err wire_set_events(struct cmd *c, bool on)
{
	struct answer *a = c->ctx;

	if (!wire_is_caller(c))
		return cmd_fail(c, ERR_STATE, "events: for control ports; the shell shows them");
	a->wire->wants_events = on;
	a->wire->n_lost = 0;
	return ERR_OK;
}

/* `key` may be NULL; it has a text, or else a number. */
static void tell(const struct vm *vm, const char *event, const char *key, const char *text,
                 u64 number)
{
	u64 now = time_ticks_to_ns(time_now());

	for (u32 i = 0; i < SERIAL_PORTS_MAX; i++) {
		struct wire *w = wire_of(i);
		struct json_buf buf;
		struct json j = { .put = json_buf_put, .ctx = &buf };
		struct answer *a;

		if (!w || !w->wants_events)
			continue;
		event_catch_up(w);
		a = w->n_lost == 0 ? begin(w, &buf) : NULL;
		if (!a) { /* and those that follow, until this has been told */
			w->n_lost++;
			continue;
		}
		json_object(&j, NULL);
		json_string(&j, "event", event);
		json_string(&j, "vm", vm->name);
		json_u64(&j, "vm_id", vm->id);
		json_u64(&j, "at_ns", now);
		if (key && text)
			json_string(&j, key, text);
		else if (key)
			json_u64(&j, key, number);
		json_end_object(&j);
		end(a, &buf);
	}
}

void wire_tell(const struct vm *vm, const char *event)
{
	tell(vm, event, NULL, NULL, 0);
}

void wire_tell_text(const struct vm *vm, const char *event, const char *key, const char *text)
{
	tell(vm, event, key, text, 0);
}

void wire_tell_number(const struct vm *vm, const char *event, const char *key, u64 number)
{
	tell(vm, event, key, NULL, number);
}
