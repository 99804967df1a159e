/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of /init of a function in Python that is not Python: from NEXT to DONE, with the interpreter called once in
 * between. agent_python.py maps this image and calls it with the interpreter's own functions, by their addresses; it does not return.
 */
#include "life.h"

typedef struct object object; /* PyObject */

/* The same order in agent_python.py. */
struct python {
	object *(*bytes_new)(const u8 *from, long len);       /* PyBytes_FromStringAndSize */
	int (*bytes_get)(object *, const u8 **at, long *len); /* PyBytes_AsStringAndSize */
	const u8 *(*text_get)(object *, long *len);           /* PyUnicode_AsUTF8AndSize */
	object *(*call)(object *callable, object *arg);       /* PyObject_CallOneArg */
	object *(*call_none)(object *callable);               /* PyObject_CallNoArgs */
	void (*drop)(object *);                               /* Py_DecRef */
	void (*clear)(void);                                  /* PyErr_Clear */
	void (*print)(void);                                  /* PyErr_Print */
};

static struct life life;

static __attribute__((used)) void open_life(void)
{
	life_open(&life);
}

/* What becomes of a call: the bytes of its answer, or a text that says what went wrong. */
static void report(const struct python *py, object *result)
{
	enum status status = STATUS_ANSWER;
	const u8 *from;
	long len;

	if (py->bytes_get(result, &from, &len) != 0) {
		py->clear();
		status = STATUS_FAILED;
		from = py->text_get(result, &len);
	}
	if (status == STATUS_ANSWER && (u64)len > life.room) {
		life_too_long(&life, (u64)len, life.room);
		return;
	}
	if (!from) { /* or the next call would find what was raised here */
		py->clear();
		len = 0;
	}
	if ((u64)len > life.room)
		len = (long)life.room;
	for (long i = 0; i < len; i++)
		life.window[i] = from[i];
	life_answer(&life, status, (u64)len);
}

static object *checked(const struct python *py, object *o)
{
	if (!o) {
		py->print();
		life_crash(&life, "the interpreter is out of memory");
	}
	return o;
}

/* Bytes and not None or a text, as to ask for these raises: that would write to pages in each clone. */
static void renewed(const struct python *py, object *cloned)
{
	object *complaint = checked(py, py->call_none(cloned));
	const u8 *why;
	long len;

	if (py->bytes_get(complaint, &why, &len) == 0 && len > 0)
		life_crash(&life, (const char *)why);
	py->drop(complaint);
}

/* handle: bytes to bytes, or to a text if it has failed. cloned: called in each clone before its first call; gives no bytes, or
 * those that say why it has failed. Neither raises. */
static __attribute__((used)) _Noreturn void serve(const struct python *py, object *handle,
                                                  object *cloned)
{
	int is_new;

	if (life_freeze(&life))
		renewed(py, cloned);
	for (;;) {
		u64 len = life_next(&life, &is_new);
		object *in = checked(py, py->bytes_new(life.window, (long)len)), *out;

		if (is_new)
			renewed(py, cloned);
		life_start(&life);
		out = checked(py, py->call(handle, in));
		life_end(&life);
		report(py, out);
		py->drop(out);
		py->drop(in);
	}
}

/* The start of the image: two entries, eight bytes each. */
__attribute__((naked, noreturn, section(".entry"))) void _start(void);
__attribute__((naked, noreturn, section(".entry"))) void _start(void)
{
	__asm__(".balign 8\n"
	        "j open_life\n"
	        ".balign 8\n"
	        "j serve");
}
