/* SPDX-License-Identifier: BSD-2-Clause */
/* What every test of vm and run includes; a test is one source file. */
#ifndef VM_TESTS_H
#define VM_TESTS_H

#include "fake_guest.h"
#include "vm/sched.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#endif
