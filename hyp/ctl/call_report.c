/* SPDX-License-Identifier: BSD-2-Clause */
/* A call's time line: figures for programs, a few lines for people. */
#include "ctl/call_report.h"
#include "ctl/figure.h"
#include "ctl/fmt.h"
#include "ctl/names.h"

#define ROOT_FRAMES 4U

const char *call_mode_word(enum call_mode mode)
{
	static const char *const words[CALL_N_MODES] = {
		[CALL_FRESH] = "fresh", [CALL_RESET] = "reset", [CALL_KEEP] = "keep"
	};

	return words[mode];
}

struct stage {
	const char *name;
	const struct time_cost *at;
};

#define N_STAGES 6U /* without the clone, which has a beginning and an end */

static void list_stages(const struct call_times *t, struct stage stage[N_STAGES])
{
	stage[0] = (struct stage){ "given", &t->given };
	stage[1] = (struct stage){ "entry", &t->entry };
	stage[2] = (struct stage){ "start", &t->start };
	stage[3] = (struct stage){ "end", &t->end };
	stage[4] = (struct stage){ "answer", &t->answer };
	stage[5] = (struct stage){ "gone", &t->gone };
}

static u64 ns_since_request(const struct call_times *t, const struct time_cost *at)
{
	return time_ticks_to_ns(at->ticks - u64_min(at->ticks, t->request.ticks));
}

static void put_times(struct json *j, const struct call_times *t)
{
	struct stage stage[N_STAGES];

	list_stages(t, stage);
	json_object(j, "t");
	json_u64(j, "request", 0);
	if (t->clone_begin.ticks != 0) {
		json_array(j, "clone");
		json_u64(j, NULL, ns_since_request(t, &t->clone_begin));
		json_u64(j, NULL, ns_since_request(t, &t->clone_end));
		json_end_array(j);
	} else {
		json_null(j, "clone");
	}
	for (u32 i = 0; i < N_STAGES; i++) {
		if (stage[i].at->ticks != 0)
			json_u64(j, stage[i].name, ns_since_request(t, stage[i].at));
		else
			json_null(j, stage[i].name);
	}
	json_end_object(j);
}

/* `clone` is what the call cost; the others count from the request. */
static void put_instret(struct json *j, const struct call_times *t)
{
	struct stage stage[N_STAGES];

	list_stages(t, stage);
	json_object(j, "instret");
	if (t->clone_begin.ticks != 0)
		json_u64(j, "clone", t->clone_end.instret - t->clone_begin.instret);
	for (u32 i = 0; i < N_STAGES; i++)
		if (stage[i].at->ticks != 0)
			json_u64(j, stage[i].name, stage[i].at->instret - t->request.instret);
	json_end_object(j);
}

static u64 private_pages(const struct call *call)
{
	return call->breaks[BREAK_ZERO_FILL] + call->breaks[BREAK_COPY];
}

static u64 table_frames(const struct call *call)
{
	return call->breaks[BREAK_ROOT] * ROOT_FRAMES + call->breaks[BREAK_DERIVE] +
	       call->breaks[BREAK_SPLIT];
}

static void put_figures(struct json *j, const struct call *call)
{
	if (j == NULL)
		return;
	if (call->vm_name[0])
		json_string(j, "vm", call->vm_name);
	else
		json_null(j, "vm");
	json_string(j, "mode", call_mode_word(call->mode));
	json_bool(j, "warm", call->is_warm);
	put_times(j, &call->t);
	if (instret_is_exact())
		put_instret(j, &call->t);
	json_object(j, "breaks");
	for (u32 i = 0; i < BREAK_N_CLASSES; i++)
		if (call->breaks[i] != 0)
			json_u64(j, figure_break(i), call->breaks[i]);
	json_end_object(j);
	json_u64(j, "private_pages", private_pages(call));
	json_u64(j, "table_frames", table_frames(call));
	json_u64(j, "ahead", call->n_ahead);
}

/* Whoever wants figures does not want them twice. */
static void print(struct cmd *c, const struct call *call)
{
	struct stage stage[N_STAGES];
	const struct call_times *t = &call->t;

	if (c->json != NULL || !call->vm_name[0])
		return;
	list_stages(t, stage);
	cmd_printf(c, "%s:", call->vm_name);
	if (t->clone_begin.ticks != 0)
		cmd_printf(c, " cloned in %s,",
		           fmt_ticks(t->clone_end.ticks - t->clone_begin.ticks).s);
	for (u32 i = 0; i < N_STAGES; i++)
		if (stage[i].at->ticks != 0)
			cmd_printf(c, " %s %s%s", stage[i].name,
			           fmt_ns(ns_since_request(t, stage[i].at)).s,
			           i + 1 < N_STAGES ? "," : "");
	cmd_printf(c, "; %lu private pages, %lu frames of tables\n", private_pages(call),
	           table_frames(call));
	if (instret_is_exact() && t->answer.ticks != 0)
		cmd_printf(c,
		           "%s: %lu instructions from the request to the answer, %lu to the end\n",
		           call->vm_name, t->answer.instret - t->request.instret,
		           t->gone.instret - t->request.instret);
}

/* What went wrong, if the call itself does not say. */
static const char *problem_of(const struct call *call)
{
	static const struct {
		enum err e;
		const char *words;
	} problems[] = {
		{ ERR_FUNCTION, "the function failed" },
		{ ERR_TOOLONG, "its answer is longer than the window" },
		{ ERR_CRASH, "the function died" },
		{ ERR_STATE, "its template was killed" },
		{ ERR_ABSENT, "the function was removed" },
	};

	for (u32 i = 0; i < ARRAY_LEN(problems); i++)
		if (call->problem == NULL && problems[i].e == call->error)
			return problems[i].words;
	return call->problem != NULL ? call->problem : err_name(call->error);
}

/* The window may say more: that is the payload. */
static void complain(struct cmd *c, const struct call *call)
{
	const char *name = call->vm_name[0] ? call->vm_name : call->function->name;

	if (call->error == ERR_TIMEOUT)
		cmd_fail(c, call->error, "%s: no answer after %s", name,
		         fmt_ticks(call->timeout).s);
	else if (call->error != ERR_OK)
		cmd_fail(c, call->error, "%s: %s", name, problem_of(call));
}

void call_report(struct cmd *c, const struct call *call)
{
	put_figures(c->json, call);
	print(c, call);
	complain(c, call);
}
