/* SPDX-License-Identifier: BSD-2-Clause */
/* Figures that several commands give to programs, each under one name; nothing happens where `j` is NULL. */
#ifndef CTL_FIGURE_H
#define CTL_FIGURE_H

#include "arch/time.h"
#include "ctl/json.h"
#include "mm/usage.h"

/* {"ns":..,"instret":..}; the second where instructions are exact.  key NULL: these two members by themselves. */
void figure_cost(struct json *j, const char *key, struct time_cost cost);

/* `n_frames` frames as bytes. */
void figure_frames(struct json *j, const char *key, u64 n_frames);

/* What a VM reaches, as members. */
void figure_usage(struct json *j, const struct space_usage *u);

/* Classes of exits, breaks and frames: "sbi", "zero_fill", "free". */
const char *figure_exit(u32 exit_class);
const char *figure_break(u32 break_class);
const char *figure_frame(u32 frame_class);

/* An object with a member for each class. */
void figure_counts(struct json *j, const char *key, const u64 *n, u32 n_classes,
                   const char *(*name)(u32 class));

#endif
