/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the memory is: the command mem, and its parts that others show. */
#ifndef CTL_MEM_H
#define CTL_MEM_H

#include "ctl/command.h"
#include "vm/vm.h"

/* mem [VM] */
enum err must_check mem_run(struct cmd *c);

/* One line: what a VM reaches; within a round of space_usage_next(). */
void mem_show_usage(struct cmd *c, struct vm *vm);

/* Frames by class. */
void mem_show_frames(struct cmd *c, const u64 n[]);

#endif
