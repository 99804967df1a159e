/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Harts that really take turns: each fake hart is a coroutine, and a seeded scheduler may let any other one go on at every
 * access that the memory core makes to memory, at every lock, fence and kick, and between two steps of a walk.
 *
 * The memory core is compiled once more for this, with -fsanitize=thread: gcc then calls a function before each access,
 * and in place of each atomic one. These functions are here instead of in libtsan. An atomic store with less
 * than sequential consistency waits in a store buffer of its hart, as RISC-V allows, until a fence, an atomic
 * read-modify-write or a lock of that hart drains it, or chance does. So a missing memory barrier shows, too. Two loads never
 * change places here.
 *
 * A run is decided by its seed alone.
 */
#ifndef CREW_H
#define CREW_H

#include "lib/types.h"

/* Lets `n` harts run `fn`, each until it returns. A failure prints its reason and aborts. */
void crew_run(u32 n, void (*fn)(u32 hart), u64 seed);

/* A moment when others may run; what the hart has stored before stays in its store buffer. */
void crew_step(void);

/* Called before each lock, fence and kick of a hart, which may do there what hardware does of its own accord. */
extern void (*crew_on_step)(void);

/* Nothing can be done before another hart has done something. Too often in a row is a deadlock. */
void crew_wait(void);

/* The hart has got on with its work. */
void crew_progress(void);

/* Does every hart but this one wait in crew_rest(), or has it ended? */
bool crew_is_alone(void);

/* From now on (`true`) this hart works only to pass the time. */
void crew_rest(bool rests);

_Noreturn void crew_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
