/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/figure.h"
#include "ctl/fmt.h"
#include "mm/frame.h"
#include "vm/vcpu.h"

void figure_cost(struct json *j, const char *key, struct time_cost cost)
{
	if (key)
		json_object(j, key);
	json_u64(j, "ns", time_ticks_to_ns(cost.ticks));
	if (instret_is_exact())
		json_u64(j, "instret", cost.instret);
	if (key)
		json_end_object(j);
}

void figure_frames(struct json *j, const char *key, u64 n_frames)
{
	json_u64(j, key, n_frames * PAGE_SIZE);
}

void figure_usage(struct json *j, const struct space_usage *u)
{
	figure_frames(j, "private", u->private_frames);
	figure_frames(j, "shared", u->shared_frames);
	figure_frames(j, "merged", u->merged_frames);
	json_u64(j, "zero_pages", u->zero_pages);
	figure_frames(j, "retained", u->retained_frames);
	figure_frames(j, "tables", u->table_frames);
}

const char *figure_exit(u32 exit_class)
{
	static const char *const keys[EXIT_N_CLASSES] = {
		[EXIT_SBI] = "sbi",     [EXIT_WFI] = "wfi", [EXIT_MMIO] = "mmio",
		[EXIT_BREAK] = "break", [EXIT_IRQ] = "irq", [EXIT_INJECT] = "inject",
	};

	return keys[exit_class];
}

const char *figure_break(u32 break_class)
{
	static const char *const keys[BREAK_N_CLASSES] = {
		[BREAK_ZERO_FILL] = "zero_fill", [BREAK_ZERO_MAP] = "zero_map",
		[BREAK_COPY] = "copy",           [BREAK_OWN] = "own",
		[BREAK_SPURIOUS] = "spurious",   [BREAK_ROOT] = "root",
		[BREAK_DERIVE] = "derive",       [BREAK_SPLIT] = "split",
	};

	return keys[break_class];
}

const char *figure_frame(u32 frame_class)
{
	static const char *const keys[FRAME_N_CLASSES] = {
		[FRAME_OWN] = "own",      [FRAME_FREE] = "free",    [FRAME_COUNTED] = "pages",
		[FRAME_BLOCK] = "blocks", [FRAME_TABLE] = "tables", [FRAME_POOL] = "records",
		[FRAME_ZERO] = "zero",
	};

	return keys[frame_class];
}

void figure_counts(struct json *j, const char *key, const u64 *n, u32 n_classes,
                   const char *(*name)(u32 class))
{
	json_object(j, key);
	for (u32 i = 0; i < n_classes; i++)
		json_u64(j, name(i), n[i]);
	json_end_object(j);
}
