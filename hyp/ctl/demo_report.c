/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The demo's figures.
 *
 * Each row of the table is one measure over all clones: gathered into `sample`,
 * sorted, shown as smallest, median and 99th percentile (or largest).  Instruction
 * counts are shown only where the machine counts instructions (QEMU with -icount);
 * elsewhere QEMU's counter is the host's clock, and would mislead.
 */
#include <stdlib.h>
#include "arch/time.h"
#include "ctl/demo_report.h"
#include "ctl/fmt.h"
#include "ctl/shell.h"
#include "mm/copy.h"
#include "mm/pool.h"
#include "mm/usage.h"

#define HEX_LEN       (2 * BUNDLE_HASH_LEN)
#define MISSING_SHOWN 8U

struct spread {
	u64 min, median, p99, max;
};

/* log2 of the pages that hold `len` bytes */
static u32 order_of(u64 len)
{
	u32 order = 0;

	while ((PAGE_SIZE << order) < len)
		order++;
	return order;
}

enum err demo_alloc(struct demo *d, u32 n)
{
	*d = (struct demo){ .n = n };
	d->clone = pages_alloc(order_of(n * sizeof(d->clone[0])), FRAME_FOR_GUEST);
	d->sample = pages_alloc(order_of(n * sizeof(d->sample[0])), FRAME_FOR_GUEST);
	if (d->clone && d->sample)
		return ERR_OK;
	demo_free(d);
	return ERR_NOMEM;
}

void demo_free(struct demo *d)
{
	if (d->clone)
		pages_free(d->clone, order_of(d->n * sizeof(d->clone[0])));
	if (d->sample)
		pages_free(d->sample, order_of(d->n * sizeof(d->sample[0])));
	d->clone = NULL;
	d->sample = NULL;
}

/* Results */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_hash(const char *hex, const u8 *hash)
{
	for (u32 i = 0; i < BUNDLE_HASH_LEN; i++)
		if (hex_digit(hex[2 * i]) != hash[i] >> 4 ||
		    hex_digit(hex[2 * i + 1]) != (hash[i] & 0xf))
			return false;
	return true;
}

void demo_check_result(struct demo *d, struct demo_clone *c, const struct bundle_demo *expect)
{
	char hex[HEX_LEN];
	u32 len;

	lock_acquire(&c->vm->dev_lock);
	len = c->vm->result_len;
	lock_release(&c->vm->dev_lock);
	if (len != HEX_LEN) {
		shell_say("demo: %s: a result of %u bytes instead of %u", c->vm->name, len,
		          HEX_LEN);
		return;
	}
	if (copy_from_guest(&c->vm->space, hex, c->vm->window.base, HEX_LEN) != ERR_OK) {
		shell_say("demo: %s: its result cannot be read", c->vm->name);
		return;
	}
	if (c->vm->clone_id != c->number ||
	    !is_hash(hex, expect->expect + (u64)(c->number - 1) * BUNDLE_HASH_LEN)) {
		shell_say("demo: %s: WRONG result %.16s...", c->vm->name, hex);
		return;
	}
	c->is_right = true;
	d->n_right++;
}

void demo_report_missing(const struct demo *d)
{
	u32 n = 0;

	for (u32 i = 0; i < d->n_made && n < MISSING_SHOWN; i++)
		if (!d->clone[i].is_done) {
			shell_say("demo: %s has not answered", d->clone[i].vm->name);
			n++;
		}
	shell_say("demo: %u of %u clones have answered", d->n_done, d->n);
}

/* Figures */

static int by_size(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

/* Nearest-rank percentiles: the p-th is the smallest value that p % of all do not exceed. */
static struct spread spread_of(u64 *sample, u32 n)
{
	qsort(sample, n, sizeof(sample[0]), by_size);
	return (struct spread){ .min = sample[0],
		                .median = sample[(n + 1) / 2 - 1],
		                .p99 = sample[(n * 99U + 99) / 100 - 1],
		                .max = sample[n - 1] };
}

static u64 ns_between(u64 from, u64 to)
{
	return from && to > from ? time_ticks_to_ns(to - from) : 0;
}

static u64 clone_ns(struct vm *vm)
{
	return time_ticks_to_ns(vm->stats.clone.ticks);
}

static u64 clone_instret(struct vm *vm)
{
	return vm->stats.clone.instret;
}

static u64 first_entry_ns(struct vm *vm)
{
	return ns_between(vm->stats.created, vm->stats.first_entry);
}

static u64 done_ns(struct vm *vm)
{
	return ns_between(vm->stats.created, vm->stats.done);
}

static u64 private_pages(struct vm *vm)
{
	struct space_usage u;

	space_usage(&vm->space, &u);
	return u.private_frames;
}

static u64 table_frames(struct vm *vm)
{
	struct space_usage u;

	space_usage(&vm->space, &u);
	return u.table_frames;
}

static struct spread measure(struct demo *d, u64 (*value)(struct vm *vm))
{
	for (u32 i = 0; i < d->n; i++)
		d->sample[i] = value(d->clone[i].vm);
	return spread_of(d->sample, d->n);
}

static void row_ns(struct demo *d, const char *title, u64 (*value)(struct vm *vm))
{
	struct spread s = measure(d, value);

	shell_say("  %-26s %12s %12s %12s", title, fmt_ns(s.min).s, fmt_ns(s.median).s,
	          fmt_ns(s.p99).s);
}

static void row_count(struct demo *d, const char *title, u64 (*value)(struct vm *vm))
{
	struct spread s = measure(d, value);

	shell_say("  %-26s %12lu %12lu %12lu", title, s.min, s.median, s.p99);
}

static void row_memory(struct demo *d)
{
	u64 asked = d->n * (d->template->ram.len + d->template->window.len);
	u64 used = (d->frames_before - u64_min(frame_n_free(), d->frames_before)) * PAGE_SIZE;

	shell_say("  %-26s %12s", "memory asked for", fmt_bytes(asked).s);
	shell_say("  %-26s %12s", "memory used, all in all", fmt_bytes(used).s);
}

void demo_report_work(struct demo *d)
{
	const struct vm *t = d->template;
	bool is_exact = instret_is_exact();

	shell_say(" ");
	shell_say("  %s: %u clones of %s, %u vCPUs each", t->name, d->n, fmt_bytes(t->ram.len).s,
	          t->n_vcpus);
	shell_say("  %-26s %12s", "boot to ready", fmt_ticks(d->boot_ticks).s);
	shell_say("  %-26s %12s", "freeze", fmt_ticks(t->stats.freeze.ticks).s);
	if (is_exact)
		shell_say("  %-26s %12lu", "freeze, instructions", t->stats.freeze.instret);
	shell_say("  %-26s %12s %12s %12s", "per clone", "min", "median", "p99");
	row_ns(d, "clone call", clone_ns);
	if (is_exact)
		row_count(d, "clone call, instructions", clone_instret);
	row_ns(d, "to its first instruction", first_entry_ns);
	row_ns(d, "to its result", done_ns);
	row_count(d, "private pages of 4 KiB", private_pages);
	row_count(d, "private table pages", table_frames);
	row_memory(d);
	shell_say("  %-26s %12u right, %u wrong", "results", d->n_right, d->n - d->n_right);
}

static const char *verdict(const struct demo *d, const struct audit_result *audit)
{
	if (d->failure)
		return d->failure;
	if (d->n_right != d->n)
		return "not all results are right";
	if (audit->faults)
		return "the audit disagrees";
	if (d->frames_after != d->frames_before)
		return "free frames differ before and after";
	return NULL;
}

bool demo_report_end(const struct demo *d, const struct audit_result *audit)
{
	const char *failure = verdict(d, audit);

	shell_say("  %-26s %12lu before, %lu after", "free frames", d->frames_before,
	          d->frames_after);
	shell_say("  %-26s %12lu faults%s%s", "audit", audit->faults, audit->faults ? ": " : "",
	          audit->first);
	if (failure)
		shell_say("FAIL: demo: %s", failure);
	else
		shell_say("PASS: demo: %u clones, all results right, all memory back", d->n);
	return !failure;
}
